"""Vectors: what an expert read from the models' layers, kept so that no checkpoint is opened."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32
from sqlalchemy import Connection, delete, func, insert, select

from weightscape.catalog.parting import parted
from weightscape.catalog.schema import models, probe_vectors
from weightscape.errors import AtlasError

Vector = Float32[np.ndarray, "width"]


@dataclass(frozen=True, slots=True)
class KeptVectors:
    """One expert's vectors, a row for each model, in the order of registration."""

    models: tuple[str, ...]
    vectors: Float32[np.ndarray, "models width"]


def put_vectors(
    connection: Connection, expert_id: int, read: Mapping[int, tuple[str, Vector]]
) -> None:
    """Keep a vector for each model id, with the model's fingerprint, in place of older ones."""
    for some in parted(read):
        mine = (probe_vectors.c.expert_id == expert_id) & probe_vectors.c.model_id.in_(some)
        connection.execute(delete(probe_vectors).where(mine))
    rows = [
        {
            "expert_id": expert_id,
            "model_id": model_id,
            "fingerprint": fingerprint,
            "vector": np.ascontiguousarray(vector, dtype="<f4").tobytes(),
        }
        for model_id, (fingerprint, vector) in read.items()
    ]
    if rows:
        connection.execute(insert(probe_vectors), rows)


def load_vectors(connection: Connection, expert_id: int) -> KeptVectors:
    """Load one expert's vectors into one matrix; those of removed models are left out.

    Raises AtlasError where they are not all of one length.
    """
    query = (
        select(models.c.name, probe_vectors.c.vector)
        .join(models, models.c.id == probe_vectors.c.model_id)
        .where(probe_vectors.c.expert_id == expert_id)
        .where(models.c.status != "removed")
        .where(models.c.fingerprint == probe_vectors.c.fingerprint)
        .order_by(models.c.id)
    )
    rows = connection.execute(query).all()
    sizes = {len(row.vector) for row in rows}
    if len(sizes) > 1 or any(size % 4 for size in sizes):
        raise AtlasError(
            "the atlas's vectors of one expert are not all of one length: it is damaged; train "
            "the expert again"
        )
    numbers = np.frombuffer(b"".join(row.vector for row in rows), dtype="<f4")
    width = sizes.pop() // 4 if rows else 0
    matrix = numbers.astype(np.float32).reshape(len(rows), width)
    return KeptVectors(tuple(row.name for row in rows), matrix)


def read_models(connection: Connection, expert_id: int) -> set[int]:
    """Tell the ids of the models whose vector is up to date, so that the others can be read."""
    query = (
        select(models.c.id)
        .join(probe_vectors, probe_vectors.c.model_id == models.c.id)
        .where(probe_vectors.c.expert_id == expert_id)
        .where(models.c.fingerprint == probe_vectors.c.fingerprint)
    )
    return set(connection.execute(query).scalars())


def count_unread(connection: Connection) -> int:
    """Count the models, but the removed, of which no expert has an up-to-date vector."""
    read = (
        select(probe_vectors.c.model_id)
        .where(probe_vectors.c.model_id == models.c.id)
        .where(probe_vectors.c.fingerprint == models.c.fingerprint)
    )
    query = (
        select(func.count(models.c.id)).where(models.c.status != "removed").where(~read.exists())
    )
    return int(connection.execute(query).scalar_one())
