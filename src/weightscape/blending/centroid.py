"""The mean of models, as weights over them."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float64

from weightscape.errors import BadInput


def centroid(count: int, members: Sequence[int] | None = None) -> Float64[np.ndarray, " N"]:
    """Give weights over `count` models whose sum is the mean of the members (of all, if None).

    Raises BadInput for no member, or one that is not there.

    >>> centroid(3, [0, 2])
    array([0.5, 0. , 0.5])
    """
    chosen = sorted(set(range(count) if members is None else members))
    if not chosen or chosen[0] < 0 or chosen[-1] >= count:
        raise BadInput(f"a centroid needs members among 0 to {count - 1}, got {chosen}")
    weights = np.zeros(count)
    weights[chosen] = 1.0 / len(chosen)
    return weights
