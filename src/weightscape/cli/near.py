"""`weightscape near MODEL`: its neighbours in weight space."""

from typing import Annotated

import typer

from weightscape.cli import options


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("near", short_help="A model's neighbours in weight space.")(near)


def near(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="A name, or how it begins or ends.")
    ],
    atlas: options.AtlasFolder = options.DEFAULT_ATLAS,
    count: Annotated[int, typer.Option("--count", "-n", min=1, help="How many.")] = 10,
    by: Annotated[
        str, typer.Option("--by", metavar="ORDER", help="distance or cosine, the best first.")
    ] = "distance",
    pooling: options.Pooling = None,
    json: options.Json = False,
) -> None:
    """List a model's neighbours: distance of the weights, cosine of the deltas.

    Example:  weightscape near my-finetune
    """
    from weightscape.answers import NearAnswer
    from weightscape.atlas import Atlas
    from weightscape.cli import console, gather
    from weightscape.cli.show import neighbour_table

    with Atlas(atlas, create=False) as opened:
        name = opened.find(model).name
        found = opened.near(name, count=count, pooling=pooling, by=by)
    answer = NearAnswer(model=name, neighbours=[gather.neighbour(it) for it in found])
    if json:
        console.answer(answer)
    elif answer.neighbours:
        console.out().print(neighbour_table(answer.neighbours))
    else:
        console.out().print("no model of its tree is in the atlas")
