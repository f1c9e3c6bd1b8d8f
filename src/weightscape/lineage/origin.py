"""Is the base of these models among them at all?

If updates are nearly orthogonal, squared distances add up along the tree (a tree metric), so the
part of the way from a would-be base to its children that lies on its own side is known twice over:
from triangles of children (Gromov's product) and from norms. A true base has no way of its own.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64

from weightscape.lineage.kinship import Kinship
from weightscape.lineage.rooting import Rooting, ways_meet

# Shares of the way above which a root is no base. Both must say so, for triangles are fooled where
# all children were trained on the same data, and norms where weight decay holds them back.
LIMIT_BY_TRIANGLES = 0.15
LIMIT_BY_NORMS = 0.2
ALONE = 1.5  # either limit is this many times higher where the other says nothing
AMONG_SIBLINGS = 0.5  # and lower where another child has shown the root to be no base
USUAL_GROWTH = 1.25  # norms that shrink by more than this do so by weight decay
TRUSTED_GROWTH = 0.5  # norms that grow less than this on most edges are held back by decay


@dataclass(frozen=True, slots=True)
class OwnWay:
    """The share of the way from a root to a child that is the root's own, 0 to 1, told twice.

    About 0 for a true base, about a half for one of several siblings. None: nothing is known.
    """

    by_triangles: float | None
    by_norms: float | None

    @property
    def share(self) -> float:
        """Give the smaller of what is known."""
        return min((it for it in (self.by_triangles, self.by_norms) if it is not None), default=0.0)

    @property
    def excess(self) -> float:
        """Compare with the limits: above 1 the root is no base of this child."""
        told = []
        if self.by_triangles is not None:
            told.append(self.by_triangles / LIMIT_BY_TRIANGLES)
        if self.by_norms is not None:
            told.append(self.by_norms / LIMIT_BY_NORMS)
        return min(told, default=0.0) / (ALONE if len(told) == 1 else 1.0)


def own_ways(kinship: Kinship, rooting: Rooting) -> dict[int, OwnWay]:
    """Tell for each child of the root how much of the way between them is the root's own."""
    root = rooting.root
    children = np.flatnonzero(rooting.parent == root)
    if not children.size:
        return {}
    growth, error = kinship.typical_growth(np.full_like(children, root), children)
    against = _share_against(kinship, root, children)
    trusted = _norms_grow_below(kinship, rooting)
    ways: dict[int, OwnWay] = {}
    for place, child in enumerate(children):
        by_triangles = ways_meet(kinship, root, int(child), children)
        by_norms = None
        if growth[place] >= -USUAL_GROWTH and (trusted or by_triangles is not None):
            by_norms = max(float(against[place] - 0.5 * error[place]), 0.0)
        ways[int(child)] = OwnWay(by_triangles, by_norms)
    return ways


def _share_against(
    kinship: Kinship, root: int, children: Int64[np.ndarray, " C"]
) -> Float64[np.ndarray, " C"]:
    """Give the root's own share of the way by norms, (1 - growth) / 2, averaged over tensors.

    The average and not the median: two models that were each trained in other layers look like
    ancestors of one another in half of the tensors. Growth is cut off at -1, below which decay
    is at work, and as far above 1, so that chance does not push the average one way.
    """
    root_ = np.full_like(children, root)
    growth, weight = kinship.growth(root_, children), kinship.growth_weights(root_, children)
    level = np.clip(np.nan_to_num(growth), -1.0, 3.0)
    total = np.maximum(weight.sum(axis=0), np.finfo(float).tiny)
    shares: Float64[np.ndarray, " C"] = 0.5 * (1.0 - (weight * level).sum(axis=0) / total)
    return shares


def _norms_grow_below(kinship: Kinship, rooting: Rooting) -> bool:
    """Tell whether norms grow on the edges further down, so that they may be trusted alone.

    Where weight decay holds norms back, a true child looks like a sibling by its norm.
    """
    below = np.flatnonzero((rooting.parent >= 0) & (rooting.parent != rooting.root))
    if not below.size:
        return False
    growth, _ = kinship.typical_growth(rooting.parent[below], below)
    return bool(np.median(growth) > TRUSTED_GROWTH)


def estranged(ways: Mapping[int, OwnWay], sure: Collection[int]) -> dict[int, float]:
    """Pick the root's children that are rather its siblings under a missing base, with the share.

    `sure` are children whose parent is known otherwise. Where one is a sibling the root is no
    base, and then the others need less to be siblings too.
    """
    unsure = {child: way for child, way in ways.items() if child not in sure}
    if not any(way.excess > 1.0 for way in unsure.values()):
        return {}
    return {child: way.share for child, way in unsure.items() if way.excess > AMONG_SIBLINGS}
