"""Barriers of several pairs taken together, with intervals over pairs and over examples.

The barrier of one path, the highest of its rises over the chord, is on average too high: noise
has a highest point too. Over a cell it is therefore measured crosswise: half of the held-out rows
choose the point, the other half tell how far the loss rises there, and the reverse.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from weightscape.paths.resampling import draw_shares, percentiles

Array = NDArray[np.float64]
DRAWS = 2000


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure and its 95 % interval."""

    value: float
    low: float
    high: float

    def as_json(self) -> dict[str, float]:
        """Give it as plain data."""
        return {"value": self.value, "low": self.low, "high": self.high}


def crosswise(rises: Array, shares: Array | None = None) -> Array:
    """Measure the barrier of rises [points, rows] crosswise, for each row of shares [draws, rows].

    Without shares, once, over the rows as they are.
    """
    count = rises.shape[1]
    shares = np.full((1, count), 1 / count) if shares is None else shares
    even = np.arange(count) % 2 == 0
    one, two = _means(rises, shares, even), _means(rises, shares, ~even)
    return (_taken(one, two) + _taken(two, one)) / 2


def cell_barrier(rises: Sequence[Array], seed: int = 0) -> Estimate:
    """Measure a cell: the mean over its pairs, with an interval over pairs and examples."""
    value = float(np.mean([crosswise(pair)[0] for pair in rises]))
    return _estimate(value, draw_cell(rises, seed))


def difference(cell: Sequence[Array], other: Sequence[Array]) -> Estimate:
    """Measure how much higher a cell's barriers are than another's, on the same held-out rows."""
    value = float(
        np.mean([crosswise(pair)[0] for pair in cell])
        - np.mean([crosswise(pair)[0] for pair in other])
    )
    # the same rows are drawn for both (seed 0), other pairs (seed of their own)
    return _estimate(value, draw_cell(cell, 0, pair_seed=1) - draw_cell(other, 0, pair_seed=2))


def draw_cell(rises: Sequence[Array], seed: int, *, pair_seed: int = 1) -> Array:
    """Draw rows, the same for all pairs, and pairs; give the mean barrier of each draw."""
    shares: dict[int, Array] = {}
    for pair in rises:
        rows = pair.shape[1]
        shares.setdefault(rows, draw_shares(rows, DRAWS, seed))
    each = np.stack([crosswise(pair, shares[pair.shape[1]]) for pair in rises])
    picks = np.random.default_rng(pair_seed).integers(0, len(rises), each.T.shape)
    return np.asarray(np.take_along_axis(each.T, picks, axis=1).mean(axis=1))


def draw_statistic(
    groups: Sequence[Sequence[Array]], statistic: Callable[[Array], float], seed: int = 0
) -> Estimate:
    """Estimate a statistic of the barriers [groups, pairs], drawing rows, and pairs in groups."""
    plain = np.array([[crosswise(pair)[0] for pair in group] for group in groups])
    rows = groups[0][0].shape[1]
    shares = draw_shares(rows, DRAWS // 2, seed)
    each = np.stack([[crosswise(pair, shares) for pair in group] for group in groups])
    generator = np.random.default_rng(seed)
    drawn = []
    for draw in range(DRAWS // 2):
        picks = generator.integers(0, each.shape[1], each.shape[:2])
        drawn.append(statistic(np.take_along_axis(each[:, :, draw], picks, axis=1)))
    return _estimate(statistic(plain), np.array(drawn))


def _means(rises: Array, shares: Array, which: NDArray[np.bool_]) -> Array:
    """Give the mean rise [draws, points] over some of the rows."""
    part = shares[:, which]
    means: Array = (part @ rises[:, which].T) / part.sum(axis=1, keepdims=True)
    return means


def _taken(choosing: Array, scored: Array) -> Array:
    at = choosing.argmax(axis=1)
    taken: Array = scored[np.arange(len(at)), at]
    return taken


def _estimate(value: float, drawn: Array) -> Estimate:
    low, high = percentiles(drawn[np.isfinite(drawn)], 0.95)
    return Estimate(value, float(low), float(high))
