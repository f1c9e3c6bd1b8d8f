"""Losses on lines through two models, between and beyond them."""

from collections.abc import Iterator, Sequence
from itertools import combinations, product
from math import nan
from typing import Literal

import numpy as np

from weightscape.regions.generalized_loss import GeneralizedLoss
from weightscape.regions.groups import Group
from weightscape.regions.records import PairProfile

Relation = Literal["in", "across"]

_OUTWARDS = tuple(np.geomspace(1, 32, 10).tolist())
ALPHAS = (
    *(1 - alpha for alpha in reversed(_OUTWARDS)),
    *(0.25, 0.5, 0.75),
    *_OUTWARDS,
)
"""The paper's ten logarithmic steps from each model outwards, [1, 32] and [0, -31] (Gueta et al.
2023), and three between the models."""


def choose_pairs(group: Group, count: int, seed: int) -> tuple[tuple[int, int, Relation], ...]:
    """Choose up to `count` pairs of members, and as many of a member and a model outside."""
    generator = np.random.default_rng(seed)
    members = range(group.members)
    inner = _some(list(combinations(members, 2)), count, generator)
    across = _some(list(product(members, group.outside)), count, generator)
    return (*((a, b, "in") for a, b in inner), *((a, b, "across") for a, b in across))


def follow_pairs(
    losses: GeneralizedLoss, pairs: Sequence[tuple[int, int, Relation]]
) -> Iterator[PairProfile]:
    """Score each pair's line on every task; NaN where nothing finite comes out."""
    group = losses.group
    names = group.spanned.names
    for one, other, relation in pairs:
        found: dict[str, list[float]] = {it.task.name: [] for it in losses.objectives}
        for alpha in ALPHAS:
            weights = (1 - alpha) * group.vertex(one) + alpha * group.vertex(other)
            where = f"{1 - alpha:.4g} {names[one]} + {alpha:.4g} {names[other]}"
            for task, row in enumerate(found.values()):
                loss = losses.beyond(task, weights, where)
                row.append(nan if loss is None else loss)
        profile = {task: tuple(row) for task, row in found.items()}
        yield PairProfile(names[one], names[other], relation, ALPHAS, profile)


def _some(
    pairs: list[tuple[int, int]], count: int, generator: np.random.Generator
) -> list[tuple[int, int]]:
    if count >= len(pairs):
        return pairs
    return [pairs[i] for i in sorted(generator.choice(len(pairs), size=count, replace=False))]
