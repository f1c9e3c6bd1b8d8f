"""Projection on convex hulls from inner products alone.

Wolfe, "Finding the nearest point in a polytope", Mathematical Programming 11 (1976): an active-set
method whose steps solve small linear systems in the Gram matrix of the vertices.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from weightscape.errors import BadInput

_DROPPED = 1e-10  # coefficients below this have left the active set


@dataclass(frozen=True, slots=True)
class HullPoint:
    """The point of a hull that is nearest to a target.

    weights: convex coefficients of the vertices (N,). squared: its squared distance from the
    target. bound: a proven lower bound of the smallest squared distance; `squared` itself once
    the search has converged.
    """

    weights: Float64[np.ndarray, " N"]
    squared: float
    bound: float


def nearest_in_hull(
    gram: Float64[np.ndarray, "N N"],
    *,
    give_up_above: float = np.inf,
    tolerance: float = 1e-9,
    max_steps: int = 200,
) -> HullPoint:
    """Find the convex combination of N vertices that is nearest to the origin.

    ``gram[i, j] = <v_i - target, v_j - target>``: shift the target to the origin first
    (:func:`centre_on`). Stops early when the squared distance provably exceeds `give_up_above`,
    which makes "is this point in the hull?" cheap for the many points that are not.

    Raises:
        BadInput: the Gram is not square, is empty, or is not finite.

    >>> corners = np.array([[-1.0, 1.0], [3.0, 1.0]])
    >>> nearest_in_hull(corners @ corners.T).weights
    array([0.75, 0.25])
    """
    n = gram.shape[0]
    if gram.shape != (n, n) or n == 0 or not np.isfinite(gram).all():
        raise BadInput(f"a hull needs a finite square Gram matrix; got shape {gram.shape}")
    start = int(gram.diagonal().argmin())
    active = [start]
    weights = np.zeros(n)
    weights[start] = 1.0
    slack = tolerance * max(float(gram.diagonal().max()), np.finfo(float).tiny)
    squared = bound = 0.0
    for _ in range(max_steps):
        products = gram @ weights  # <x, v_j>
        squared = max(float(weights @ products), 0.0)
        entering = int(products.argmin())
        # any point p of the hull has |p| >= <x, p> / |x| >= min_j <x, v_j> / |x|
        least = float(products[entering])
        bound = least * least / squared if least > 0 and squared > 0 else 0.0
        if squared - least <= slack or entering in active:
            return HullPoint(weights, squared, squared)
        if bound > give_up_above:
            break
        active.append(entering)
        weights, active = _best_over(gram, weights, active)
    return HullPoint(weights, squared, bound)


def _best_over(
    gram: Float64[np.ndarray, "N N"], weights: Float64[np.ndarray, " N"], active: list[int]
) -> tuple[Float64[np.ndarray, " N"], list[int]]:
    """Move to the best point of the active vertices' hull, dropping those that end at zero."""
    while True:
        target = _affine_minimum(gram[np.ix_(active, active)])
        current = weights[active]
        if (target > _DROPPED).all():
            step = 1.0
        else:
            falling = target <= _DROPPED
            moved = np.maximum(current[falling] - target[falling], np.finfo(float).tiny)
            step = float(min(1.0, (current[falling] / moved).min()))
        mixed = (1.0 - step) * current + step * target
        kept = mixed > _DROPPED
        if step < 1.0 and kept.all():
            kept[int(np.where(target <= _DROPPED, mixed, np.inf).argmin())] = False
        active = [vertex for vertex, stays in zip(active, kept, strict=True) if stays]
        weights = np.zeros_like(weights)
        weights[active] = mixed[kept] / mixed[kept].sum()
        if kept.all():
            return weights, active


def _affine_minimum(gram: Float64[np.ndarray, "K K"]) -> Float64[np.ndarray, " K"]:
    """Find the coefficients, summing to 1, of the affine hull's point nearest to the origin."""
    k = gram.shape[0]
    scale = max(float(np.trace(gram)) / k, np.finfo(float).tiny)
    system = np.ones((k + 1, k + 1))
    system[:k, :k] = gram / scale
    system[k, k] = 0.0
    right = np.zeros(k + 1)
    right[k] = 1.0
    # least squares, since equal vertices make the system singular
    solution: Float64[np.ndarray, " K1"] = np.linalg.lstsq(system, right, rcond=1e-13)[0]
    coefficients = solution[:k]
    total = float(coefficients.sum())
    if total <= 0.5:
        return np.full(k, 1.0 / k)
    coefficients /= total
    return coefficients


def centre_on(gram: Float64[np.ndarray, "N N"], point: int) -> Float64[np.ndarray, "N N"]:
    """Re-base a Gram exactly: ``G_ij - G_ip - G_pj + G_pp``, inner products relative to `point`.

    >>> centre_on(np.array([[1.0, 0.0], [0.0, 1.0]]), 0)
    array([[0., 0.],
           [0., 2.]])
    """
    own = gram[point, point]
    centred: Float64[np.ndarray, "N N"] = gram - gram[:, point, None] - gram[None, point, :] + own
    return centred


def squared_distances(gram: Float64[np.ndarray, "N N"]) -> Float64[np.ndarray, "N N"]:
    """Give ``|x_i - x_j|^2`` from inner products, with no negative rounding."""
    norms = gram.diagonal()
    squared: Float64[np.ndarray, "N N"] = norms[:, None] + norms[None, :] - 2.0 * gram
    np.maximum(squared, 0.0, out=squared)
    np.fill_diagonal(squared, 0.0)
    return squared
