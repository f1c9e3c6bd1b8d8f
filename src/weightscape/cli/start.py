"""`weightscape start --models M... --task T`: which point between models to start training from."""

from pathlib import Path
from typing import Annotated

import typer

from weightscape.cli import options


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("start", short_help="Where to start a fine-tuning of one's own from.")(start)


def start(
    more: Annotated[
        list[str] | None,
        typer.Argument(metavar="[MODEL...]", help="More models, as behind --models."),
    ] = None,
    models: Annotated[
        list[str] | None,
        typer.Option(
            "--models",
            metavar="MODEL",
            help="Folders, folders of models, names in the atlas, or region:NAME; repeatable.",
        ),
    ] = None,
    task: Annotated[
        str | None,
        typer.Option("--task", metavar="T", help="A task file, a packaged task, or data."),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option("--data", metavar="FILE", help="Your rows, instead of --task: all are used."),
    ] = None,
    text: Annotated[
        str, typer.Option("--text", metavar="COL", help="Column of --data with the text.")
    ] = "text",
    label: Annotated[
        str, typer.Option("--label", metavar="COL", help="Column of --data with the label.")
    ] = "label",
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="OUT", help="Folder for the recommended start."),
    ] = None,
    base: options.OneBase = None,
    kinds: Annotated[
        str | None,
        typer.Option("--kinds", metavar="NAMES", help="Of candidates, with commas (default: all)."),
    ] = None,
    method: Annotated[
        str, typer.Option("--method", metavar="NAME", help="Of fine-tuning: bitfit, lora, full.")
    ] = "bitfit",
    steps: Annotated[int, typer.Option("--steps", help="Of each short fine-tuning.")] = 20,
    lr: Annotated[
        float | None, typer.Option("--lr", help="Its learning rate (default: by the method).")
    ] = None,
    finalists: Annotated[
        int, typer.Option("--finalists", help="Candidates that are fine-tuned, by their probes.")
    ] = 3,
    folds: Annotated[int, typer.Option("--folds", help="Parts that your rows are cut into.")] = 3,
    rounds: Annotated[int, typer.Option("--rounds", help="Of halving, each with new seeds.")] = 3,
    max_runs: Annotated[
        int | None, typer.Option("--max-runs", metavar="N", help="Short fine-tunings at most.")
    ] = None,
    minutes: Annotated[
        float | None, typer.Option("--minutes", metavar="M", help="Of searching at most.")
    ] = None,
    smaller: Annotated[
        Path | None,
        typer.Option(
            "--smaller", metavar="CONFIG", help="Pick weights for this smaller configuration."
        ),
    ] = None,
    layers: Annotated[
        str, typer.Option("--layers", metavar="NAME", help="Of --smaller: first or uniform.")
    ] = "first",
    rows: options.Rows = "256",
    train_rows: options.TrainRows = "256",
    metric: options.Metric = None,
    out: options.Out = None,
    atlas: options.AtlasFolder = options.DEFAULT_ATLAS,
    seed: options.Seed = 0,
    score_batch: options.ScoreBatch = 64,
    device: options.Device = None,
    bf16: options.FastBf16 = None,
    factory: options.Factory = None,
    trust_remote_code: options.TrustRemoteCode = False,
    trust_code: options.TrustCode = False,
    plot: options.Plots = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Rank points between models as starts for your own fine-tuning, and write the best.

    Example:  weightscape start --models ./zoo --task reviews.yml -o ./best-start

    Linear probes rate all candidates, short fine-tunings choose among the best; all scores are on
    rows that were not fitted on. Stopped, the same command goes on where it was.
    """
    from weightscape.cli import console, path_checks, path_work, start_words, start_work

    named = [*(models or ()), *(more or ())]
    start_work.check_question(named, base, task, data, smaller, output, max_runs, minutes)
    path_checks.check_choice("--layers", layers, ("first", "uniform"))
    path_checks.check_plots(plot)
    path_checks.check_output("--out", out)
    path_checks.check_output("--output", output)
    fast = start_work.in_bfloat16(bf16, device)
    scored = {
        "limit": path_checks.parse_rows("--rows", rows),
        "train_limit": path_checks.parse_rows("--train-rows", train_rows),
        "batch": score_batch,
        "bf16": fast,
        "chosen": bf16 is None,
    }
    with path_work.atlas_if_any(atlas) as opened, console.progress(quiet or json) as progress:
        if smaller is not None and task is None and data is None:
            picked = start_work.pick(
                named or [str(base)], opened, smaller, output, layers, seed, progress
            )
            if json:
                console.answer(picked)
            else:
                start_words.print_smaller(picked)
            return
        searching = {"finalists": finalists, "folds": folds, "rounds": rounds}
        sought = start_work.find(named, base, opened, output)
        how = start_work.fine_tuning(method, steps, lr, fast)
        chosen = start_work.check_kinds(kinds)
        asked = start_work.ask(
            sought,
            task or str(data),
            [text, label, metric, chosen, how, searching],
            [rows, train_rows, factory, seed],
            out,
            atlas,
        )
        result = start_work.search(
            sought,
            start_work.load(task, data, text, label, metric, trust_code, progress),
            how,
            searching,
            scored,
            kinds=chosen,
            max_runs=max_runs,
            minutes=minutes,
            out=output,
            smaller=smaller,
            layers=layers,
            seed=seed,
            folder=asked.kept,
            progress=progress,
            device=device,
            factory=factory,
            trust_remote_code=trust_remote_code,
        )
        answer, page = start_work.finish(result, sought, asked, opened, plot or ())
    if json:
        console.answer(answer)
    else:
        start_words.print_start(answer, page)
