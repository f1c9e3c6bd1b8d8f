"""A model's nearest models, by distance and by direction."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from weightscape.errors import UnknownName
from weightscape.geometry.products import TreeGram, distances
from weightscape.regions.poolings import DEFAULT_POOLING, pooled_cosines


@dataclass(frozen=True, slots=True)
class Neighbour:
    """One model as seen from another.

    distance: Euclidean, over the tensors both have. relative: the same over the norm of the
    model it is seen from. cosine: pooled, of the deltas against the base; NaN where one of the
    two has no delta. resolution: a distance below this is not told from 0; 0 for exact copies,
    whose distance is 0.
    """

    model: str
    distance: float
    relative: float
    cosine: float
    resolution: float


ORDERS: Mapping[str, Callable[[Neighbour], tuple[float, ...]]] = {
    "distance": lambda other: (),
    "cosine": lambda other: (1.0 if np.isnan(other.cosine) else -other.cosine,),
}
DEFAULT_ORDER = "distance"


def neighbours(
    tree: TreeGram,
    base: str | None,
    model: str,
    pooling: str = DEFAULT_POOLING,
    by: str = DEFAULT_ORDER,
) -> list[Neighbour]:
    """List a tree's other models from the nearest to the farthest.

    `by` "cosine" puts those moved most alike first and those without a cosine last.

    Raises:
        UnknownName: no such model, base, pooling or order.
    """
    if by not in ORDERS:
        raise UnknownName("order", by, ORDERS)
    if model not in tree.models:
        raise UnknownName("model", model, tree.models)
    place = tree.models.index(model)
    cosine = pooled_cosines(tree, base, pooling)
    apart, blur = distances(tree)
    distance, resolution = apart[place], blur[place]
    norm = float(np.sqrt(np.nansum(tree.moments.norm[:, place] ** 2)))
    found = [
        Neighbour(
            name,
            float(distance[i]),
            float(distance[i] / norm) if norm > 0 else np.nan,
            float(cosine[place, i]),
            float(resolution[i]),
        )
        for i, name in enumerate(tree.models)
        if i != place
    ]
    return sorted(found, key=lambda other: (*ORDERS[by](other), other.distance, other.model))
