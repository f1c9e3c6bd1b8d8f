"""Experts: which trained probes there are, each known by its name."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select

from weightscape.catalog.records import KeptExpert
from weightscape.catalog.schema import probe_experts, probe_vectors
from weightscape.errors import UnknownName


def keep_expert(connection: Connection, expert: KeptExpert) -> KeptExpert:
    """Keep an expert in place of an older one of its name, whose vectors are deleted.

    Returns it with its id and its time.
    """
    old = select(probe_experts.c.id).where(probe_experts.c.name == expert.name)
    for expert_id in list(connection.execute(old).scalars()):
        _delete(connection, expert_id)
    made = expert.made or datetime.now(UTC).isoformat(timespec="seconds")
    row = {
        "name": expert.name,
        "folder": expert.folder,
        "tree": expert.tree,
        "layer": expert.layer,
        "encoder": expert.encoder,
        "made": made,
        "told": expert.told,
    }
    added = connection.execute(insert(probe_experts).values(**row))
    assert added.inserted_primary_key is not None
    return replace(expert, id=added.inserted_primary_key[0], made=made)


def all_experts(connection: Connection) -> list[KeptExpert]:
    """Load all experts, newest first."""
    newest = (probe_experts.c.made.desc(), probe_experts.c.id.desc())
    return [_expert(row) for row in connection.execute(select(probe_experts).order_by(*newest))]


def get_expert(connection: Connection, name: str) -> KeptExpert:
    """Load one expert by name; raises UnknownName with the nearest names."""
    row = connection.execute(
        select(probe_experts).where(probe_experts.c.name == name)
    ).one_or_none()
    if row is None:
        raise UnknownName(
            "expert", name, connection.execute(select(probe_experts.c.name)).scalars()
        )
    return _expert(row)


def forget_expert(connection: Connection, name: str) -> KeptExpert:
    """Delete an expert and its vectors (never its files); raises UnknownName."""
    expert = get_expert(connection, name)
    _delete(connection, expert.id)
    return expert


def _delete(connection: Connection, expert_id: int) -> None:
    connection.execute(delete(probe_vectors).where(probe_vectors.c.expert_id == expert_id))
    connection.execute(delete(probe_experts).where(probe_experts.c.id == expert_id))


def _expert(row: Row[Any]) -> KeptExpert:
    return KeptExpert(**{column.name: row._mapping[column] for column in probe_experts.c})
