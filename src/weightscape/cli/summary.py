"""The terminal summary of a charted atlas: forest, regions, what was left out."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.text import Text
from rich.tree import Tree as Branches

from weightscape.answers import (
    AddAnswer,
    ChartAnswer,
    EdgeAnswer,
    MapAnswer,
    SkippedAnswer,
    TreeAnswer,
)
from weightscape.cli.console import printable, size, table

if TYPE_CHECKING:
    from weightscape.atlas import Atlas

# More than a screen or two nobody reads; the page and --json have them all.
MOST_LINES = 80
SURE = 0.8
UNSURE = 0.5


def headline(answer: ChartAnswer) -> str:
    """Say in one line what was found."""
    models = {name for family in answer.tree.families for name in family.members}
    counts = [
        plural(len(models), "model"),
        plural(len(answer.tree.families), "family", "families"),
        plural(len(answer.tree.roots), "root"),
        plural(len(answer.map.regions), "region"),
    ]
    if answer.skipped:
        counts.append(f"{len(answer.skipped)} skipped")
    return ", ".join(counts)


def plural(count: int, one: str, many: str | None = None) -> str:
    """Write a count with its noun.

    >>> plural(1, "family", "families"), plural(2, "root")
    ('1 family', '2 roots')
    """
    return f"{count} {one if count == 1 else many or one + 's'}"


def print_forest(console: Console, tree: TreeAnswer) -> None:
    """Draw the forest as an indented tree, with kinds and confidence."""
    children: dict[str, list[EdgeAnswer]] = {}
    parents: dict[str, list[str]] = {}
    for edge in tree.edges:
        parents.setdefault(edge.child, []).append(edge.parent)
        if len(parents[edge.child]) == 1:
            children.setdefault(edge.parent, []).append(edge)
    lines = 0
    tops = [*tree.roots, *(p for p in children if p not in tree.roots and p not in parents)]
    for root in dict.fromkeys(tops):
        if lines >= MOST_LINES:
            break
        drawn = Branches(Text(printable(root), style="bold"), guide_style="dim")
        lines += 1 + _grow(drawn, root, children, parents, MOST_LINES - lines)
        console.print(drawn)
    total = len(tree.edges) + len(tree.roots)
    if lines < total - 1 and lines >= MOST_LINES:
        console.print(f"... and more: {total} in all, see the page or --json", style="dim")


def _grow(
    top: Branches,
    root: str,
    children: dict[str, list[EdgeAnswer]],
    parents: dict[str, list[str]],
    room: int,
) -> int:
    """Add descendants, deepest chains included, without recursing into them."""
    lines = 0
    todo = [(top, root)]
    seen = {root}
    while todo:
        branch, name = todo.pop()
        for edge in children.get(name, []):
            if edge.child in seen or lines >= room:
                continue
            seen.add(edge.child)
            lines += 1
            todo.append((branch.add(_label(edge, parents[edge.child])), edge.child))
    return lines


def _label(edge: EdgeAnswer, parents: list[str]) -> Text:
    style = "" if edge.confidence >= SURE else ("yellow" if edge.confidence >= UNSURE else "red")
    label = Text(printable(edge.child))
    label.append(f"  {edge.kind}", style="dim")
    if len(parents) > 1:
        label.append(f" with {', '.join(printable(it) for it in parents[1:])}", style="dim")
    label.append(f"  {edge.confidence:.0%}", style=style or "dim")
    return label


def print_undecided(console: Console, tree: TreeAnswer) -> None:
    """Say which models the weights do not place, and why."""
    for it in tree.undecided:
        names = ", ".join(printable(name) for name in it.models[:6])
        more = f" and {len(it.models) - 6} more" if len(it.models) > 6 else ""
        console.print(f"undecided: {escape(names)}{more}: {escape(printable(it.reason))}")


def print_waiting(console: Console, atlas: "Atlas") -> None:
    """Say which models nothing is known of yet, after a run that was stopped."""
    waiting = sum(it.status == "pending" for it in atlas.models())
    if waiting:
        verb = "waits" if waiting == 1 else "wait"
        console.print(
            f"{plural(waiting, 'model')} {verb} to be read: chart again to go on", style="yellow"
        )


def print_regions(console: Console, found: MapAnswer) -> None:
    """List the regions with their members."""
    rows = [
        (it.label.removeprefix("region:"), len(it.members), _names(it.members))
        for it in found.regions
    ]
    if rows:
        console.print(table(["region", "models", "members"], rows, right="models"))
    if found.outliers:
        console.print(f"in no region: {escape(printable(_names(found.outliers)))}")
    for note in found.notes:
        console.print(escape(printable(note)))


def _names(names: Sequence[str], most: int = 8) -> str:
    more = f", ... {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def print_skipped(console: Console, skipped: Sequence[SkippedAnswer]) -> None:
    """Say what was left out and why."""
    for it in skipped:
        reason = it.reason.removeprefix(it.path).lstrip("/:, ")
        console.print(
            f"skipped {printable(it.path)}: {printable(reason)}",
            markup=False,
            soft_wrap=True,
            style="yellow",
        )


def print_fetched(console: Console, answer: AddAnswer) -> None:
    """Say what was fetched, and which models are known by some of their layers only."""
    if answer.by_layers:
        count = len(answer.by_layers)
        which = "the model is compared by one layer"
        if count > 1:
            which = f"{count} models are compared by one layer of each"
        came = f"fetched {size(answer.bytes_fetched)} of {size(answer.bytes_elsewhere)}"
        console.print(
            f"{came}: {which}; --download fetches all",
            style="dim",
            soft_wrap=True,
        )
    elif answer.bytes_fetched:
        console.print(f"fetched {size(answer.bytes_fetched)}", style="dim")


def print_reading(console: Console, answer: ChartAnswer, verified: bool = False) -> None:
    """Say how much was read of models that are here."""
    if answer.by_layers and len(answer.by_layers) == len(answer.given):
        return
    read = answer.bytes_read + answer.bytes_sampled
    looked = ""
    if answer.bytes_looked:
        edges = plural(len(answer.tree.edges), "edge")
        looked = f", and {size(answer.bytes_looked)} again for a second look at {edges}"
    if read or answer.new:
        new = f" for {plural(len(answer.new), 'new model')}" if answer.new else ""
        console.print(
            f"read {size(read)}{new}{looked} "
            f"({size(answer.bytes_on_disk)} on disk under the paths given)",
            style="dim",
        )
    else:
        how = "every byte was read to verify that" if verified else "no weights were read"
        console.print(f"nothing new; {how}{looked}", style="dim")
