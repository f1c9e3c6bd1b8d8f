"""`weightscape path A B --task T`: are two models connected, and what is known on the way?"""

from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any

import typer

from weightscape.cli import options

CURVES = ("line", "bezier", "chain")


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("path", short_help="Are two models connected, and what is known on the way?")(path)


def path(
    a: Annotated[str, typer.Argument(metavar="A", help="A folder, a name in the atlas, a hub id.")],
    b: Annotated[str, typer.Argument(metavar="B", help="The other end.")],
    task: options.Tasks = None,
    curve: Annotated[
        str, typer.Option("--curve", metavar="NAME", help="line, bezier or chain.")
    ] = "line",
    points: Annotated[int, typer.Option("--points", help="Points that are scored.")] = 26,
    bends: Annotated[int, typer.Option("--bends", help="Trained points of a curve.")] = 1,
    bend: Annotated[
        list[str] | None,
        typer.Option("--bend", metavar="DIR", help="A bend trained before; repeatable."),
    ] = None,
    steps: Annotated[int, typer.Option("--steps", help="Of the bends' training.")] = 300,
    lr: Annotated[float, typer.Option("--lr", help="Of the bends' training.")] = 1e-4,
    batch: Annotated[int, typer.Option("--batch", help="Rows a step.")] = 16,
    init: Annotated[
        str, typer.Option("--init", metavar="NAME", help="Bends begin at the midpoint or normal.")
    ] = "midpoint",
    rows: options.Rows = "256",
    train_rows: options.TrainRows = "256",
    head: options.Head = "auto",
    space: options.Space = "factor",
    base: Annotated[
        str | None,
        typer.Option(
            "--base", metavar="MODEL", help="What both come from, for the deltas' cosine."
        ),
    ] = None,
    dynamics: Annotated[
        Path | None,
        typer.Option(
            "--dynamics", metavar="DIR", help="A model with recorded training (default: A)."
        ),
    ] = None,
    metric: options.Metric = None,
    threshold: Annotated[
        float | None,
        typer.Option("--threshold", help="Barrier up to which models count as connected."),
    ] = None,
    allow_chance: Annotated[
        bool, typer.Option("--allow-chance", help="Go on where an end has not learned the task.")
    ] = False,
    out: options.Out = None,
    atlas: options.AtlasFolder = options.DEFAULT_ATLAS,
    seed: options.Seed = 0,
    score_batch: options.ScoreBatch = 64,
    device: options.Device = None,
    bf16: options.Bf16 = False,
    factory: options.Factory = None,
    trust_remote_code: options.TrustRemoteCode = False,
    trust_code: options.TrustCode = False,
    plot: options.Plots = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Follow a task along a curve between two models: loss, barrier, and what is known where.

    Example:  weightscape path ./run-1 ./run-2 --task reviews.yml

    A second --task follows another task on the same path. The bends of a Bezier curve or a chain
    are trained on the first. Results are kept in the atlas, if it knows both models, and in DIR.
    """
    from weightscape.cli import console, path_checks, path_words, path_work

    path_checks.check_tasks(task)
    path_checks.check_choice("--curve", curve, CURVES)
    path_checks.check_choice("--init", init, ("midpoint", "normal"))
    path_checks.check_choice("--space", space, ("factor", "product"))
    path_checks.check_least("--points", points, 2)
    path_checks.check_least("--bends", bends, 1)
    scored = {
        "limit": path_checks.parse_rows("--rows", rows),
        "train_limit": path_checks.parse_rows("--train-rows", train_rows),
        "batch": score_batch,
    }
    path_checks.check_plots(plot)
    path_checks.check_output("--out", out)
    with ExitStack() as stack:
        progress = stack.enter_context(console.progress(quiet or json))
        # what is wrong with data shows in a moment, before anything heavy is loaded
        tasks = path_work.load_tasks(task, metric=metric, trust_code=trust_code, progress=progress)
        opened = stack.enter_context(path_work.atlas_if_any(atlas))
        ends = path_work.find_models([a, b], opened)
        learned = {"steps": steps, "lr": lr, "batch": batch, "init": init, "seed": seed}
        question = path_work.ask(
            "path",
            ends,
            task or (),
            curve,
            out=out,
            atlas=atlas,
            points=points,
            bends=bend or bends,
            training={} if curve == "line" or bend else learned,
            scored=[rows, train_rows, bf16, seed],
            judged=[metric, threshold],
            compared=[base, dynamics],
            loaded=[head, space, factory],
        )
        if ends[0].source == ends[1].source:
            progress.note("both ends are the same model: a path of length 0")
        from weightscape.paths.bends import BendTraining

        training: Any = BendTraining(**learned)  # type: ignore[arg-type]
        result = _connect(
            ends,
            tasks,
            scored,
            curve=curve,
            points=points,
            bends=[path_work.find_models([it], opened)[0].source for it in bend] if bend else bends,
            training=training,
            head=path_work.find_head(head, opened),
            space=space,
            base=None if base is None else path_work.find_models([base], opened)[0].source,
            dynamics=dynamics,
            threshold=threshold,
            seed=seed,
            bf16=bf16,
            allow_chance=allow_chance,
            folder=question.kept,
            progress=progress,
            device=device,
            factory=factory,
            trust_remote_code=trust_remote_code,
        )
        answer, page = path_work.finish_path(result, opened, ends, question, plot or ())
    if json:
        console.answer(answer)
    else:
        path_words.print_path(answer, page)


def _connect(
    ends: Any,
    tasks: Any,
    scored: dict[str, Any],
    *,
    threshold: float | None,
    seed: int,
    bf16: bool,
    **how: Any,
) -> Any:
    import torch

    from weightscape.paths.path import connect
    from weightscape.paths.series import Judging
    from weightscape.tasks.objective import Scoring

    first, second = ends
    return connect(
        first.source,
        second.source,
        tasks,
        scoring=Scoring(**scored, autocast=torch.bfloat16 if bf16 else None),
        judging=Judging(threshold=threshold, seed=seed),
        **how,
    )
