"""`weightscape chart PATH...`: the main job."""

from typing import Annotated

import typer

from weightscape.cli import options


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command(
        "chart",
        short_help="Read a folder of checkpoints: who came from whom, who belongs together.",
    )(chart)


def chart(
    paths: options.Places,
    atlas: options.AtlasFolder = options.DEFAULT_ATLAS,
    include: options.Include = None,
    exclude: options.Exclude = None,
    base: options.Base = None,
    download: options.Download = False,
    verify: options.Verify = False,
    memory: options.Memory = "2GiB",
    threads: options.Threads = None,
    seed: options.Seed = 0,
    plot: options.Plot = None,
    open_page: Annotated[
        bool, typer.Option("--open/--no-open", help="Open the page in a browser.")
    ] = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Read checkpoints once; show which came from which, and which belong together.

    Example:  weightscape chart ~/checkpoints

    Reads every model under the paths (safetensors, torch zips, LoRA adapters), adds it to the
    atlas, prints the forest and the regions, and writes the page DIR/index.html. Charting again
    reads new models only. Exit code 3 when something was skipped.
    """
    from weightscape.atlas import Atlas
    from weightscape.cli import console
    from weightscape.cli.charting import (
        chart_into,
        check_paths,
        check_plot,
        print_chart,
        show_page,
    )
    from weightscape.cli.places import bring_here, locate_all

    # before an atlas is made: a mistyped path should leave nothing behind
    room = options.parse_size(memory)
    places = locate_all(paths)
    base_places = locate_all(base or ())
    check_plot(plot)
    with console.progress(quiet or json) as progress:
        brought = bring_here(places, atlas=atlas, whole=download, progress=progress)
        under = bring_here(base_places, atlas=atlas, whole=download, progress=progress)
    check_paths(brought.paths, include or (), exclude or (), atlas)
    with Atlas(atlas) as opened, console.progress(quiet or json) as progress:
        answer = chart_into(
            opened,
            brought.paths,
            include=include or (),
            exclude=exclude or (),
            bases=under.paths,
            verify=verify,
            memory=room,
            threads=threads,
            seed=seed,
            plot=plot,
            brought=(under, brought),
            progress=progress,
        )
    if json:
        console.answer(answer)
    else:
        print_chart(answer, verified=verify, quiet=quiet)
    if open_page:
        show_page(answer)
    if answer.skipped:
        raise typer.Exit(3)
