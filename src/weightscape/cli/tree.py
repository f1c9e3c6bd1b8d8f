"""`weightscape tree`: which model was made from which."""

import enum
from typing import Annotated

import typer

from weightscape.cli import options


class Format(enum.StrEnum):
    """How a forest is written."""

    text = "text"
    dot = "dot"
    csv = "csv"


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("tree", short_help="Which model was made from which.")(tree)


def tree(
    atlas: options.AtlasFolder = options.DEFAULT_ATLAS,
    format: Annotated[
        Format, typer.Option("--format", help="dot: Graphviz; csv: one edge a line.")
    ] = Format.text,
    plot: options.Plot = None,
    json: options.Json = False,
) -> None:
    """Show which model was made from which, how, and how sure that is.

    Example:  weightscape tree --format dot | dot -Tsvg > tree.svg
    """
    from weightscape.atlas import Atlas
    from weightscape.cli import console, gather, summary
    from weightscape.cli.exports import as_csv, as_dot
    from weightscape.report.collect import collect
    from weightscape.report.plots import plot_forest

    with Atlas(atlas, create=False) as opened:
        if not json:
            summary.print_waiting(console.err(), opened)
        answer = gather.tree(opened)
        if plot is not None:
            plot_forest(collect(opened), plot)
    if json:
        console.answer(answer)
    elif format is Format.dot:
        console.export(as_dot(answer))
    elif format is Format.csv:
        console.export(as_csv(answer))
    else:
        summary.print_forest(console.out(), answer)
        summary.print_undecided(console.out(), answer)
