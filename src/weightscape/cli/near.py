"""`weightscape near MODEL`: its neighbours in weight space, or those that know the same."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from weightscape.cli import options

if TYPE_CHECKING:
    from weightscape.answers import NearAnswer
    from weightscape.atlas import Atlas
    from weightscape.progress import Progress


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("near", short_help="A model's neighbours in weight space.")(near)


def near(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="A name, or how it begins or ends; with --by probe a path, URL or hub id too.",
        ),
    ],
    atlas: options.AtlasFolder = options.DEFAULT_ATLAS,
    count: Annotated[int, typer.Option("--count", "-n", min=1, help="How many.")] = 10,
    by: Annotated[
        str,
        typer.Option("--by", metavar="ORDER", help="distance, cosine or probe, the best first."),
    ] = "distance",
    pooling: options.Pooling = None,
    allow_download: options.AllowDownload = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """List a model's neighbours: distance of the weights, cosine of the deltas, what they know.

    Example:  weightscape near my-finetune

    By probe are near the models that know the same, whoever they were made from: by the vectors
    of their tree's expert (train-probes), for which one layer is read.
    """
    from weightscape.atlas import Atlas
    from weightscape.cli import console
    from weightscape.cli.show import neighbour_table
    from weightscape.errors import UnknownName
    from weightscape.regions.neighbours import ORDERS

    if by not in (*ORDERS, "probe"):
        raise UnknownName("order", by, [*ORDERS, "probe"])
    with Atlas(atlas, create=False) as opened:
        if by == "probe":
            with console.progress(quiet or json) as progress:
                answer = _by_probe(opened, model, count, pooling, allow_download, progress)
        else:
            answer = _by_weights(opened, model, count, pooling, by)
        parts = {it.name for it in opened.models() if it.facts.part_of is not None}
    if json:
        console.answer(answer)
    elif by == "probe":
        rows = [(it.model, f"{it.score:.3f}") for it in answer.hits]
        console.out().print(console.table(["neighbour", "likeness"], rows, right="likeness"))
    elif answer.neighbours:
        console.out().print(neighbour_table(answer.neighbours))
        if parts & {answer.model, *(it.model for it in answer.neighbours)}:
            console.note("of some one layer is here: distances to them are estimates")
    else:
        console.out().print("no model of its tree is in the atlas")


def _by_weights(
    opened: "Atlas", model: str, count: int, pooling: str | None, by: str
) -> "NearAnswer":
    from weightscape.answers import NearAnswer, NearHitAnswer
    from weightscape.cli import gather

    name = _charted(opened, model)
    found = [gather.neighbour(it) for it in opened.near(name, count=count, pooling=pooling, by=by)]
    hits = [
        NearHitAnswer(
            model=it.model, score=it.cosine if by == "cosine" else -it.distance, found_by=[by]
        )
        for it in found
    ]
    return NearAnswer(model=name, neighbours=found, hits=hits)


def _charted(opened: "Atlas", model: str) -> str:
    """Name the model that is meant; raises UnknownName, or BadInput for a model elsewhere."""
    from weightscape.errors import BadInput, UnknownName
    from weightscape.io import WebPlace, locate

    try:
        return opened.find(model).name
    except UnknownName:
        place = locate(model)
        elsewhere = isinstance(place, Path) and place.exists()
        if not (elsewhere or isinstance(place, WebPlace) or model.startswith("hub:")):
            raise
        raise BadInput(
            f"{model} is not in the atlas, and distance and cosine are known of its models only; "
            "put it there (weightscape add), or ask who knows the same (--by probe)"
        ) from None


def _by_probe(
    opened: "Atlas",
    model: str,
    count: int,
    pooling: str | None,
    allow_download: bool,
    progress: "Progress",
) -> "NearAnswer":
    from weightscape.answers import NearAnswer, NearHitAnswer
    from weightscape.atlas.probe_near import near_by_probe
    from weightscape.cli import gather
    from weightscape.cli.describe import find

    seen, found = near_by_probe(
        opened.store,
        find(model, opened),
        count=count,
        allow_download=allow_download,
        progress=progress,
    )
    compared = {}
    if seen.name is not None and opened.model(seen.name).status == "ready":
        everyone = opened.near(seen.name, count=len(opened.models()), pooling=pooling)
        compared = {it.model: gather.neighbour(it) for it in everyone}
    return NearAnswer(
        model=seen.name or model,
        neighbours=[compared[it.name] for it in found if it.name in compared],
        hits=[NearHitAnswer(model=it.name, score=it.score, found_by=["probe"]) for it in found],
        expert=None if seen.kept is None else seen.kept.name,
    )
