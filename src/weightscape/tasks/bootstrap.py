"""How far a number rests on which rows happened to be drawn."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from weightscape.errors import BadInput

Statistic = Callable[..., Any]
"""Reduces the last axis: `numpy.mean`, `numpy.median`, ..., called with `axis=-1`."""

_PIECE = 1 << 22  # numbers that are drawn at once


def bootstrap_interval(
    values: ArrayLike,
    statistic: Statistic = np.mean,
    level: float = 0.95,
    draws: int = 1000,
    seed: int = 0,
) -> tuple[float, float]:
    """Give the percentile bootstrap interval of a statistic of values [n].

    The rows are drawn anew, with repeats, `draws` times (Efron 1979). One row says nothing of
    its spread: its interval is the value itself.

    >>> low, high = bootstrap_interval([0.0, 1.0] * 50)
    >>> 0.3 < low < 0.5 < high < 0.7
    True
    """
    given: NDArray[np.float64] = np.asarray(values, dtype=np.float64)
    if given.ndim != 1 or not len(given):
        raise BadInput(f"an interval needs values of shape [n], n > 0; got {list(given.shape)}")
    if not 0 < level < 1 or draws < 1:
        raise BadInput(f"level must be in (0, 1) and draws positive; got {level}, {draws}")
    generator = np.random.default_rng(seed)
    each = max(1, _PIECE // len(given))
    parts = []
    for start in range(0, draws, each):
        drawn = generator.integers(len(given), size=(min(each, draws - start), len(given)))
        parts.append(np.asarray(statistic(given[drawn], axis=-1)))
    rest = (1 - level) / 2
    low, high = np.quantile(np.concatenate(parts), [rest, 1 - rest])
    return float(low), float(high)
