"""How sure an edge is, and the sentences that say why."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from weightscape.lineage.kinship import Kinship
from weightscape.lineage.known import Known
from weightscape.lineage.mixes import HULL_RESIDUAL
from weightscape.lineage.rooting import FORGIVEN, Rooting, ancestors

SURE = 0.97  # links that files or equal numbers settle; never 1, for files may lie
MOSTLY = 0.9  # a merge that its files declare, changed since or made in crooked ways
STEP_OR_MERGE = 0.55
TELLING_MARGIN = 0.15  # a second-best parent this much further makes the choice fairly safe
TEMPER = 0.95  # votes share their assumptions, so nothing gets surer than this


@dataclass(frozen=True, slots=True)
class Testimony:
    """A confidence between 0 and 1, and the words for it."""

    confidence: float
    words: tuple[str, ...]


def pair_testimony(kinship: Kinship, rooting: Rooting, child: int) -> Testimony:
    """Tell how sure it is that these two are parent and child, whichever way round."""
    parent = int(rooting.parent[child])
    second = _second_best(rooting, child)
    relative = kinship.relative(parent, child)
    if second is None:
        rest = "; the other near models all come from it" if len(kinship.models) > 2 else ""
        return Testimony(TEMPER, (f"{relative:.2%} of its weights apart{rest}",))
    agreement, compared = _agreement(kinship, rooting, child, second)
    costs = rooting.weights[:, child]
    margin = 1.0 - costs[parent] / costs[second] if costs[second] > 0 else 0.0
    decisive = 1.0 - np.exp(-margin / TELLING_MARGIN)
    unanimous = max(2.0 * agreement - 1.0, 0.0)
    confidence = 0.5 + 0.5 * TEMPER * unanimous**0.5 * max(decisive, 0.8 * unanimous)
    beyond = kinship.relative(second, child)
    matrices = f"{round(agreement * compared)} of {compared} matrices"
    if beyond > relative:
        words = [
            f"nearest model: {relative:.2%} of its weights apart, "
            f"against {beyond:.2%} to {kinship.models[second]} ({matrices} agree)"
        ]
    else:
        words = [
            f"{kinship.models[second]} is nearer ({beyond:.2%} against {relative:.2%}), but its "
            f"own change is not in this model, so it is a sibling ({matrices} agree)"
        ]
    if parent != rooting.root:
        base = int(rooting.parent[parent])
        beta = kinship.contained(np.array([base]), np.array([parent]), np.array([child]))
        if np.isfinite(beta).any():
            share = f"{float(np.nanmedian(beta)):.0%}"
            words.append(f"carries {share} of the parent's own change from {kinship.models[base]}")
    return Testimony(float(confidence), tuple(words))


def _second_best(rooting: Rooting, child: int) -> int | None:
    """Find the next likeliest parent that is no descendant of the child."""
    costs = rooting.weights[:, child].copy()
    costs[[int(rooting.parent[child]), child]] = np.inf
    for node in np.argsort(costs, kind="stable"):
        if not np.isfinite(costs[node]):
            return None
        if child not in ancestors(rooting.parent, int(node)):
            return int(node)
    return None


def _agreement(kinship: Kinship, rooting: Rooting, child: int, second: int) -> tuple[float, int]:
    """Give the share of tensors in which the parent beats the second best, and how many there are.

    It does where it is nearer, or where the second best's own change is not whole in the child.
    """
    parent = int(rooting.parent[child])
    ours = kinship.apart(np.array([parent]), np.array([child]))[:, 0]
    theirs = kinship.apart(np.array([second]), np.array([child]))[:, 0]
    better = ours < theirs
    base = int(rooting.parent[second])
    if base >= 0:
        trio = (np.array([base]), np.array([second]), np.array([child]))
        whole = kinship.contained(*trio)[:, 0]
        better |= whole < 1.0 - FORGIVEN
    moved = np.isfinite(ours) & np.isfinite(theirs) & (ours != theirs)
    # all that the three have: where both are as far, half a vote for each
    compared = int((np.isfinite(ours) & np.isfinite(theirs)).sum())
    return (float(better[moved].mean()) if moved.any() else 0.5), compared


def direction_confidence(
    kinship: Kinship, rooting: Rooting, odds: Mapping[int, float], child: int
) -> Testimony:
    """Tell how sure it is that the edge runs this way: unless the root is below the child."""
    below = sum(
        chance
        for node, chance in odds.items()
        if node == child or child in ancestors(rooting.parent, node)
    )
    confidence = max(TEMPER * (1.0 - below), 0.0)
    parent = int(rooting.parent[child])
    growth, error = kinship.typical_growth(np.array([parent]), np.array([child]))
    if not np.isfinite(error[0]):
        return Testimony(confidence, ())
    if abs(growth[0] - 1.0) <= 0.4:
        word = (
            f"its norm is larger than the parent's by {growth[0]:.2f} of what an unrelated update "
            "adds, as after fine-tuning without much decay"
        )
    elif growth[0] < -1.25:
        word = (
            "its norm is smaller than the parent's, as after weight decay: "
            "norms do not tell the direction here"
        )
    elif growth[0] <= 0.0:
        word = f"its norm speaks against the direction ({growth[0]:+.2f}), the tree's shape for it"
    else:
        word = f"norms say little about the direction ({growth[0]:+.2f})"
    return Testimony(confidence, (word,))


def merge_testimonies(
    kinship: Kinship, known: Known, rooting: Rooting, child: int
) -> list[tuple[int, Testimony]]:
    """Tell of each source of a merge, the heaviest first, how sure it is."""
    by_weight = sorted(known.merges[child].items(), key=lambda item: -item[1])
    if child in known.told:
        share = known.told[child]
        sure = SURE if share >= 1.0 - HULL_RESIDUAL else MOSTLY
        along = f"{share:.0%} of its way from the nearest lies along the sources that it declares"
        return [
            (source, Testimony(sure, (along, f"mean weight {weight:.2f} on this one")))
            for source, weight in by_weight
        ]
    confidence, words = _merge_or_step(kinship, known, rooting, child)
    return [
        (
            source,
            Testimony(
                confidence,
                (f"lies in the hull of its sources with weight {weight:.2f} on this one", *words),
            ),
        )
        for source, weight in by_weight
    ]


def _merge_or_step(
    kinship: Kinship, known: Known, rooting: Rooting, child: int
) -> tuple[float, tuple[str, ...]]:
    """Tell how sure a merge is: on the line from a model to its descendant it may be a step."""
    sources = known.merges[child]
    for late in sources:
        for early in ancestors(rooting.parent, late):
            if len(sources) == 2 and early in sources:
                way = f"{kinship.models[early]} to {kinship.models[late]}"
                return STEP_OR_MERGE, (f"or else a step on a straight way from {way}",)
    return SURE, ()
