"""Scales of a region's pictures: linear where the models are, logarithmic beyond."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

STRETCH = 0.5  # room that a doubling beyond the models takes; the models' own stretch takes 1
DISTANCES = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0)
ALPHAS = (-31.0, -7.0, -1.0, 0.0, 1.0, 2.0, 8.0, 32.0)


def distance_place(times: ArrayLike) -> NDArray[np.float64]:
    """Place distances in units of the models' own: as they are up to 1, then by doublings.

    >>> distance_place([0.0, 0.5, 1.0, 2.0, 4.0])
    array([0. , 0.5, 1. , 1.5, 2. ])
    """
    values = np.asarray(times, dtype=np.float64)
    return np.where(values <= 1, values, 1 + STRETCH * np.log2(np.maximum(values, 1)))


def alpha_place(alphas: ArrayLike) -> NDArray[np.float64]:
    """Place steps of a line: as they are between its ends 0 and 1, by doublings on both sides.

    >>> alpha_place([-1.0, 0.0, 0.5, 1.0, 2.0])
    array([-0.5,  0. ,  0.5,  1. ,  1.5])
    """
    values = np.asarray(alphas, dtype=np.float64)
    after = 1 + STRETCH * np.log2(np.maximum(values, 1))
    before = -STRETCH * np.log2(np.maximum(1 - values, 1))
    return np.where(values > 1, after, np.where(values < 0, before, values))
