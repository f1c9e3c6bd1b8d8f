"""`weightscape region MODELS... --task T`: is what lies between models good, and where it ends."""

from typing import Annotated, Any

import typer

from weightscape.cli import options


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("region", short_help="Is what lies between models as good, and where it ends.")(
        region
    )


def region(
    models: Annotated[
        list[str],
        typer.Argument(
            metavar="MODEL...", help="Folders, names in the atlas, or a region's label."
        ),
    ],
    task: options.Tasks = None,
    outside: Annotated[
        list[str] | None,
        typer.Option(
            "--outside",
            metavar="MODEL",
            help="Outside models, as MODEL; or noise, or directions; repeatable.",
        ),
    ] = None,
    base: options.OneBase = None,
    samples: Annotated[int, typer.Option("--samples", help="Points drawn between them.")] = 10,
    sampler: Annotated[
        str, typer.Option("--sampler", metavar="NAME", help="dirichlet, edges or sparse.")
    ] = "dirichlet",
    rays: Annotated[int, typer.Option("--rays", help="From the centre; 0: none.")] = 6,
    reach: Annotated[
        float, typer.Option("--reach", help="How far rays go, in the models' own distances.")
    ] = 32.0,
    pairs: Annotated[
        int, typer.Option("--pairs", help="Lines through two models, and as many across.")
    ] = 2,
    threshold: Annotated[
        float | None,
        typer.Option("--threshold", help="Loss at which it ends (default: the mean outside)."),
    ] = None,
    place: Annotated[
        list[str] | None,
        typer.Option("--place", metavar="MODEL", help="Say where it lies; repeatable."),
    ] = None,
    rows: options.Rows = "256",
    train_rows: options.TrainRows = "256",
    metric: options.Metric = None,
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
    """Measure a group of models as a region: points between them, what is outside, where it ends.

    Example:  weightscape region ./run-1 ./run-2 ./run-3 --task reviews.yml

    Every point gets a head of its own, fitted on training rows; losses are of held-out rows. In an
    atlas, MODEL may be region:NAME, and outside are models of other regions of the same tree.
    """
    from weightscape.cli import console, path_checks, path_work, region_words, region_work

    path_checks.check_tasks(task)
    region_work.check_numbers(samples=samples, rays=rays, reach=reach, pairs=pairs)
    limits = {
        "limit": path_checks.parse_rows("--rows", rows),
        "train_limit": path_checks.parse_rows("--train-rows", train_rows),
    }
    path_checks.check_plots(plot)
    path_checks.check_output("--out", out)
    with path_work.atlas_if_any(atlas) as opened, console.progress(quiet or json) as progress:
        drawn: dict[str, Any] = {"samples": samples, "sampler": sampler, "rays": rays}
        drawn |= {"reach": reach, "pairs": pairs, "threshold": threshold, "seed": seed}
        sought = region_work.find(models, outside or (), base, place or (), opened, seed)
        asked = region_work.ask(
            sought, task or (), drawn, [rows, train_rows, bf16, metric, factory], out, atlas
        )
        region_work.tell_places(sought.places or (), len(sought.group.ends), progress)
        tasks = path_work.load_tasks(task, metric=metric, trust_code=trust_code, progress=progress)
        result = region_work.measure(
            sought,
            tasks,
            {**limits, "batch": score_batch, "bf16": bf16},
            **drawn,
            folder=asked.kept,
            progress=progress,
            device=device,
            factory=factory,
            trust_remote_code=trust_remote_code,
        )
        answer, page = region_work.finish(result, sought, asked, opened, plot or ())
    if json:
        console.answer(answer)
    else:
        region_words.print_region(answer, page)
