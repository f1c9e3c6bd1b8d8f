"""The forest that the edges draw: who hangs below whom, in which order, how deep."""

from collections import defaultdict
from dataclasses import dataclass

from weightscape.report.data import PageData, PageEdge

Rows = list[tuple[str | None, int, int]]
"""Rows of an outline: a model's name (None for models left out), its depth, how many left out."""


@dataclass(frozen=True, slots=True)
class Kinship:
    """A forest of model names; every model stands in it once.

    edges: the edges into each child, main parent first. parent: main parent, where it is a model
    of the page. children and roots: largest below first, then by name. size: models below, itself
    included. depth: edges up to its root.
    """

    edges: dict[str, tuple[PageEdge, ...]]
    parent: dict[str, str]
    children: dict[str, tuple[str, ...]]
    roots: tuple[str, ...]
    size: dict[str, int]
    depth: dict[str, int]

    def outline(self, most: int) -> Rows:
        """List about `most` rows of the forest, top to bottom, as (name, depth, left out).

        Where there are more models, each row of siblings is cut to the same length, the largest
        first, and a row without a name says how many were left out there.
        """
        low, high = 1, max(len(self.size), 1)
        while low < high:  # the longest rows of siblings that fit
            middle = (low + high + 1) // 2
            low, high = (middle, high) if len(self._cut(middle)) <= most else (low, middle - 1)
        return self._cut(low)

    def _cut(self, siblings: int) -> Rows:
        rows: Rows = []
        stack: Rows = []

        def push(names: tuple[str, ...], depth: int) -> None:
            if len(names) > siblings + 1:
                stack.append((None, depth, len(names) - siblings))
                names = names[:siblings]
            stack.extend((name, depth, 0) for name in reversed(names))

        push(self.roots, 0)
        while stack:
            row = stack.pop()
            rows.append(row)
            if row[0] is not None:
                push(self.children[row[0]], row[1] + 1)
        return rows


def trace_kinship(data: PageData) -> Kinship:
    """Trace the forest in a page's edges.

    An edge that would close a circle is left out of the drawing (not out of `edges`), so that a
    damaged catalog cannot hang the page.
    """
    names = [model.name for model in data.models]
    known = set(names)
    edges: dict[str, list[PageEdge]] = defaultdict(list)
    for edge in data.edges:
        edges[edge.child].append(edge)
    parent: dict[str, str] = {}
    for name in names:
        main = next((edge.parent for edge in edges[name] if edge.parent in known), None)
        if main is not None and not _reaches(parent, main, name):
            parent[name] = main
    children: dict[str, list[str]] = {name: [] for name in names}
    for child, above in parent.items():
        children[above].append(child)
    roots = [name for name in names if name not in parent]
    depth = _depths(roots, children)
    size = dict.fromkeys(names, 1)
    for name in sorted(parent, key=lambda child: -depth[child]):
        size[parent[name]] += size[name]

    def largest_first(some: list[str]) -> tuple[str, ...]:
        return tuple(sorted(some, key=lambda name: (-size[name], name)))

    return Kinship(
        edges={name: tuple(edges[name]) for name in names},
        parent=parent,
        children={name: largest_first(below) for name, below in children.items()},
        roots=largest_first(roots),
        size=size,
        depth=depth,
    )


def _reaches(parent: dict[str, str], start: str, goal: str) -> bool:
    here: str | None = start
    while here is not None and here != goal:
        here = parent.get(here)
    return here == goal


def _depths(roots: list[str], children: dict[str, list[str]]) -> dict[str, int]:
    depth = dict.fromkeys(roots, 0)
    stack = list(roots)
    while stack:
        name = stack.pop()
        for child in children[name]:
            depth[child] = depth[name] + 1
            stack.append(child)
    return depth
