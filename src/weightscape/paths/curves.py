"""Curves through control points: which weights a point of a curve gives to each of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import comb
from typing import Protocol

from weightscape.errors import BadInput
from weightscape.paths.records import CurveName


class Curve(Protocol):
    """A curve from the first of its control points to the last, for t from 0 to 1."""

    @property
    def name(self) -> CurveName:
        """Tell what it is called."""
        ...

    @property
    def bends(self) -> int:
        """Tell how many control points lie between the ends."""
        ...

    def weights(self, t: float) -> tuple[float, ...]:
        """Give the weights of the control points at t; they sum to 1."""
        ...


@dataclass(frozen=True, slots=True)
class Line:
    """The straight line: (1-t) A + t B.

    >>> Line().weights(0.25)
    (0.75, 0.25)
    """

    name: CurveName = "line"
    bends: int = 0

    def weights(self, t: float) -> tuple[float, ...]:
        """Give the weights of the two ends."""
        return 1 - t, t


@dataclass(frozen=True, slots=True)
class Bezier:
    """A Bézier curve of degree bends + 1 (Garipov et al. 2018; Qin et al. 2022).

    The weight of control point i is the Bernstein polynomial C(n, i) t^i (1-t)^(n-i), n = bends+1.

    >>> Bezier(1).weights(0.5)
    (0.25, 0.5, 0.25)
    """

    bends: int = 1
    name: CurveName = "bezier"

    def weights(self, t: float) -> tuple[float, ...]:
        """Give the Bernstein weights."""
        n = self.bends + 1
        return tuple(comb(n, i) * t**i * (1 - t) ** (n - i) for i in range(n + 1))


@dataclass(frozen=True, slots=True)
class Chain:
    """A polygonal chain: straight from each control point to the next, each as long in t.

    >>> Chain(1).weights(0.25)
    (0.5, 0.5, 0.0)
    """

    bends: int = 1
    name: CurveName = "chain"

    def weights(self, t: float) -> tuple[float, ...]:
        """Give the weights of the two control points that t lies between."""
        position = t * (self.bends + 1)
        return tuple(max(0.0, 1 - abs(position - i)) for i in range(self.bends + 2))


def make_curve(name: CurveName, bends: int = 1) -> Curve:
    """Make a curve by its name; `bends` is ignored by a line."""
    if name == "line":
        return Line()
    if name not in ("bezier", "chain"):
        raise BadInput(f"there is no curve {name!r}; choose line, bezier or chain")
    if not 1 <= bends <= 16:
        raise BadInput(f"a {name} has 1 to 16 bends, not {bends}; without bends it is a line")
    return Bezier(bends) if name == "bezier" else Chain(bends)


def spread(points: int) -> tuple[float, ...]:
    """Spread points evenly over the curve, both ends among them.

    >>> spread(3)
    (0.0, 0.5, 1.0)
    """
    if not 2 <= points <= 10_000:
        raise BadInput(f"a path has 2 to 10000 points, not {points}")
    return tuple(i / (points - 1) for i in range(points))


def in_model_order(weights: Sequence[float]) -> tuple[float, ...]:
    """Turn weights in the order of the curve (A, bends, B) into the span's order (A, B, bends)."""
    return (weights[0], weights[-1], *weights[1:-1])
