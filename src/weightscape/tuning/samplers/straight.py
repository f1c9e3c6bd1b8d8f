"""Variables in which a loss that is quadratic in the weights is nearly so.

A search space's own numbers are made for drawing uniformly: on the simplex they bend what a
method that fits quadratics or a smooth process would see as straight.
"""

import numpy as np

from weightscape.tuning.search_space import Point, SearchSpace


def straighten(space: SearchSpace, point: Point) -> Point:
    """Give a point's variables between 0 and 1; on the simplex, weights up to their sum.

    Undoes :func:`bend`. A point that `bend` cannot give gets variables of the same weights.
    """
    if space.kind == "box":
        return point
    rows = -np.log1p(-np.minimum(point, 1 - 1e-12)).reshape(space.groups, -1)
    largest = np.maximum(rows.max(axis=1, keepdims=True), np.finfo(float).tiny)
    variables: Point = (rows * np.minimum(0.5, 1 / largest)).ravel()
    return variables


def bend(space: SearchSpace, variables: Point) -> Point:
    """Give the point of some variables; equal weights are halves, free to grow and to shrink."""
    inside: Point = np.clip(variables, 0.0, 1.0)
    if space.kind == "box":
        return inside
    point: Point = -np.expm1(-2 * inside)
    return point
