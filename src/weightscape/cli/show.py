"""`weightscape show MODEL`: all that is known of one model."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from weightscape.cli import options

if TYPE_CHECKING:
    from weightscape.answers import NeighbourAnswer


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("show", short_help="All that is known of one model.")(show)


def show(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="A name, or how it begins or ends.")
    ],
    atlas: options.AtlasFolder = options.DEFAULT_ATLAS,
    json: options.Json = False,
) -> None:
    """Show one model: its files, its parent and why, its children, its region, its neighbours.

    Example:  weightscape show my-finetune
    """
    from weightscape.answers import ShowAnswer
    from weightscape.atlas import Atlas
    from weightscape.cli import console, gather

    with Atlas(atlas, create=False) as opened:
        answer: ShowAnswer = gather.show(opened, opened.find(model).name)
    if json:
        console.answer(answer)
        return
    out = console.out()
    out.print(console.printable(answer.name), style="bold", markup=False)
    norm = "" if answer.norm is None else f"{answer.norm:.4g}"
    rows = [
        ("path", answer.path),
        ("status", answer.status),
        ("family", answer.family or ""),
        ("region", answer.region or ""),
        ("format", f"{answer.format}, {answer.dtype}, {answer.parameters:,} parameters"),
        ("fetched from", answer.origin or ""),
        ("of it", _layers(answer.layers)),
        ("size", console.size(answer.bytes)),
        ("norm", norm),
        ("declares", ", ".join(answer.declared)),
        ("run", f"{answer.run}, step {answer.step}" if answer.run else ""),
        ("children", ", ".join(answer.children)),
        ("not finite", ", ".join(answer.nonfinite)),
        ("fingerprint", answer.fingerprint),
    ]
    out.print(console.table(["", ""], [row for row in rows if row[1]]))
    for edge in answer.edges_in:
        out.print(
            f"from {console.printable(edge.parent)}: {edge.kind}, {edge.confidence:.0%} sure",
            markup=False,
        )
        for why in edge.evidence:
            out.print(f"  - {console.printable(why)}", markup=False)
    if answer.neighbours:
        out.print(neighbour_table(answer.neighbours))


def _layers(names: "Sequence[str]") -> str:
    """Name the layer by which a model is compared, of whose others only the shapes are known."""
    matrices = [name for name in names if not name.endswith((".bias", "LayerNorm.weight"))]
    more = len(names) - len(matrices)
    return ", ".join(matrices) + (f" and {more} vectors" if matrices and more else "")


def _distance(it: "NeighbourAnswer") -> str:
    """Write a distance, or what is known of one that the kept products do not resolve."""
    if it.distance < it.resolution:
        return f"< {it.resolution:.1g}"
    return f"{it.distance:.4g}"


def neighbour_table(neighbours: "Sequence[NeighbourAnswer]") -> object:
    """Make the table of neighbours that `show` and `near` print."""
    from weightscape.cli import console

    rows = [
        (it.model, _distance(it), "" if it.cosine is None else f"{it.cosine:.3f}")
        for it in neighbours
    ]
    return console.table(["neighbour", "distance", "cosine"], rows, right="distance cosine")
