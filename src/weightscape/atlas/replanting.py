"""Giving a tree another reference: when its own is gone, or was known by some layers only.

Inner products relative to one reference give those relative to any other model whose products are
known: <x - q, y - q> = <x, y> - <x, q> - <q, y> + <q, q>, all relative to the old reference.
"""

from collections import Counter

import numpy as np
from sqlalchemy import Connection

from weightscape.atlas.expert_groups import group_name
from weightscape.catalog import experts, families, findings, grams
from weightscape.catalog import models as model_rows
from weightscape.catalog.records import Model, TensorStatistics, Tree
from weightscape.geometry.products import TreeGram, subset


def replant(connection: Connection, tree: Tree, readable: set[int]) -> Tree:
    """Move a tree's models to a new tree whose reference is one of the `readable` models (ids).

    The most central readable model with products becomes the reference. Where there is none, the
    models without products start a tree of their own, and those that are gone stay behind.
    """
    inside = [it for it in model_rows.of_tree(connection, tree.id) if it.tree_id == tree.id]
    findings.delete_findings(connection, tree.id)
    known = [it for it in inside if it.status in ("ready", "gone")]
    waiting = [it for it in inside if it.status == "pending"]
    candidates = [it for it in known if it.id in readable and it.kind == "full"]
    # what the reference lacks is lost to all: some layers only where there is nothing else
    candidates = [it for it in candidates if it.facts.part_of is None] or candidates
    if not candidates:
        first = next(it for it in waiting if it.id in readable)
        planted = families.ensure_tree(connection, tree.family_id, first.name, first.id)
        families.claim(connection, planted.id, [it.id for it in waiting])
        move_experts(connection, tree, planted)
        return planted
    products = subset(grams.load_tree_gram(connection, tree.id), [it.name for it in known])
    reference = candidates[_central(products, known, candidates)]
    planted = families.ensure_tree(connection, tree.family_id, reference.name, reference.id)
    # a tree that had this reference before is found again, with its models' old places in it
    held = families.claim(connection, planted.id, [it.id for it in (*known, *waiting)])
    places = [held[it.id] for it in known]
    _keep(connection, planted, products, places, [it.id for it in known].index(reference.id))
    move_experts(connection, tree, planted)
    return planted


def stands_on_part(connection: Connection, tree_id: int) -> bool:
    """Tell whether only some layers of a tree's reference are here: others lack deltas then."""
    tree = families.get_tree(connection, tree_id)
    if tree.reference_id is None:
        return False
    (reference,) = model_rows.by_ids(connection, [tree.reference_id])
    return reference.facts.part_of is not None


def clear(connection: Connection, tree_id: int) -> list[Model]:
    """Take the models out of a tree to be read again elsewhere; tell them. The gone stay behind.

    They are few or small: where a whole model comes, nobody stays on some layers of another.
    """
    moving = [
        it
        for it in model_rows.all_models(connection, statuses=("pending", "ready"))
        if it.tree_id == tree_id
    ]
    model_rows.mark(connection, [it.id for it in moving], "pending")
    return moving


def let_experts_follow(connection: Connection) -> None:
    """Give the experts of trees where nobody is any more to the trees where most of them are."""
    trees = {it.id: it for it in families.all_trees(connection)}
    everyone = {it.id: it for it in model_rows.all_models(connection)}
    peopled = {it.tree_id for it in everyone.values() if it.status in ("pending", "ready")}
    wanted = {it.tree for it in experts.all_experts(connection)}
    for tree in trees.values():
        named = {group_name(tree.name, low_rank) for low_rank in (False, True)}
        if tree.id in peopled or not named & wanted:
            continue
        left = [everyone[it.id].tree_id for it in model_rows.of_tree(connection, tree.id)]
        here = Counter(it for it in left if it in peopled and it is not None)
        if here:
            move_experts(connection, tree, trees[here.most_common(1)[0][0]])


def move_experts(connection: Connection, old: Tree, new: Tree) -> None:
    """Let the experts of a tree's models, whole and adapters, go on reading them."""
    for low_rank in (False, True):
        moved = (group_name(it.name, low_rank) for it in (old, new))
        experts.move_expert(connection, *moved)


def rebased(gram: np.ndarray, reference: int) -> np.ndarray:
    """Turn N x N products relative to one reference into those relative to model `reference`."""
    column = gram[:, reference]
    result: np.ndarray = gram - column[:, None] - column[None, :] + column[reference]
    return result


def _central(products: TreeGram, known: list[Model], candidates: list[Model]) -> int:
    gram = np.nansum(products.gram, axis=0)
    lengths = np.diag(gram)
    distances = lengths[:, None] + lengths[None, :] - 2 * gram
    place = {model.id: index for index, model in enumerate(known)}
    return int(np.argmin([distances[place[it.id]].sum() for it in candidates]))


def _keep(
    connection: Connection, tree: Tree, products: TreeGram, places: list[int], reference: int
) -> None:
    moments = products.moments
    axis = {it.name: it.id for it in families.tensors_of(connection, tree.family_id)}
    for row, tensor in enumerate(products.tensors):
        gram = rebased(products.gram[row], reference)
        statistics = {
            position: TensorStatistics(
                content_hash=moments.hashes[row][column],
                norm=float(moments.norm[row, column]),
                kurtosis=float(moments.kurtosis[row, column]),
                peak=float(moments.peak[row, column]),
                # the share equal to the new reference was never counted
                nonfinite=int(moments.nonfinite[row, column]),
            )
            for column, position in enumerate(places)
            if moments.hashes[row][column]
        }
        spread = np.full((len(places), max(places) + 1), np.nan)
        spread[:, places] = gram
        rows = {p: spread[column, : p + 1].copy() for column, p in enumerate(places)}
        grams.append_rows(connection, tree.id, axis[tensor], rows, statistics)
