"""Places that a model cannot take up again when it comes back.

While a model's files are away, models that arrive cannot be compared with it: their rows have no
product at its position, and rows never change. Coming back, it starts at a place of its own behind
them, where its row holds its products with everybody.
"""

from collections.abc import Iterable

import numpy as np
from sqlalchemy import Connection, select, update

from weightscape.catalog.schema import gram_rows, models


def leave_outgrown(connection: Connection, model_ids: Iterable[int]) -> list[int]:
    """Take those models from their trees that later ones were never compared with; tell which."""
    columns = models.c
    left = []
    for model_id in model_ids:
        place = select(columns.tree_id, columns.position).where(columns.id == model_id)
        tree_id, position = connection.execute(place).one()
        if tree_id is not None and _outgrown(connection, tree_id, position):
            leave(connection, model_id)
            left.append(model_id)
    return left


def leave(connection: Connection, model_id: int) -> None:
    """Take a model from its place: what its rows say is not true of it any more."""
    empty = update(models).where(models.c.id == model_id)
    connection.execute(empty.values(tree_id=None, position=None))


def _outgrown(connection: Connection, tree_id: int, position: int) -> bool:
    rows = gram_rows.c
    here = select(rows.tensor_id, rows.products).where(rows.tree_id == tree_id)
    absent = {
        tensor_id
        for tensor_id, products in connection.execute(here.where(rows.position == position))
        if not _has_product(products, position)
    }
    later = connection.execute(here.where(rows.position > position))
    return any(
        tensor_id not in absent
        and not _has_product(products, position)
        and _has_product(products, len(products) // 8 - 1)  # else it lacks the tensor itself
        for tensor_id, products in later
    )


def _has_product(products: bytes, position: int) -> bool:
    return bool(np.isfinite(np.frombuffer(products, dtype="<f8")[position]))
