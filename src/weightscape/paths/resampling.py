"""Bootstrap over examples, with the same examples at every point of a path.

The points of a path are scored on the same rows, so their losses go up and down together; rows
are therefore drawn once a draw and for all points (a paired bootstrap).
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from weightscape.paths.records import Interval

Array = NDArray[np.float64]


def draw_shares(rows: int, draws: int, seed: int) -> Array:
    """Draw `rows` rows with replacement, `draws` times: each row's share [draws, rows]."""
    generator = np.random.default_rng(seed)
    return generator.multinomial(rows, np.full(rows, 1 / rows), size=draws) / rows


def percentiles(drawn: Array, level: float) -> NDArray[np.float64]:
    """Give the interval [2, ...] that holds the middle `level` of the draws [draws, ...]."""
    tail = (1 - level) / 2
    found: NDArray[np.float64] = np.quantile(drawn, (tail, 1 - tail), axis=0)
    return found


def interval_of_mean(values: Array, shares: Array, level: float) -> Interval:
    """Give the bootstrap interval of the mean of values [rows]."""
    low, high = percentiles(shares @ values, level)
    return float(low), float(high)


def interval_of_highest(values: Array, drawn: Array, level: float) -> Interval:
    """Give an interval of the highest of many noisy values [points], from their draws.

    The highest of many noisy values is on average too high, and its plain bootstrap higher still.
    The interval is instead read from a band as wide, at all points alike, as holds all of them at
    once: the true highest value is at least that of the point that looks highest, less the upper
    deviation, and at most the highest value seen, plus the lower one.
    """
    tail = (1 + level) / 2
    highest = float(values.max())
    above = float(np.quantile((drawn - values).max(axis=1), tail))
    below = float(np.quantile((values - drawn).max(axis=1), tail))
    return highest - max(0.0, above), highest + max(0.0, below)


def resampled(
    statistic: Callable[[NDArray[np.int64]], float], rows: int, draws: int, seed: int
) -> Array:
    """Compute a statistic of resampled row positions, `draws` times: for what is no mean."""
    generator = np.random.default_rng(seed)
    return np.array([statistic(generator.integers(0, rows, rows)) for _ in range(draws)])
