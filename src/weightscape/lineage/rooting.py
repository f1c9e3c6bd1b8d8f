"""Which model a tree grew from: every likely root's best tree, weighed by five votes.

Distances alone cannot root a tree: seen from any of its models, the rest hangs together just as
well. What can: how well siblings stay siblings (fit), how norms grow along edges (growth), how
many orders of birth a shape allows (shape: the rumour centrality of Shah and Zaman, 2011), whether
the ways to the children meet in the root (meeting), and what the files declare. Norm growth fails
under strong weight decay, so it counts only as far as a whole tree bears it out, and the meeting
of ways steps in where it does not.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float64, Int64
from scipy.special import gammaln

from weightscape.lineage.arborescence import minimum_arborescence
from weightscape.lineage.kinship import Kinship

Parents = Int64[np.ndarray, " N"]

NEIGHBOURS = 24  # how many nearest models are weighed as parents, beside the root
CANDIDATES = 12  # how many likely roots get a whole tree of their own
LOSS_COST = 1.0  # what any loss costs, as a multiple of the distance
FORGIVEN = 0.2  # a descendant may have lost this share of its ancestor's delta
SHORTFALL_COST = 20.0  # what a larger loss costs, as a multiple of the distance
SELDOM_TRAINED_ON = 1.05  # what a cast as a parent costs over its source, all else being equal
GROWTH_SPREAD = 0.35  # how far growth strays from +1 or -1 on a true edge
ASTRAY = 0.45  # typical distance of growth from +1 or -1 at which norms are half trusted
MOST_OWN = 0.3  # a larger own share says no more: children of one task share as much
UNKNOWN_OWN = 0.25  # own share of a root with one child, for which there are no triangles
MEETING_WEIGHT = 8.0  # log odds against a root whose ways are its own, where norms say little
MOST_CHILDREN = 24  # more triangles tell nothing new
DECLARED_VOTE = 5.0  # log odds of a base that the files name
SHAPE_WEIGHT = 0.6  # trees of models do not grow at random: chains are commoner than chance
FIT_WEIGHT = 2.5  # log odds for each factor e in the lengths of a tree's edges
LARGEST_FIT_VOTE = 10.0  # log odds: fits are correlated over edges and must not outvote the rest


@dataclass(frozen=True, slots=True)
class Constraints:
    """What is known beforehand, by index.

    forced: parent by child. forbidden: (parent, child) pairs. declared: the bases that a child's
    files name, nearest claim first. derived: casts and the like, which are seldom trained on.
    barren: models that are nobody's parent.
    """

    forced: Mapping[int, int] = field(default_factory=dict)
    forbidden: frozenset[tuple[int, int]] = frozenset()
    declared: Mapping[int, tuple[int, ...]] = field(default_factory=dict)
    derived: frozenset[int] = frozenset()
    barren: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Votes:
    """Log votes for one root; only differences between roots mean something."""

    fit: float
    growth: float
    shape: float
    meeting: float
    declared: float

    @property
    def total(self) -> float:
        """Sum the votes."""
        return self.fit + self.growth + self.shape + self.meeting + self.declared


@dataclass(frozen=True, slots=True)
class Rooting:
    """One root's best tree. weights: the costs it was found with; N x N, inf where not weighed."""

    root: int
    parent: Parents
    weights: Float64[np.ndarray, "N N"]
    votes: Votes


def best_rooting(kinship: Kinship, known: Constraints) -> tuple[Rooting, dict[int, float]]:
    """Find the likeliest root and its tree, and how likely each weighed root is."""
    near = nearest_models(kinship.squared, NEIGHBOURS)
    free = [i for i in range(len(kinship.models)) if i not in known.forced]
    centre = free[int(np.argmin(np.median(kinship.squared[free], axis=1)))]
    undirected = minimum_arborescence(kinship.squared, centre)
    trust = trust_in_norms(kinship, undirected)
    likely = _likely_roots(kinship, known, undirected, trust)
    rootings = [_root_at(kinship, root, near, known, trust) for root in likely]
    fit = np.array([rooting.votes.fit for rooting in rootings])
    rest = np.array([rooting.votes.total - rooting.votes.fit for rooting in rootings])
    score = rest + np.maximum(fit - fit.max(), -LARGEST_FIT_VOTE)
    odds = np.exp(score - score.max())
    odds /= odds.sum()
    return rootings[int(odds.argmax())], dict(zip(likely, odds.tolist(), strict=True))


