"""The forest that the edges draw: who hangs below whom, in which order, how deep."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from weightscape.report.data import PageData, PageEdge


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

    def walk(self) -> Iterator[str]:
        """Yield every model, parents before children, siblings in order."""
        stack = list(reversed(self.roots))
        while stack:
            name = stack.pop()
            yield name
            stack.extend(reversed(self.children[name]))


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
