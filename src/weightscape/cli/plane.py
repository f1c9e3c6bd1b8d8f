"""`weightscape plane A B C --task T`: the loss over the plane through three models."""

from contextlib import ExitStack
from typing import Annotated

import typer

from weightscape.cli import options


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("plane", short_help="The loss over the plane through three models.")(plane)


def plane(
    a: Annotated[str, typer.Argument(metavar="A", help="A folder, a name in the atlas, a hub id.")],
    b: Annotated[str, typer.Argument(metavar="B", help="Another model.")],
    c: Annotated[str, typer.Argument(metavar="C", help="A third, not on the line of the others.")],
    task: options.Tasks = None,
    grid: Annotated[int, typer.Option("--grid", help="Points along each side.")] = 11,
    margin: Annotated[
        float, typer.Option("--margin", help="Room about the models, as a share of their extent.")
    ] = 0.25,
    rows: options.Rows = "128",
    train_rows: options.TrainRows = "128",
    head: options.Head = "auto",
    space: options.Space = "factor",
    metric: options.Metric = None,
    out: options.Out = None,
    atlas: options.AtlasFolder = options.DEFAULT_ATLAS,
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
    """Score a task on a grid over the plane through three models, and draw its contours.

    Example:  weightscape plane ./run-1 ./run-2 ./run-3 --task reviews.yml

    Results are kept in the atlas, if it knows the three models, and in DIR; a grid that was
    interrupted goes on where it was.
    """
    from weightscape.cli import console, path_checks, path_words, path_work
    from weightscape.errors import BadInput

    path_checks.check_tasks(task)
    if len(task or ()) > 1:
        raise BadInput("a plane is of one task; run it once for each")
    path_checks.check_choice("--space", space, ("factor", "product"))
    path_checks.check_least("--grid", grid, 2)
    path_checks.check_least("--margin", margin, 0)
    limit = path_checks.parse_rows("--rows", rows)
    train_limit = path_checks.parse_rows("--train-rows", train_rows)
    path_checks.check_plots(plot)
    path_checks.check_output("--out", out)
    with ExitStack() as stack:
        progress = stack.enter_context(console.progress(quiet or json))
        (data,) = path_work.load_tasks(
            task, metric=metric, trust_code=trust_code, progress=progress
        )
        opened = stack.enter_context(path_work.atlas_if_any(atlas))
        ends = path_work.find_models([a, b, c], opened)
        if len({it.source for it in ends}) < 3:
            raise BadInput("a plane needs three different models")
        question = path_work.ask(
            "plane",
            ends,
            task or (),
            "plane",
            out=out,
            atlas=atlas,
            grid=[grid, margin],
            scored=[rows, train_rows, bf16],
            judged=[metric],
            loaded=[head, space, factory],
        )
        import torch

        from weightscape.paths.plane import plane as score_plane
        from weightscape.tasks.objective import Scoring

        result = score_plane(
            ends[0].source,
            ends[1].source,
            ends[2].source,
            data,
            size=grid,
            margin=margin,
            head=path_work.find_head(head, opened),
            space="product" if space == "product" else "factor",
            scoring=Scoring(limit, train_limit, 0, score_batch, torch.bfloat16 if bf16 else None),
            folder=question.kept,
            progress=progress,
            device=device,
            factory=factory,
            trust_remote_code=trust_remote_code,
        )
        answer, page = path_work.finish_plane(result, opened, ends, question, plot or ())
    if json:
        console.answer(answer)
    else:
        path_words.print_plane(answer, page)
