"""Is the base of these models among them at all?

If updates are nearly orthogonal, squared distances add up along the tree (a tree metric), so the
part of the way from a would-be base to its children that lies on its own side is known twice over:
from triangles of children (Gromov's product) and from norms. A true base has no way of its own.
"""

from collections.abc import Collection, Mapping

import numpy as np
from jaxtyping import Float64, Int64

from weightscape.lineage.kinship import Kinship
from weightscape.lineage.rooting import Rooting

OWN_WAY = 0.2  # share of the way that is the would-be base's own, above which it is no base
OWN_WAY_AMONG_SIBLINGS = 0.08  # the same where another child has shown the root to be no base
TRUSTED_GROWTH = 0.5  # norms that grow less than this on most edges are held back by decay
MOST_SISTERS = 24  # more triangles tell nothing new
USUAL_GROWTH = 1.25  # larger growth than this, either way, comes from weight decay


def own_ways(kinship: Kinship, rooting: Rooting) -> dict[int, float]:
    """Give the share of the way to each child of the root that is the root's own, 0 to 1.

    About 0 for a true base and about a half for one of several siblings; the smaller of what
    triangles and norms say. Left out where neither says anything.
    """
    root = rooting.root
    children = np.flatnonzero(rooting.parent == root)
    if not children.size:
        return {}
    growth, error = kinship.typical_growth(np.full_like(children, root), children)
    astray = _share_against(kinship, root, children)
    trusted = _norms_grow_below(kinship, rooting)
    ways: dict[int, float] = {}
    for place, child in enumerate(children):
        said = []
        by_triangles = _by_triangles(kinship, root, int(child), children)
        if by_triangles is not None:
            said.append(by_triangles)
        if abs(growth[place]) <= USUAL_GROWTH and (trusted or by_triangles is not None):
            said.append(max(float(astray[place] - 0.5 * error[place]), 0.0))
        if said:
            ways[int(child)] = min(said)
    return ways


def _share_against(
    kinship: Kinship, root: int, children: Int64[np.ndarray, " C"]
) -> Float64[np.ndarray, " C"]:
    """Give the root's own share of the way by norms, (1 - growth) / 2, averaged over tensors.

    The average and not the median: two models that were each trained in other layers look like
    ancestors of one another in half of the tensors.
    """
    growth = kinship.growth(np.full_like(children, root), children)
    known = np.isfinite(growth)
    shares = np.where(known, 0.5 * (1.0 - np.clip(np.nan_to_num(growth), -1.0, 1.0)), 0.0)
    average: Float64[np.ndarray, " C"] = shares.sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    return average


def _norms_grow_below(kinship: Kinship, rooting: Rooting) -> bool:
    """Tell whether norms grow on the edges further down, so that they may be trusted alone.

    Where weight decay holds norms back, a true child looks like a sibling by its norm.
    """
    below = np.flatnonzero((rooting.parent >= 0) & (rooting.parent != rooting.root))
    if not below.size:
        return False
    growth, _ = kinship.typical_growth(rooting.parent[below], below)
    return bool(np.median(growth) > TRUSTED_GROWTH)


def estranged(ways: Mapping[int, float], sure: Collection[int]) -> dict[int, float]:
    """Pick the root's children that are rather its siblings under a missing base.

    `sure` are children whose parent is known otherwise. Where one is a sibling the root is no
    base, and then the others need less to be siblings too.
    """
    unsure = {child: way for child, way in ways.items() if child not in sure}
    if not any(way > OWN_WAY for way in unsure.values()):
        return {}
    return {child: way for child, way in unsure.items() if way > OWN_WAY_AMONG_SIBLINGS}


def _by_triangles(
    kinship: Kinship, root: int, child: int, children: Int64[np.ndarray, " C"]
) -> float | None:
    """Give the root's own share of the way to a child, averaged over tensors, by its sisters."""
    sisters = children[children != child][:MOST_SISTERS]
    if not sisters.size:
        return None
    here, there = np.full_like(sisters, root), np.full_like(sisters, child)
    way = kinship.apart(here, there)
    shared = 0.5 * (way + kinship.apart(here, sisters) - kinship.apart(there, sisters))
    shares = np.divide(shared, way, out=np.full_like(way, np.nan), where=way > 0)
    typical = np.median(shares[np.isfinite(shares).all(axis=1)], axis=1)
    return float(np.clip(typical, 0.0, 1.0).mean()) if typical.size else None
