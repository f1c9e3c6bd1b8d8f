"""Vectors: what an expert read from the models' layers, kept so that no checkpoint is opened."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32
from sqlalchemy import Connection, Exists, Table, delete, exists, func, insert, or_, select

from weightscape.catalog.experts import is_kept
from weightscape.catalog.models import by_ids
from weightscape.catalog.parting import parted
from weightscape.catalog.records import Model
from weightscape.catalog.schema import models, probe_unreadable, probe_vectors, trees
from weightscape.errors import AtlasError

Vector = Float32[np.ndarray, "width"]


@dataclass(frozen=True, slots=True)
class KeptVectors:
    """One expert's vectors, a row for each model, in the order of registration."""

    models: tuple[str, ...]
    vectors: Float32[np.ndarray, "models width"]


def put_vectors(
    connection: Connection, expert_id: int, read: Mapping[int, tuple[str, Vector]]
) -> bool:
    """Keep a vector for each model id, with the model's fingerprint, in place of older ones.

    False, and nothing is kept, where the expert was replaced since the models were read by it.
    """
    if not is_kept(connection, expert_id):
        return False
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
    return True


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
        # by the column of the key, in whose order the rows are: nothing large is sorted
        .order_by(probe_vectors.c.model_id)
    )
    # row by row into one place: a hundred thousand rows beside their numbers are slow to make, and
    # slow again for the garbage collector, which looks at each of them
    names: list[str] = []
    sizes: set[int] = set()
    numbers = bytearray()
    for name, vector in connection.execute(query):
        names.append(name)
        sizes.add(len(vector))
        numbers += vector
    if len(sizes) > 1 or any(size % 4 for size in sizes):
        raise AtlasError(
            "the atlas's vectors of one expert are not all of one length: it is damaged; train "
            "the expert again"
        )
    width = sizes.pop() // 4 if sizes else 0
    matrix = np.frombuffer(numbers, dtype="<f4").reshape(len(names), width)
    return KeptVectors(tuple(names), matrix.astype(np.float32, copy=False))


def read_models(connection: Connection, expert_id: int) -> set[int]:
    """Tell the ids of the models whose vector is up to date, so that the others can be read."""
    query = (
        select(models.c.id)
        .join(probe_vectors, probe_vectors.c.model_id == models.c.id)
        .where(probe_vectors.c.expert_id == expert_id)
        .where(models.c.fingerprint == probe_vectors.c.fingerprint)
    )
    return set(connection.execute(query).scalars())


def get_vector(connection: Connection, expert_id: int, model_id: int) -> Vector | None:
    """Load one model's vector; None where there is none, or one of older files."""
    query = (
        select(probe_vectors.c.vector)
        .join(models, models.c.id == probe_vectors.c.model_id)
        .where(probe_vectors.c.expert_id == expert_id)
        .where(probe_vectors.c.model_id == model_id)
        .where(models.c.fingerprint == probe_vectors.c.fingerprint)
    )
    found = connection.execute(query).scalar_one_or_none()
    return None if found is None else np.frombuffer(found, dtype="<f4").astype(np.float32)


def unread_models(
    connection: Connection,
    expert_id: int,
    trees_and_kinds: Iterable[tuple[str, str]],
    *,
    only: int | None = None,
) -> list[Model]:
    """Load the models of these trees (each with a kind) that an expert is still to read.

    only: look at the model of this id alone. Models whose files are gone are left out, and those
    that the expert could not read as they are.
    """
    inside = [
        (models.c.kind == kind) & models.c.tree_id.in_(select(trees.c.id).where(trees.c.name == it))
        for it, kind in trees_and_kinds
    ]
    query = (
        select(models.c.id)
        .where(models.c.status.in_(("pending", "ready")))
        .where(or_(*inside))
        .where(~_of_model(probe_vectors, expert_id))
        .where(~_of_model(probe_unreadable, expert_id))
    )
    if only is not None:
        query = query.where(models.c.id == only)
    return by_ids(connection, connection.execute(query).scalars())


def count_unread(connection: Connection) -> int:
    """Count the models, but the removed, of which no expert has an up-to-date vector."""
    # gathered once: asked model by model, a database without an index by model looks at every
    # vector for each
    read = (
        select(probe_vectors.c.model_id)
        .join(models, models.c.id == probe_vectors.c.model_id)
        .where(probe_vectors.c.fingerprint == models.c.fingerprint)
    )
    query = (
        select(func.count(models.c.id))
        .where(models.c.status != "removed")
        .where(models.c.id.not_in(read))
    )
    return int(connection.execute(query).scalar_one())


def _of_model(kept: Table, expert_id: int) -> Exists:
    """Ask whether an expert has a row, as of the model's present files."""
    mine = (kept.c.expert_id == expert_id) & (kept.c.model_id == models.c.id)
    return exists().where(mine & (kept.c.fingerprint == models.c.fingerprint))
