"""Families, the tensors they share, and the trees in them with their models' places."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, Row, func, insert, select, update

from weightscape.catalog.names import free_name
from weightscape.catalog.records import Family, FamilyTensor, Tree
from weightscape.catalog.schema import families, family_tensors, models, places, trees
from weightscape.errors import MismatchedModels

Shapes = Sequence[tuple[str, tuple[int, ...]]]


def ensure_family(connection: Connection, name: str, signature: Shapes, role: str) -> Family:
    """Find the family of this role and signature, or found it; `name` may get `~2` behind it."""
    packed = [[tensor, list(shape)] for tensor, shape in signature]
    digest = hashlib.sha256(json.dumps(packed).encode()).hexdigest()
    known = select(families).where(families.c.role == role, families.c.digest == digest)
    row = connection.execute(known).one_or_none()
    if row is None:
        taken = set(connection.execute(select(families.c.name)).scalars())
        family = {
            "name": free_name(name, taken),
            "role": role,
            "signature": packed,
            "digest": digest,
        }
        connection.execute(insert(families).values(**family))
        row = connection.execute(known).one()
    return _family(row)


def all_families(connection: Connection) -> list[Family]:
    """Load every family, oldest first."""
    return [_family(row) for row in connection.execute(select(families).order_by(families.c.id))]


def append_tensors(connection: Connection, family_id: int, shapes: Shapes) -> dict[str, int]:
    """Put the tensors that are new behind the family's axis; tell the ids of all those given.

    Raises MismatchedModels where a known tensor has another shape.
    """
    known = {tensor.name: tensor for tensor in tensors_of(connection, family_id)}
    fresh = [(name, shape) for name, shape in shapes if name not in known]
    for name, shape in shapes:
        if name in known and known[name].shape != tuple(shape):
            raise MismatchedModels(
                f"tensor {name!r} has shape {tuple(shape)}, but {known[name].shape} in its "
                "family; models of one family have tensors of equal shapes"
            )
    if fresh:
        rows = [{"family_id": family_id, "name": n, "shape": list(shape)} for n, shape in fresh]
        connection.execute(insert(family_tensors), rows)
        known = {tensor.name: tensor for tensor in tensors_of(connection, family_id)}
    return {name: known[name].id for name, _ in shapes}


def tensors_of(connection: Connection, family_id: int) -> list[FamilyTensor]:
    """Load the tensor axis of a family's Grams, in its order."""
    query = (
        select(family_tensors)
        .where(family_tensors.c.family_id == family_id)
        .order_by(family_tensors.c.id)
    )
    return [FamilyTensor(row.id, row.name, tuple(row.shape)) for row in connection.execute(query)]


def ensure_tree(
    connection: Connection, family_id: int, name: str, reference_id: int | None = None
) -> Tree:
    """Find the family's tree with this reference (without one: of this name), or plant it."""
    same = (
        trees.c.reference_id == reference_id
        if reference_id is not None
        else trees.c.reference_id.is_(None) & (trees.c.name == name)
    )
    known = select(trees).where(trees.c.family_id == family_id, same)
    row = connection.execute(known).one_or_none()
    if row is None:
        taken = {tree.name for tree in all_trees(connection, family_id)}
        free = free_name(name, taken)
        result = connection.execute(
            insert(trees).values(family_id=family_id, name=free, reference_id=reference_id)
        )
        assert result.inserted_primary_key is not None
        return Tree(result.inserted_primary_key[0], family_id, free, reference_id)
    return _tree(row)


def all_trees(connection: Connection, family_id: int | None = None) -> list[Tree]:
    """Load the trees of a family, or of the atlas, oldest first."""
    query = select(trees).order_by(trees.c.id)
    if family_id is not None:
        query = query.where(trees.c.family_id == family_id)
    return [_tree(row) for row in connection.execute(query)]


def get_tree(connection: Connection, tree_id: int) -> Tree:
    """Load one tree."""
    return _tree(connection.execute(select(trees).where(trees.c.id == tree_id)).one())


def claim(connection: Connection, tree_id: int, model_ids: Iterable[int]) -> dict[int, int]:
    """Give models places in a tree, in the order given, and tell their positions by id.

    A model that is in the tree keeps its place. Any other moves there, to a new place, and leaves
    its old one behind, which nobody takes.
    """
    tree = get_tree(connection, tree_id)
    held = dict(
        connection.execute(
            select(models.c.id, models.c.position).where(models.c.tree_id == tree_id)
        ).all()
    )
    free = size(connection, tree_id)
    positions = {}
    for model_id in model_ids:
        if model_id not in held:
            place = {"tree_id": tree_id, "position": free, "model_id": model_id}
            connection.execute(insert(places).values(**place))
            held[model_id] = free
            free += 1
        positions[model_id] = held[model_id]
        connection.execute(
            update(models)
            .where(models.c.id == model_id)
            .values(family_id=tree.family_id, tree_id=tree_id, position=held[model_id])
        )
    return positions


def size(connection: Connection, tree_id: int) -> int:
    """Tell how many positions the tree's Grams have."""
    top = select(func.max(places.c.position)).where(places.c.tree_id == tree_id)
    last: int | None = connection.execute(top).scalar_one()
    return 0 if last is None else last + 1


def _family(row: Row[Any]) -> Family:
    signature = tuple((name, tuple(shape)) for name, shape in row.signature)
    return Family(row.id, row.name, row.role, signature)


def _tree(row: Row[Any]) -> Tree:
    return Tree(row.id, row.family_id, row.name, row.reference_id)
