"""Models that are mixes of others: found in the hull of these, or as their files have it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from weightscape.catalog.records import ModelFacts
from weightscape.geometry.simplex import centre_on, nearest_in_hull
from weightscape.lineage.kinship import ROUNDING_MARGIN, Kinship, dtype_of

HULL_RESIDUAL = 0.01  # squared residual of a merge, over its squared distance to the nearest model
MOST_SOURCES = 128  # a mix is nearer to its sources than to strangers, so these are enough
LEAST_WEIGHT = 0.02  # a smaller share in a merge is noise
LEAST_TOLD = 0.5  # share of its change that a declared merge has along its sources
LEAST_OWN = 0.02  # share of it that is missed without a source that had a part in it


@dataclass(frozen=True, slots=True)
class DeclaredMix:
    """A merge that its files declare and its weights confirm.

    weights: mean weight by source, over the matrices, of those that had a part in it. share: of
    its squared distance to the nearest source, what lies along the sources.
    """

    weights: dict[int, float]
    share: float


def find_mixes(
    kinship: Kinship, facts: Mapping[str, ModelFacts], plain: list[int]
) -> dict[int, dict[int, float]]:
    """Find models inside the hull of the others and write each as a mix of the hull's corners."""
    inside = {i for i in plain if _mix_of(kinship, facts, i, [j for j in plain if j != i])}
    corners = [i for i in plain if i not in inside]
    mixes = {i: _mix_of(kinship, facts, i, corners) for i in sorted(inside)}
    return {i: mix for i, mix in mixes.items() if mix}


def _mix_of(
    kinship: Kinship, facts: Mapping[str, ModelFacts], model: int, others: list[int]
) -> dict[int, float]:
    """Give the weights of the others in a model that is their convex mix, or nothing."""
    if len(others) < 2:
        return {}
    dtype = dtype_of(kinship, facts, model)
    # NaN at a tensor that the model lacks
    noise = float(np.nansum(kinship.share * kinship.rounding(model, dtype))) / len(kinship.used)
    nearest = float(kinship.squared[model, others].min())
    limit = HULL_RESIDUAL * nearest + ROUNDING_MARGIN * noise
    if not np.isfinite(kinship.squared[model, others]).all() or nearest <= 4.0 * limit:
        return {}
    if _far_outside(kinship, model, others, limit):
        return {}
    by_distance = np.argsort(kinship.squared[model, others], kind="stable")
    others = [others[k] for k in by_distance[:MOST_SOURCES]]
    around = centre_on(kinship.pooled[np.ix_([*others, model], [*others, model])], len(others))
    point = nearest_in_hull(around[:-1, :-1], give_up_above=limit)
    if point.squared > limit:
        return {}
    mix = {
        other: float(weight)
        for other, weight in zip(others, point.weights, strict=True)
        if weight >= LEAST_WEIGHT
    }
    return mix if len(mix) >= 2 else {}


def _far_outside(kinship: Kinship, model: int, others: list[int], limit: float) -> bool:
    """Tell whether a plane through the nearest model shuts out the hull: the usual, cheap case."""
    squared = kinship.squared
    nearest = others[int(np.argmin(squared[model, others]))]
    towards = squared[model, nearest] + squared[model, others] - squared[nearest, others]
    least = 0.5 * float(towards.min())
    return least > 0 and least**2 > limit * float(squared[model, nearest])


def declared_mix(
    kinship: Kinship, model: int, sources: Sequence[int], bases: Sequence[int] = ()
) -> DeclaredMix | None:
    """Confirm by the weights that a model is the mix of others that its files say it is.

    Every matrix may have weights of its own, of any sign and size: a merge need not be the same in
    all layers, nor lie between its sources. What is asked is that most of the model's way from its
    nearest source lies along the sources (and along the bases: methods such as TIES add up changes
    to one), and that no source could be left out. None where it is not so: files may claim
    anything.
    """
    if not 2 <= len(sources) <= MOST_SOURCES:
        return None
    members = [*sources, *(base for base in bases if base not in (*sources, model))]
    whole, missed = 0.0, np.zeros(len(sources) + 1)
    weights, seen = np.zeros(len(sources)), 0.0
    for row, t in enumerate(kinship.used):
        gram = kinship.tree.gram[t][np.ix_([*members, model], [*members, model])]
        if not np.isfinite(gram).all():
            continue
        around = centre_on(gram, len(members))[:-1, :-1]
        share = float(kinship.share[row])
        whole += share * float(around.diagonal()[: len(sources)].min())
        missed += share * _missed(around, len(sources))
        weights += share * _nearest_in_span(around)[1][: len(sources)]
        seen += share
    if whole <= 0.0 or missed[-1] > (1.0 - LEAST_TOLD) * whole:
        return None
    had_a_part = np.flatnonzero((missed[:-1] - missed[-1]) / whole >= LEAST_OWN)
    if len(had_a_part) < 2:
        return None
    taken = {sources[int(k)]: float(weights[k] / seen) for k in had_a_part}
    return DeclaredMix(taken, 1.0 - float(missed[-1]) / whole)


def _missed(around: Float64[np.ndarray, "N N"], sources: int) -> Float64[np.ndarray, " S"]:
    """Give the squared distances from the span without each of the sources, then with all."""
    without = [
        _nearest_in_span(np.delete(np.delete(around, k, axis=0), k, axis=1))[0]
        for k in range(sources)
    ]
    return np.array([*without, _nearest_in_span(around)[0]])


def _nearest_in_span(
    around: Float64[np.ndarray, "N N"],
) -> tuple[float, Float64[np.ndarray, " N"]]:
    """Give the squared distance of the origin from an affine span, and the weights that lead there.

    ``around[i, j] = <v_i - target, v_j - target>``; weights sum to 1.
    """
    n = len(around)
    towards = around[0, 0] - around[1:, :1] - around[:1, 1:] + around[1:, 1:]  # <v_i-v_0, v_j-v_0>
    right = around[0, 0] - around[1:, 0]
    solved = np.linalg.lstsq(towards, right, rcond=1e-10)[0]
    weights = np.concatenate([[1.0 - solved.sum()], solved]) if n > 1 else np.ones(1)
    return max(float(weights @ around @ weights), 0.0), weights


def no_heirs(
    kinship: Kinship, merges: Mapping[int, Mapping[int, float]]
) -> frozenset[tuple[int, int]]:
    """Find the models that go further along one source than a merge does: not made from it.

    A merge lies between its sources as an ancestor would, and is nearer to each than their
    parent; but what comes from the merge keeps its mixture, and what comes from a source does not.
    """
    pairs = {(merge, source) for merge, sources in merges.items() for source in sources}
    for merge, sources in merges.items():
        around = centre_on(kinship.pooled, merge)
        for source in sources:
            along = around[source] / around[source, source]
            pairs |= {(merge, int(i)) for i in np.flatnonzero(along > 0.5) if i != merge}
    return frozenset(pairs)
