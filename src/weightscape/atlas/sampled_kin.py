"""Whose kin a model is, by the samples that an atlas keeps of its models."""

from collections.abc import Mapping, Sequence

import numpy as np
from sqlalchemy import Connection

from weightscape.catalog import models as model_rows
from weightscape.catalog.records import Family
from weightscape.geometry.align import Backbone, Shape
from weightscape.geometry.sample import ELEMENTS, group, sampled_tensors
from weightscape.geometry.telling_layer import telling_layer


def tensors_to_sample(shapes: Mapping[str, Shape]) -> tuple[str, ...]:
    """Choose the tensors to sample: of models that are elsewhere one layer is here, so that too."""
    chosen = sampled_tensors(shapes)
    telling = telling_layer(Backbone({name: name for name in shapes}, shapes))[:1]
    return (*chosen, *(it for it in telling if it not in chosen))


def trees_of(
    block: np.ndarray, kin: Sequence[Mapping[int, int]], kept: Mapping[int, np.ndarray]
) -> list[int]:
    """Find the tree of each fresh sample: among those where somebody is, and else where one was."""
    trees: list[int] | None = None
    for some in kin:
        lone = [i for i, tree in enumerate(trees) if tree < 0] if trees else range(len(block))
        known = stacked([kept[i] for i in some], block.shape[1])
        found = group(block[list(lone)], known, list(some.values())) if lone else []
        trees = trees or [-1] * len(block)
        for i, tree in zip(lone, found, strict=True):
            trees[i] = tree
    return trees or []


def rooted(
    connection: Connection, family: Family, kept: Mapping[int, np.ndarray]
) -> tuple[dict[int, int], dict[int, int]]:
    """Tell the trees of a family's models that were sampled: where somebody is, and the others."""
    everyone = [
        it
        for it in model_rows.all_models(connection)
        if it.family_id == family.id and it.tree_id is not None and it.id in kept
    ]
    living = {it.tree_id for it in everyone if it.status in ("pending", "ready")}
    here: dict[int, int] = {}
    gone: dict[int, int] = {}
    for it in everyone:
        if it.tree_id is not None:
            (here if it.tree_id in living else gone)[it.id] = it.tree_id
    return here, gone


def stacked(kept: Sequence[np.ndarray], tensors: int) -> np.ndarray:
    """Stack samples [B, T, E]; those that were taken of fewer tensors lack the last ones."""
    stack = np.full((len(kept), tensors, ELEMENTS), np.nan, np.float32)
    for row, values in enumerate(kept):
        shaped = values.reshape(-1, ELEMENTS)[:tensors]
        stack[row, : len(shaped)] = shaped
    return stack


def soundest(block: np.ndarray, members: Sequence[int]) -> list[int]:
    """Pick those that may be a reference: with the most of the sampled weights there and finite."""
    known = {i: int(np.isfinite(block[i]).sum()) for i in members}
    return [i for i in members if known[i] == max(known.values())]
