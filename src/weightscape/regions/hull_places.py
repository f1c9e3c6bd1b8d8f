"""Where a model lies as seen from the convex hull of a group, from inner products alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Literal

import numpy as np
from jaxtyping import Float64

from weightscape.errors import BadInput
from weightscape.geometry.simplex import centre_on, nearest_in_hull
from weightscape.regions.records import HullPlace

INSIDE = 1e-3
"""How far from the hull a model may be and still be in it, as a share of the members' mean distance
from their centroid: more than a merge in float32 is off by rounding, far less than any training."""

FEW = 4
"""With fewer members kin and strangers are about equally far from the hull."""

Place = Literal["in the hull", "near", "outside"]


@dataclass(frozen=True, slots=True)
class Placing:
    """A point as seen from a hull; the fields of `HullPlace`, with weights [N] by position."""

    place: Place
    distance: float
    typical: tuple[float, float]
    weights: Float64[np.ndarray, " N"]


def place_in_hull(gram: Float64[np.ndarray, "N1 N1"]) -> Placing:
    """Place the last model of a Gram matrix as seen from the convex hull of the others.

    ``gram[i, j] = <x_i - r, x_j - r>`` for any one reference r: that of an atlas will do, summed
    over tensors. "in the hull" up to `INSIDE` of the members' mean distance from their centroid;
    "near" up to the highest distance of a member from the hull of the others; else "outside".

    Raises BadInput for fewer than two members, or a Gram that is not finite.

    >>> models = np.array([[0.0, 0.0], [4.0, 0.0], [0.0, 4.0], [1.0, 2.0]])
    >>> found = place_in_hull(models @ models.T)
    >>> found.place, found.weights
    ('in the hull', array([0.25, 0.25, 0.5 ]))
    """
    members = len(gram) - 1
    if members < 2:
        raise BadInput(f"a hull to be placed in needs two or more models, got {max(members, 0)}")
    if not np.isfinite(gram).all():
        raise BadInput("the inner products of these models are not all finite")
    weights, distance = _to_hull(gram, members)
    inner = gram[:members, :members]
    each = [_to_hull(_last(inner, left), members - 1)[1] for left in range(members)]
    typical = float(np.median(each)), max(each)
    if distance <= INSIDE * mean_distance(inner):
        place: Place = "in the hull"
    else:
        place = "near" if distance <= typical[1] else "outside"
    return Placing(place, distance, typical, weights)


def place_all(
    gram: Float64[np.ndarray, "N N"],
    names: Sequence[str],
    members: Sequence[int],
    placed: Sequence[int],
) -> tuple[HullPlace, ...]:
    """Place models by their positions in a Gram; a member as seen from the hull of the others."""
    found = []
    for target in placed:
        hull = [member for member in members if member != target]
        seen = place_in_hull(gram[np.ix_([*hull, target], [*hull, target])])
        weights = {names[at]: float(w) for at, w in zip(hull, seen.weights, strict=True) if w > 0}
        place = HullPlace(names[target], seen.place, seen.distance, seen.typical, weights)
        found.append(place)
    return tuple(found)


def place_caution(members: int) -> str | None:
    """Say that a place in the hull of so few members tells little, if so.

    >>> place_caution(2)
    '2 models are too few to tell kin from strangers by distances from their hull; give 4 or more'
    """
    if members >= FEW:
        return None
    return (
        f"{members} models are too few to tell kin from strangers by distances from their hull; "
        f"give {FEW} or more"
    )


def mean_distance(gram: Float64[np.ndarray, "N N"]) -> float:
    """Give the mean L2 distance of models from their centroid."""
    from_mean = gram.diagonal() - 2.0 * gram.mean(axis=1) + gram.mean()
    return float(np.sqrt(np.maximum(from_mean, 0.0)).mean())


def _to_hull(
    gram: Float64[np.ndarray, "N1 N1"], members: int
) -> tuple[Float64[np.ndarray, " N"], float]:
    """Find the hull's nearest point to the last model: weights, and how far it is."""
    shifted = centre_on(gram, members)[:members, :members]
    nearest = nearest_in_hull(shifted)
    return nearest.weights, sqrt(nearest.squared)


def _last(gram: Float64[np.ndarray, "N N"], model: int) -> Float64[np.ndarray, "N N"]:
    order = [*(i for i in range(len(gram)) if i != model), model]
    moved: Float64[np.ndarray, "N N"] = gram[np.ix_(order, order)]
    return moved
