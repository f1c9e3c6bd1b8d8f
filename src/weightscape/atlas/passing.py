"""The Gram pass over trees: rows for models that have none yet, kept as they come."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from sqlalchemy import Connection

from weightscape.atlas.bases import kept_base, may_carry
from weightscape.atlas.reading import Shelf, member_of
from weightscape.atlas.replanting import replant
from weightscape.catalog import families, grams
from weightscape.catalog import models as model_rows
from weightscape.catalog.records import FamilyTensor, Model, TensorStatistics, Tree
from weightscape.catalog.store import Store
from weightscape.geometry.align import Shape
from weightscape.geometry.gram import (
    DEFAULT_MEMORY,
    TensorProducts,
    gram_pass,
)
from weightscape.geometry.piece import Member
from weightscape.progress import Progress, silent


@dataclass(frozen=True, slots=True)
class PassReport:
    """What a pass did: models that got their rows, trees touched, bytes read of the files."""

    models: tuple[str, ...]
    trees: tuple[int, ...]
    bytes_read: int


def complete(
    store: Store,
    shelf: Shelf,
    *,
    memory: int = DEFAULT_MEMORY,
    threads: int | None = None,
    progress: Progress = silent,
) -> PassReport:
    """Give every pending model its rows, tree by tree; go on where a killed pass stopped.

    Each tensor's rows are kept as soon as they are whole. A tree that another process works on is
    waited for; what it has done by then is not done again.
    """
    with store.read() as connection:
        trees = [
            tree
            for tree in families.all_trees(connection)
            if any(it.status == "pending" for it in _inhabitants(connection, tree))
        ]
    done: list[str] = []
    read = 0
    trees = [_with_reference(store, shelf, tree) for tree in trees]
    for tree in trees:
        with store.lock(f"tree-{tree.id}", progress.note):
            finished, count = _complete_tree(store, shelf, tree, memory, threads, progress)
        done += finished
        read += count
    return PassReport(tuple(done), tuple(tree.id for tree in trees), read)


def members_of(
    connection: Connection, tree: Tree, shapes: Mapping[str, Shape], shelf: Shelf
) -> list[Member]:
    """Make every place of a tree readable, by position; those whose files are gone lack tensors."""
    everyone = model_rows.all_models(connection)
    members: dict[int, Member] = {}
    result = []
    for model in model_rows.of_tree(connection, tree.id):
        left = model.status == "removed" or model.tree_id != tree.id
        # at the path of one that is gone, other content may lie by now
        if model.status == "gone" or (left and model.id != tree.reference_id):
            result.append(Member(model.name, shelf.absent, {}))
            continue
        base = None
        if model.kind == "adapter":
            below = kept_base(model, everyone) if tree.reference_id is not None else None
            if below is not None and may_carry(below, shelf):
                base = members.get(below.id) or member_of(below, shapes, shelf)
            elif tree.reference_id is not None:
                result.append(Member(model.name, shelf.absent, {}))
                continue
        members[model.id] = member_of(model, shapes, shelf, base)
        result.append(members[model.id])
    return result


def _with_reference(store: Store, shelf: Shelf, tree: Tree) -> Tree:
    """Give a tree whose reference cannot be read any more another one."""
    with store.read() as connection:
        everyone = model_rows.of_tree(connection, tree.id)
    there = [it for it in everyone if it.status in ("pending", "ready")]
    readable = {it.id for it in there if shelf.readable(it.path)}
    if tree.reference_id is None or tree.reference_id in readable or not readable:
        return tree
    with store.lock(f"tree-{tree.id}"), store.write() as connection:
        return replant(connection, tree, readable)


def _inhabitants(connection: Connection, tree: Tree) -> list[Model]:
    return [it for it in model_rows.of_tree(connection, tree.id) if it.tree_id == tree.id]


def _complete_tree(
    store: Store,
    shelf: Shelf,
    tree: Tree,
    memory: int,
    threads: int | None,
    progress: Progress,
) -> tuple[list[str], int]:
    with store.read() as connection:
        inside = _inhabitants(connection, tree)
        pending = {
            it.position: it for it in inside if it.status == "pending" and it.position is not None
        }
        axis = families.tensors_of(connection, tree.family_id)
        finished = grams.finished_tensors(connection, tree.id, list(pending))
        shapes = {it.name: it.shape for it in axis if it.id not in finished}
        members = members_of(connection, tree, {it.name: it.shape for it in axis}, shelf)
    if not pending:
        return [], 0
    fresh = sorted(pending)
    reference = _reference(tree, inside, members)
    ids = {it.name: it for it in axis}
    read = 0
    for products in gram_pass(
        members,
        shapes,
        reference=reference,
        fresh=fresh,
        memory=memory,
        threads=threads,
        progress=progress,
    ):
        _keep(store, tree, ids[products.tensor], fresh, products)
        read += products.bytes_read
    with store.write() as connection:
        # another process may have given some a place in a tree where they have no rows yet
        now = model_rows.by_ids(connection, [it.id for it in pending.values()])
        places = {it.id: (it.tree_id, it.position) for it in now}
        done = [it for it in pending.values() if places[it.id] == (tree.id, it.position)]
        model_rows.mark_ready(connection, [it.id for it in done])
    return [it.name for it in done], read


def _reference(tree: Tree, inside: Sequence[Model], members: Sequence[Member]) -> Member | None:
    if tree.reference_id is None:
        return None
    for model in inside:
        if model.id == tree.reference_id and model.position is not None:
            return members[model.position]
    return None


def _keep(
    store: Store,
    tree: Tree,
    tensor: FamilyTensor,
    fresh: Sequence[int],
    products: TensorProducts,
) -> None:
    """Keep one tensor's rows: a killed pass loses at most the tensors it was at."""
    # an infinite weight makes its products infinite, or NaN beside a zero: neither is a number
    finite = np.where(np.isfinite(products.rows), products.rows, np.nan)
    rows = {p: np.ascontiguousarray(finite[k, : p + 1]) for k, p in enumerate(fresh)}
    statistics = {
        position: TensorStatistics(
            content_hash=products.hashes[k],
            norm=float(products.norm[k]),
            kurtosis=float(products.kurtosis[k]),
            peak=float(products.peak[k]),
            unchanged=float(products.unchanged[k]),
            nonfinite=int(products.nonfinite[k]),
        )
        for k, position in enumerate(fresh)
        if products.hashes[k]
    }
    with store.write() as connection:
        grams.append_rows(connection, tree.id, tensor.id, rows, statistics)