def nearest_models(squared: Float64[np.ndarray, "N N"], count: int) -> Int64[np.ndarray, "N K"]:
    """List each model's nearest others, nearest first."""
    n = squared.shape[0]
    apart = squared.copy()
    np.fill_diagonal(apart, np.inf)
    return np.argsort(apart, axis=1, kind="stable")[:, : min(count, n - 1)]


def _root_at(
    kinship: Kinship,
    root: int,
    near: Int64[np.ndarray, "N K"],
    known: Constraints,
    trust: float,
) -> Rooting:
    """Find one root's best tree, and what votes for it."""
    weights = parent_costs(kinship, root, near, known)
    parent = minimum_arborescence(weights, root)
    child = np.flatnonzero(parent >= 0)
    costs = weights[parent[child], child]
    own_trust = trust_in_norms(kinship, parent)
    votes = Votes(
        fit=-FIT_WEIGHT * float(np.log(costs + 1e-9).sum()),
        growth=0.5 * own_trust * float(growth_votes(kinship, parent[child], child).sum()),
        shape=SHAPE_WEIGHT * births(parent),
        meeting=-(1.0 - trust) * MEETING_WEIGHT * _own_way(kinship, root, parent),
        declared=_declared_votes(parent, known),
    )
    return Rooting(root, parent, weights, votes)


def _own_way(kinship: Kinship, root: int, parent: Parents) -> float:
    """Give the share of the ways between a root and its children that is the root's own."""
    children = np.flatnonzero(parent == root)[:MOST_CHILDREN]
    shares = [ways_meet(kinship, root, int(child), children) for child in children]
    known = [min(share, MOST_OWN) for share in shares if share is not None]
    return float(np.mean(known)) if known else UNKNOWN_OWN


def ways_meet(kinship: Kinship, root: int, child: int, children: Parents) -> float | None:
    """Give the root's own share of the way to a child, averaged over tensors, by its sisters.

    About 0 where the ways to the children meet in the root, as in a true base; None for an only
    child.
    """
    sisters = children[children != child][:MOST_CHILDREN]
    if not sisters.size:
        return None
    shares = kinship.own_way(np.full_like(sisters, root), np.full_like(sisters, child), sisters)
    known = shares[np.isfinite(shares).all(axis=1)]
    return float(np.clip(np.median(known, axis=1), 0.0, 1.0).mean()) if known.size else None


def parent_costs(
    kinship: Kinship, root: int, near: Int64[np.ndarray, "N K"], known: Constraints
) -> Float64[np.ndarray, "N N"]:
    """Give the cost of each likely parent, were `root` the root: its distance, and a penalty.

    The penalty is for a would-be parent whose delta from the root is not whole in the child: a
    sibling trained on the same data may be nearer than the parent, but lacks that.
    """
    n = len(kinship.models)
    weights = np.full((n, n), np.inf)
    younger = np.repeat(np.arange(n), near.shape[1])
    elder = near.ravel()
    pairs = (elder != root) & (younger != root)
    elder, younger = elder[pairs], younger[pairs]
    if elder.size:
        lost = shortfall(kinship.contained(np.full_like(elder, root), elder, younger))
        penalty = 1.0 + LOSS_COST * lost + SHORTFALL_COST * np.maximum(lost - FORGIVEN, 0.0)
        weights[elder, younger] = kinship.squared[elder, younger] * penalty
    weights[root] = kinship.squared[root]
    weights[sorted(known.derived)] *= SELDOM_TRAINED_ON
    weights[sorted(known.barren)] = np.inf
    for elder_, younger_ in known.forbidden:
        weights[elder_, younger_] = np.inf
    for child, forced in known.forced.items():
        weights[:, child] = np.inf
        weights[forced, child] = kinship.squared[forced, child]
    np.fill_diagonal(weights, np.inf)
    weights[:, root] = np.inf
    return weights


def shortfall(contained: Float64[np.ndarray, "T P"]) -> Float64[np.ndarray, " P"]:
    """Tell which share of an elder's delta a younger one lacks: the median over tensors."""
    ordered = np.sort(contained, axis=0)  # NaN last
    known = np.isfinite(contained).sum(axis=0)
    place = np.maximum(known - 1, 0) // 2
    typical = np.take_along_axis(ordered, place[None], axis=0)[0]
    lost: Float64[np.ndarray, " P"] = np.where(known > 0, np.maximum(1.0 - typical, 0.0), 0.0)
    return lost


