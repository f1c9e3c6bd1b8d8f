"""Experts: which trained probes there are, each known by its name."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
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
        "folder": _as_kept(connection, expert.folder),
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
    rows = connection.execute(select(probe_experts).order_by(*newest))
    return [_expert(connection, row) for row in rows]


def get_expert(connection: Connection, name: str) -> KeptExpert:
    """Load one expert by name; raises UnknownName with the nearest names."""
    row = connection.execute(
        select(probe_experts).where(probe_experts.c.name == name)
    ).one_or_none()
    if row is None:
        raise UnknownName(
            "expert", name, connection.execute(select(probe_experts.c.name)).scalars()
        )
    return _expert(connection, row)


def forget_expert(connection: Connection, name: str) -> KeptExpert:
    """Delete an expert and its vectors (never its files); raises UnknownName."""
    expert = get_expert(connection, name)
    _delete(connection, expert.id)
    return expert


def _delete(connection: Connection, expert_id: int) -> None:
    connection.execute(delete(probe_vectors).where(probe_vectors.c.expert_id == expert_id))
    connection.execute(delete(probe_experts).where(probe_experts.c.id == expert_id))


def _expert(connection: Connection, row: Row[Any]) -> KeptExpert:
    found = KeptExpert(**{column.name: row._mapping[column] for column in probe_experts.c})
    home = _home(connection)
    return found if home is None else replace(found, folder=str(home / found.folder))


def _as_kept(connection: Connection, folder: str) -> str:
    """Write a folder within the atlas's as seen from there, so that the atlas can be moved."""
    home = _home(connection)
    inside = home is not None and Path(folder).is_relative_to(home)
    return Path(folder).relative_to(home).as_posix() if home and inside else folder


def _home(connection: Connection) -> Path | None:
    """Give the folder of the atlas where that is a file."""
    url = connection.engine.url
    if url.get_backend_name() != "sqlite" or not url.database or url.database == ":memory:":
        return None
    return Path(url.database).resolve().parent
