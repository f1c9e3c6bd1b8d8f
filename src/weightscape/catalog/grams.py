"""Grams and tensor statistics: lower-triangular rows, appended and never changed.

The row of position p holds the inner products of that model with positions 0 to p of its tree, so
that a model that arrives later adds one row a tensor and touches no other.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
from jaxtyping import Float64
from sqlalchemy import Connection, func, select

from weightscape.catalog import families
from weightscape.catalog.dialect import insert_missing
from weightscape.catalog.models import of_tree
from weightscape.catalog.records import FamilyTensor, TensorStatistics
from weightscape.catalog.schema import gram_rows
from weightscape.errors import AtlasError, UnknownName
from weightscape.geometry.products import Moments, TreeGram

Row = Float64[np.ndarray, "p"]
Square = Float64[np.ndarray, "N N"]


def append_rows(
    connection: Connection,
    tree_id: int,
    tensor_id: int,
    rows: Mapping[int, Row],
    statistics: Mapping[int, TensorStatistics],
) -> None:
    """Keep one tensor's rows, each position + 1 long, and statistics, both by position.

    Rows that are there already stay as they are: two processes that compute one are both right.
    A position without statistics is a model without that tensor.
    """
    absent = TensorStatistics()
    values = []
    for position, row in rows.items():
        if row.shape != (position + 1,):
            raise ValueError(f"row of position {position} has shape {row.shape}")
        stats = statistics.get(position, absent)
        values.append(
            {
                "tree_id": tree_id,
                "tensor_id": tensor_id,
                "position": int(position),  # NumPy's own numbers would be kept as bytes
                "content_hash": stats.content_hash,
                "norm": float(stats.norm),
                "kurtosis": float(stats.kurtosis),
                "peak": float(stats.peak),
                "unchanged": float(stats.unchanged),
                "nonfinite": int(stats.nonfinite),
                "products": row.astype("<f8").tobytes(),
            }
        )
    if values:
        connection.execute(insert_missing(connection, gram_rows), values)


def finished_tensors(connection: Connection, tree_id: int, positions: Iterable[int]) -> set[int]:
    """Tell the ids of the tensors that have the rows of all these positions."""
    wanted = {int(position) for position in positions}
    counts = (
        select(gram_rows.c.tensor_id)
        .where(gram_rows.c.tree_id == tree_id, gram_rows.c.position.in_(wanted))
        .group_by(gram_rows.c.tensor_id)
        .having(func.count() == len(wanted))
    )
    return set(connection.execute(counts).scalars())


def stream_gram(
    connection: Connection, tree_id: int, tensors: Iterable[str] | None = None
) -> Iterator[tuple[FamilyTensor, Square]]:
    """Load the full Gram of each tensor in turn: a tree that is too large for memory at once."""
    places = families.size(connection, tree_id)
    for tensor in _axis(connection, tree_id, tensors):
        gram = np.empty((places, places))
        _fill_gram(connection, tree_id, tensor.id, gram)
        yield tensor, gram


def load_gram(
    connection: Connection, tree_id: int, tensors: Iterable[str] | None = None
) -> tuple[tuple[str, ...], tuple[tuple[int, ...], ...], Float64[np.ndarray, "T N N"]]:
    """Load names, shapes and full Grams of a tree's tensors.

    An inner product is NaN until the row of the later of its two positions is there.
    """
    axis = _axis(connection, tree_id, tensors)
    places = families.size(connection, tree_id)
    gram = np.empty((len(axis), places, places))
    for tensor, square in zip(axis, gram, strict=True):
        _fill_gram(connection, tree_id, tensor.id, square)
    return tuple(it.name for it in axis), tuple(it.shape for it in axis), gram


def load_moments(
    connection: Connection, tree_id: int, tensors: Iterable[str] | None = None
) -> Moments:
    """Load the statistics of a tree's models, tensor by tensor, in the Gram's order."""
    axis = {it.id: row for row, it in enumerate(_axis(connection, tree_id, tensors))}
    places = families.size(connection, tree_id)
    numbers = np.full((4, len(axis), places), np.nan)
    nonfinite = np.zeros((len(axis), places), dtype=np.int64)
    hashes = [[""] * places for _ in axis]
    columns = gram_rows.c
    query = select(
        columns.tensor_id,
        columns.position,
        columns.content_hash,
        columns.nonfinite,
        columns.norm,
        columns.kurtosis,
        columns.peak,
        columns.unchanged,
    ).where(columns.tree_id == tree_id)
    for tensor_id, position, content_hash, bad, *four in connection.execute(query):
        row = axis.get(tensor_id)
        if row is not None:
            numbers[:, row, position] = four  # SQLite keeps NaN as NULL; NumPy reads None as NaN
            nonfinite[row, position] = bad
            hashes[row][position] = content_hash
    norm, kurtosis, peak, unchanged = numbers
    return Moments(norm, kurtosis, peak, unchanged, nonfinite, tuple(map(tuple, hashes)))


def load_tree_gram(
    connection: Connection, tree_id: int, tensors: Sequence[str] | None = None
) -> TreeGram:
    """Load all that one pass left of a tree; models by position, the removed included.

    A place that its model has left bears the name too: the last of a name is where it is.
    """
    members = of_tree(connection, tree_id)
    reference_id = families.get_tree(connection, tree_id).reference_id
    names, shapes, gram = load_gram(connection, tree_id, tensors)
    return TreeGram(
        models=tuple(model.name for model in members),
        tensors=names,
        shapes=shapes,
        gram=gram,
        moments=load_moments(connection, tree_id, tensors),
        reference=next((it.name for it in members if it.id == reference_id), None),
    )


def _axis(
    connection: Connection, tree_id: int, tensors: Iterable[str] | None
) -> list[FamilyTensor]:
    family_id = families.get_tree(connection, tree_id).family_id
    axis = families.tensors_of(connection, family_id)
    if tensors is None:
        return axis
    known = {tensor.name: tensor for tensor in axis}
    wanted = tuple(tensors)
    for name in wanted:
        if name not in known:
            raise UnknownName("tensor", name, known)
    return [known[name] for name in wanted]


def _fill_gram(connection: Connection, tree_id: int, tensor_id: int, gram: Square) -> None:
    gram.fill(np.nan)
    query = select(gram_rows.c.position, gram_rows.c.products).where(
        gram_rows.c.tree_id == tree_id, gram_rows.c.tensor_id == tensor_id
    )
    for position, products in connection.execute(query):
        fits = isinstance(products, bytes) and len(products) == 8 * (position + 1)
        if not fits or not 0 <= position < len(gram):
            raise AtlasError(
                f"{connection.engine.url.database}: row {position} of tensor {tensor_id} is "
                "damaged; move the atlas's folder away and chart again (models are only read)"
            )
        row = np.frombuffer(products, dtype="<f8")
        gram[position, : position + 1] = row
        gram[:position, position] = row[:-1]
