"""How much of a known forest was recovered."""

from collections.abc import Iterable
from dataclasses import dataclass

from weightscape.catalog.records import Edge, Forest


@dataclass(frozen=True, slots=True)
class Score:
    """Shares of the true edges, 0 to 1 (1 where there are none to find).

    undirected: found, whichever way round. directed: found with the direction. kinds: of the
    directed ones, those of the right kind. merges: merged models whose sources are exactly right.
    invented: edges of the forest that are not in the truth, as a share of the forest's edges.
    """

    edges: int
    undirected: float
    directed: float
    kinds: float
    merges: float
    invented: float


def score_forest(forest: Forest, truth: Iterable[Edge]) -> Score:
    """Compare a recovered forest with the true edges; their confidence is not looked at.

    >>> true = [Edge("base", "child", "full", 1.0)]
    >>> score_forest(Forest(edges=(Edge("child", "base", "full", 0.6),)), true).undirected
    1.0
    """
    true = {(edge.parent, edge.child): edge.kind for edge in truth}
    found = {(edge.parent, edge.child): edge.kind for edge in forest.edges}
    pairs = {frozenset(pair) for pair in found}
    right = [pair for pair in true if pair in found]
    merged = {child for (_, child), kind in true.items() if kind == "merge"}
    whole = [child for child in merged if _sources(true, child) == _sources(found, child)]
    return Score(
        edges=len(true),
        undirected=_share(sum(frozenset(pair) in pairs for pair in true), len(true)),
        directed=_share(len(right), len(true)),
        kinds=_share(sum(true[pair] == found[pair] for pair in right), len(right)),
        merges=_share(len(whole), len(merged)),
        invented=1.0 - _share(sum(pair in true for pair in found), len(found)),
    )


def _sources(edges: Iterable[tuple[str, str]], child: str) -> set[str]:
    return {parent for parent, whose in edges if whose == child}


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 1.0
