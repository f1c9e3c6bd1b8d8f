"""One ranking out of several that know different things.

Reciprocal-rank fusion: Cormack, Clarke and Buettcher, SIGIR 2009.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

DAMPING = 60
"""The paper's k: how little the first ranks differ from the next ones."""


@dataclass(frozen=True, slots=True)
class Fused:
    """A name, the sum over rankings of 1 / (k + rank), and the rankings it is in."""

    name: str
    score: float
    found_by: tuple[str, ...]


def fuse(rankings: Mapping[str, Sequence[str]], *, damping: int = DAMPING) -> list[Fused]:
    """Put rankings (names, the best first) into one; ties go by name.

    >>> [(it.name, it.found_by) for it in fuse({"weights": ["a", "b"], "text": ["b"]})]
    [('b', ('weights', 'text')), ('a', ('weights',))]
    """
    scores: dict[str, float] = {}
    found_by: dict[str, list[str]] = {}
    for finder, names in rankings.items():
        for rank, name in enumerate(dict.fromkeys(names), 1):
            scores[name] = scores.get(name, 0.0) + 1 / (damping + rank)
            found_by.setdefault(name, []).append(finder)
    order = sorted(scores, key=lambda name: (-scores[name], name))
    return [Fused(name, scores[name], tuple(found_by[name])) for name in order]
