"""The order in which examples stand in a picture of what is known along a path."""

import numpy as np
from numpy.typing import NDArray


def order_rows(correct: NDArray[np.float64]) -> NDArray[np.intp]:
    """Order examples by where they flip: known all along, forgotten (late first), gained, never.

    correct [points, rows]: 1 right, 0 wrong; NaN counts as wrong. Examples whose first and last
    answers are right but that are lost in between stand between those that are known all along
    and those that stay forgotten.
    """
    right = np.nan_to_num(np.asarray(correct)) > 0.5
    first, last, always = right[0], right[-1], right.all(axis=0)
    group = np.select(
        [always, first & last, first, last, right.any(axis=0)], [0, 1, 2, 3, 4], default=5
    )
    # within a group by how many points answer rightly, so that the flips make a clean edge
    return np.lexsort((-right.sum(axis=0), group))


def told_rows(correct: NDArray[np.float64]) -> tuple[NDArray[np.intp], int]:
    """Give the examples that a picture shows, in order, and how many it leaves out.

    Those that are known all along are left out: they are most of them, all alike, and would take
    the room of those that tell something.

    >>> told_rows(np.array([[1.0, 1.0, 0.0], [1.0, 0.0, 0.0]]))
    (array([1, 2]), 1)
    """
    always = (np.asarray(correct) == 1).all(axis=0)
    order = order_rows(correct)
    return order[~always[order]], int(always.sum())
