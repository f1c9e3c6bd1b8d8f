"""Experts: which trained probes there are, each known by its name."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select, update

from weightscape.catalog.records import KeptExpert
from weightscape.catalog.schema import (
    models,
    probe_experts,
    probe_unreadable,
    probe_vectors,
    trees,
)
from weightscape.errors import UnknownName


def keep_expert(connection: Connection, expert: KeptExpert) -> KeptExpert:
    """Keep an expert in place of an older one of its name, whose vectors are deleted.

    Returns it with its time and its id, which no other expert ever had.
    """
    _forget(connection, expert.name)
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


def is_kept(connection: Connection, expert_id: int) -> bool:
    """Tell whether an expert is still there, or was replaced."""
    mine = select(probe_experts.c.id).where(probe_experts.c.id == expert_id)
    return connection.execute(mine).first() is not None


def peopled_trees(connection: Connection) -> set[tuple[str, str]]:
    """Tell the trees that have models, but removed ones: each one's name with the models' kind."""
    query = (
        select(trees.c.name, models.c.kind)
        .join(trees, trees.c.id == models.c.tree_id)
        .where(models.c.status != "removed")
        .distinct()
    )
    return {(row.name, row.kind) for row in connection.execute(query)}


def move_expert(connection: Connection, name: str, tree: str) -> None:
    """Give an expert to another tree, and that one's name; nothing where no expert is so called.

    Of two experts that one tree would have then, the newer stays with its vectors.
    """
    known = {it.name: it for it in all_experts(connection)}
    if name not in known or name == tree:
        return
    if tree in known:
        newer, older = sorted((known[name], known[tree]), key=lambda it: (it.made, it.id))[::-1]
        _forget(connection, older.name)
        name = newer.name
    moved = update(probe_experts).where(probe_experts.c.name == name)
    connection.execute(moved.values(name=tree, tree=tree))


def _forget(connection: Connection, name: str) -> None:
    """Delete an expert, if there is one of that name, and all that it read; never its files."""
    mine = probe_experts.c.name == name
    which = select(probe_experts.c.id).where(mine).scalar_subquery()
    for table in (probe_vectors, probe_unreadable):
        connection.execute(delete(table).where(table.c.expert_id == which))
    connection.execute(delete(probe_experts).where(mine))


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
