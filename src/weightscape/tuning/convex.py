"""The best weights by a surrogate, within bounds: accelerated projected gradients.

Beck and Teboulle, "A fast iterative shrinkage-thresholding algorithm", SIAM J. Imaging 2 (2009),
with the restarts of O'Donoghue and Candes, "Adaptive restart for accelerated gradient schemes",
2015.
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float64

from weightscape.tuning.search_space import SearchSpace
from weightscape.tuning.surrogate import Surrogate

Rows = Float64[np.ndarray, "G N"]


def minimise(
    surrogate: Surrogate,
    space: SearchSpace,
    radius: float = np.inf,
    *,
    steps: int = 300,
    tolerance: float = 1e-9,
) -> tuple[Rows, float]:
    """Find the best weights of a space by a surrogate, and their loss with the space's penalty.

    radius: how far any weight may lie from the surrogate's centre (in a box any coefficient, and
    the base's weight follows). Without a penalty the problem is convex and its solution is found
    up to `tolerance` in the loss.
    """
    held = space.base if space.kind == "box" else None
    centre = surrogate.centre
    low, high = (0.0, 1.0) if held is None else (space.low, space.high)
    lower = np.maximum(centre - radius, np.minimum(low, centre))
    upper = np.minimum(centre + radius, np.maximum(high, centre))

    def nearest(rows: Rows, shrink: float) -> Rows:
        if held is None:
            return _on_simplex(rows, lower, upper)
        cut = space.l1 * shrink / space.size
        shrunk = np.sign(rows) * np.maximum(np.abs(rows) - cut, 0.0)
        return _completed(np.clip(shrunk, lower, upper), held)

    def told(rows: Rows) -> tuple[float, Rows]:
        loss, slope = surrogate.loss_and_gradient(rows)
        return loss, slope if held is None else slope - slope[:, [held]]

    def cost(rows: Rows) -> float:
        return told(rows)[0] + (space.penalty(rows) if held is not None else 0.0)

    free = np.arange(centre.shape[1]) != (-1 if held is None else held)
    found = _descend(centre, told, nearest, cost, free, steps, tolerance)
    return found, surrogate.loss_and_gradient(found)[0] + space.penalty(found)


def _descend(
    start: Rows,
    told: Callable[[Rows], tuple[float, Rows]],
    nearest: Callable[[Rows, float], Rows],
    cost: Callable[[Rows], float],
    free: np.ndarray,
    steps: int,
    tolerance: float,
) -> Rows:
    here, ahead, momentum, length = start, start, 1.0, 1.0
    value = cost(here)
    still = 0
    for _ in range(steps):
        loss, slope = told(ahead)
        while True:
            new = nearest(ahead - length * slope, length)
            step = (new - ahead) * free  # what a box leaves to the base follows from the others
            bound = loss + float((slope * step).sum()) + float((step * step).sum()) / (2 * length)
            if told(new)[0] <= bound + 1e-12 or length < 1e-9:
                break
            length /= 2
        reached = cost(new)
        if reached > value:  # the momentum overshot: begin it anew from the best point
            if momentum == 1.0:
                break
            ahead, momentum = here, 1.0
            continue
        still = still + 1 if value - reached <= tolerance else 0
        grown = (1 + np.sqrt(1 + 4 * momentum**2)) / 2
        ahead = new + (momentum - 1) / grown * (new - here)
        here, momentum, value = new, grown, reached
        length *= 1.5
        if still >= 5:
            break
    return here


def _on_simplex(rows: Rows, lower: Rows, upper: Rows) -> Rows:
    """Find the nearest rows that sum to one within bounds: shifted by one number and clipped."""
    low = (lower - rows).min(axis=1, keepdims=True)
    high = (upper - rows).max(axis=1, keepdims=True)
    for _ in range(60):
        middle = (low + high) / 2
        short = np.clip(rows + middle, lower, upper).sum(axis=1, keepdims=True) < 1.0
        low, high = np.where(short, middle, low), np.where(short, high, middle)
    found: Rows = np.clip(rows + high, lower, upper)
    return found


def _completed(rows: Rows, base: int) -> Rows:
    """Give the base what the others leave of one."""
    out = rows.copy()
    out[:, base] = 0.0
    out[:, base] = 1.0 - out.sum(axis=1)
    return out
