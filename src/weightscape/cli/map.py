"""`weightscape map`: which models belong together."""

from typing import Annotated

import typer

from weightscape.cli import options


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("map", short_help="Which models belong together.")(map_regions)


def map_regions(
    atlas: options.AtlasFolder = options.DEFAULT_ATLAS,
    pooling: options.Pooling = None,
    layout: Annotated[
        str | None, typer.Option("--layout", metavar="NAME", help="mds or tsne.")
    ] = None,
    regions: Annotated[
        int | None,
        typer.Option("--regions", min=1, help="How many regions a tree (default: by the data)."),
    ] = None,
    seed: options.Seed = 0,
    plot: options.Plot = None,
    json: options.Json = False,
) -> None:
    """Show which models belong together, and draw them in the plane.

    Example:  weightscape map --plot map.png
    """
    from weightscape.atlas import Atlas
    from weightscape.cli import console, gather, summary
    from weightscape.report.collect import collect
    from weightscape.report.plots import plot_map

    with Atlas(atlas, create=False) as opened:
        if not json:
            summary.print_waiting(console.err(), opened)
        maps = opened.maps(pooling=pooling, layout=layout, regions=regions, seed=seed)
        answer = gather.region_map(opened, maps)
        if plot is not None:
            plot_map(collect(opened, maps=maps), plot)
    if json:
        console.answer(answer)
    else:
        summary.print_regions(console.out(), answer)
