"""`weightscape fine-tune START OUT --task T`: train a model on a task into a folder."""

from pathlib import Path
from typing import Annotated, Any

import typer

from weightscape.cli import options

Method = typer.Option(
    "--method", metavar="NAME", help="full, bitfit, head, lora, adapter or prefix."
)


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("fine-tune", short_help="Train a model on a task.")(fine_tune)


def fine_tune(
    start: Annotated[
        str, typer.Argument(metavar="START", help="A folder, a name in the atlas, a hub id.")
    ],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder to be made.")],
    task: Annotated[
        str, typer.Option("--task", metavar="T", help="A task file, a packaged task, or data.")
    ],
    method: Annotated[str, Method] = "full",
    lr: Annotated[
        float | None,
        typer.Option("--lr", help="Highest learning rate (default: the method's)."),
    ] = None,
    steps: Annotated[int, typer.Option("--steps", help="Optimiser steps.")] = 100,
    batch: Annotated[int, typer.Option("--batch", help="Rows a step.")] = 16,
    schedule: Annotated[
        str, typer.Option("--schedule", metavar="NAME", help="linear, cosine or constant.")
    ] = "linear",
    warmup: Annotated[float, typer.Option("--warmup", help="Share of the steps.")] = 0.1,
    optimiser: Annotated[
        str, typer.Option("--optimiser", metavar="NAME", help="adamw, sgd or adafactor.")
    ] = "adamw",
    weight_decay: Annotated[float, typer.Option("--weight-decay", help="On matrices only.")] = 0.01,
    clip: Annotated[float, typer.Option("--clip", help="Largest gradient norm; 0: any.")] = 1.0,
    freeze: Annotated[
        list[str] | None,
        typer.Option("--freeze", metavar="GLOB", help="Parameters left alone; repeatable."),
    ] = None,
    rank: Annotated[int, typer.Option("--rank", help="Of LoRA's factors.")] = 8,
    merge: Annotated[bool, typer.Option("--merge", help="Take LoRA into a whole model.")] = False,
    bottleneck: Annotated[int, typer.Option("--bottleneck", help="Width of adapters.")] = 16,
    init_std: Annotated[
        float, typer.Option("--init-std", help="Spread of an adapter's first weights.")
    ] = 0.01,
    prefix_tokens: Annotated[int, typer.Option("--prefix-tokens", help="Length of a prefix.")] = 16,
    place: Annotated[
        list[str] | None,
        typer.Option("--place", metavar="GLOB", help="Modules that get LoRA or adapters."),
    ] = None,
    save_every: Annotated[
        int | None, typer.Option("--save-every", help="Steps between checkpoint-N folders.")
    ] = None,
    evaluate_every: Annotated[
        int | None,
        typer.Option("--evaluate-every", help="Steps between validation looks; the best is kept."),
    ] = None,
    patience: Annotated[
        int | None, typer.Option("--patience", help="Stop after so many looks without a best.")
    ] = None,
    dynamics: Annotated[
        int | None, typer.Option("--dynamics", help="Steps between records for cartography.")
    ] = None,
    seed: options.Seed = 0,
    init_seed: Annotated[
        int | None, typer.Option("--init-seed", help="Of head and adapter, instead of --seed.")
    ] = None,
    data_seed: Annotated[
        int | None, typer.Option("--data-seed", help="Of the rows' order, instead of --seed.")
    ] = None,
    dropout_seed: Annotated[
        int | None, typer.Option("--dropout-seed", help="Of dropout, instead of --seed.")
    ] = None,
    device: options.Device = None,
    bf16: options.Bf16 = False,
    factory: options.Factory = None,
    trust_code: options.TrustCode = False,
    trust_remote_code: options.TrustRemoteCode = False,
    score_rows: Annotated[
        int, typer.Option("--score-rows", min=1, help="Held-out rows to score it on.")
    ] = 512,
    atlas: options.AtlasFolder = options.DEFAULT_ATLAS,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Fine-tune a model on a task's training rows and write it as a model or adapter folder.

    Example:  weightscape fine-tune ./base ./out --task rt_polarity --steps 200

    Stopped and started again, it goes on where it was and ends with the same bits. The folder
    tells its parent, task, arguments and scores in provenance.json, where `tree` finds them.
    """
    from weightscape.cli import console, path_checks, path_work
    from weightscape.tasks.fine_tuning import FineTuning

    names: dict[str, Any] = {"method": method, "schedule": schedule, "optimiser": optimiser}
    names["lr"] = lr  # None stands for the method's
    how = FineTuning(
        **names,
        freeze=tuple(freeze or ()),
        init_seed=seed if init_seed is None else init_seed,
        data_seed=seed if data_seed is None else data_seed,
        dropout_seed=seed if dropout_seed is None else dropout_seed,
        steps=steps,
        batch=batch,
        weight_decay=weight_decay,
        rank=rank,
        merge=merge,
        save_every=save_every,
        warmup=warmup,
        clip=clip,
        bottleneck=bottleneck,
        init_std=init_std,
        prefix_tokens=prefix_tokens,
        places=tuple(place or ()),
        evaluate_every=evaluate_every,
        patience=patience,
        record_dynamics=dynamics,
        autocast=bf16,
    )
    path_checks.check_output("OUT", out)
    with console.progress(quiet or json) as progress:
        (data,) = path_work.load_tasks(
            [task], metric=None, trust_code=trust_code, progress=progress
        )
        with path_work.atlas_if_any(atlas) as opened:
            (found,) = path_work.find_models([start], opened)

        from weightscape.tasks.chance import is_at_chance
        from weightscape.tasks.fine_tune import fine_tune as train
        from weightscape.tasks.models import load_model

        model: Any = found.source
        if factory is not None or trust_remote_code:
            model = load_model(
                found.source,
                data,
                factory=factory,
                init_seed=how.init_seed,
                trust_remote_code=trust_remote_code,
                device=device,
            )
        done = train(model, data, out, how, score_rows=score_rows, device=device, progress=progress)
        if is_at_chance(data, done.scores.loss, done.scores.metrics, done.scores.rows):
            progress.note(
                "no better than chance on held-out rows; try a higher --lr "
                f"(it was {how.lr:g}) or more --steps (there were {how.steps})"
            )
    _answer(done, start, data.name, how.method, json)


def _answer(done: Any, parent: str, task: str, method: str, json: bool) -> None:
    from weightscape.answers_tasks import FineTuneAnswer
    from weightscape.cli import console

    answer = FineTuneAnswer(
        folder=str(done.folder),
        parent=parent,
        task=task,
        method=method,
        loss=done.scores.loss,
        metrics=dict(done.scores.metrics),
        rows=done.scores.rows,
        best_step=done.best_step,
        stopped_after=done.stopped_after,
    )
    if json:
        console.answer(answer)
        return
    metrics = {name: value for name, value in answer.metrics.items() if name != "loss"}
    scores = "".join(f", {name} {value:.4g}" for name, value in metrics.items())
    kept = f"; best at step {answer.best_step}" if answer.best_step is not None else ""
    line = f"{answer.folder}: loss {answer.loss:.4g}{scores} on {answer.rows} rows{kept}"
    console.out().print(console.printable(line), markup=False, soft_wrap=True)