def trust_in_norms(kinship: Kinship, tree: Parents) -> float:
    """Tell how far norm growth can be trusted in a whole tree, 0 to 1, whatever its directions.

    On true edges growth is near +1 or, the wrong way round, -1. Where it mostly is neither, as
    weight decay or a missing base make it, no edge's growth means much.
    """
    child = np.flatnonzero(tree >= 0)
    growth, error = kinship.typical_growth(tree[child], child)
    clear = np.isfinite(error) & (error < GROWTH_SPREAD)
    if not clear.any():
        return 1.0  # where errors are large votes are small anyway
    astray = float(np.median(np.abs(np.abs(growth[clear]) - 1.0)))
    return 1.0 / (1.0 + (astray / ASTRAY) ** 4)


def growth_votes(kinship: Kinship, elder: Parents, younger: Parents) -> Float64[np.ndarray, " P"]:
    """Give the log odds by norm growth that each pair is elder and younger as given.

    Heavy tails on purpose: under strong weight decay growth is far below -1, which fits neither
    direction, and then this vote is near 0.
    """
    growth, error = kinship.typical_growth(elder, younger)
    spread = np.hypot(GROWTH_SPREAD, error)
    forward, backward = (growth - 1.0) / spread, (growth + 1.0) / spread
    votes: Float64[np.ndarray, " P"] = np.log1p(backward**2) - np.log1p(forward**2)
    return votes


def births(parent: Parents) -> float:
    """Count the orders in which a tree's nodes may have been born, as a logarithm.

    ``log(N! / prod subtree sizes)``: large for a root with many branches, 0 for the end of a
    chain.
    """
    sizes = subtree_sizes(parent)
    return float(gammaln(len(parent) + 1.0) - np.log(sizes).sum())


def subtree_sizes(parent: Parents) -> Int64[np.ndarray, " N"]:
    """Count each node's descendants, itself included."""
    sizes = np.ones(len(parent), dtype=np.int64)
    for node in reversed(births_order(parent)):
        if parent[node] >= 0:
            sizes[parent[node]] += sizes[node]
    return sizes


def births_order(parent: Parents) -> list[int]:
    """List the nodes so that parents come before their children."""
    children: list[list[int]] = [[] for _ in parent]
    order = [int(node) for node in np.flatnonzero(parent < 0)]
    for node, elder in enumerate(parent):
        if elder >= 0:
            children[elder].append(node)
    for node in order:  # grows while it is read
        order.extend(children[node])
    return order


def ancestors(parent: Parents, node: int) -> list[int]:
    """List a node's ancestors, nearest first."""
    found = []
    while (node := int(parent[node])) >= 0:
        found.append(node)
    return found


def _declared_votes(parent: Parents, known: Constraints) -> float:
    votes = 0.0
    for child, bases in known.declared.items():
        above = ancestors(parent, child)
        for base in bases[:1]:
            if base in above:
                votes += 0.5 * DECLARED_VOTE
            elif child in ancestors(parent, base):
                votes -= 0.5 * DECLARED_VOTE
    return votes


def _likely_roots(kinship: Kinship, known: Constraints, parent: Parents, trust: float) -> list[int]:
    """Pick the models worth a whole tree of their own as roots, by the undirected tree.

    Turning one edge round changes growth and shape by that edge's share alone, so all roots are
    scored in one walk over the minimum spanning tree, given as hung from its centre.
    """
    sizes = subtree_sizes(parent)
    child = np.flatnonzero(parent >= 0)
    votes = np.zeros(len(parent))
    votes[child] = trust * growth_votes(kinship, parent[child], child)
    score = np.zeros(len(parent))
    for node in births_order(parent):
        above = parent[node]
        if above >= 0:
            moved = SHAPE_WEIGHT * np.log(sizes[node] / (len(parent) - sizes[node]))
            score[node] = score[above] - votes[node] + moved
    for child_, bases in known.declared.items():
        for base in bases[:1]:
            score[base] += DECLARED_VOTE
            score[child_] -= DECLARED_VOTE
    free = [i for i in range(len(parent)) if i not in known.forced]
    ranked = sorted(free, key=lambda node: (-score[node], kinship.models[node]))
    centre = int(np.flatnonzero(parent < 0)[0])
    chosen = ranked[:CANDIDATES]
    return chosen if centre in chosen else [*chosen, centre]
