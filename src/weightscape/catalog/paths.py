"""Paths and planes: what was measured between models, newest first."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select

from weightscape.catalog.models import get
from weightscape.catalog.records import KeptPath
from weightscape.catalog.schema import models, paths
from weightscape.errors import BadInput


def keep(connection: Connection, found: KeptPath) -> KeptPath:
    """Keep a result in place of an older one of its key, and return it with its time.

    Raises UnknownName where a model is not in the atlas, BadInput where their number is wrong.
    """
    wanted = 2 if found.kind == "path" else 3
    if len(found.models) != wanted:
        raise BadInput(f"a {found.kind} has {wanted} models; got {len(found.models)}")
    ids = [get(connection, name).id for name in found.models]
    connection.execute(delete(paths).where(paths.c.key == found.key))
    made = found.made or datetime.now(UTC).isoformat(timespec="seconds")
    connection.execute(
        insert(paths).values(
            key=found.key,
            kind=found.kind,
            a_id=ids[0],
            b_id=ids[1],
            c_id=ids[2] if wanted == 3 else None,
            task=found.task,
            folder=found.folder,
            made=made,
            result=found.result,
        )
    )
    return replace(found, made=made)


def all_kept(connection: Connection) -> list[KeptPath]:
    """Load what was kept, newest first; what a removed model is an end of is left out."""
    known = select(models.c.id, models.c.name).where(models.c.status != "removed")
    names = {row.id: row.name for row in connection.execute(known)}
    rows = connection.execute(select(paths).order_by(paths.c.made.desc(), paths.c.id.desc()))
    return [_kept(row, names) for row in rows if all(it in names for it in _ends(row))]


def _ends(row: Row[Any]) -> tuple[int, ...]:
    return tuple(it for it in (row.a_id, row.b_id, row.c_id) if it is not None)


def _kept(row: Row[Any], names: dict[int, str]) -> KeptPath:
    ends = tuple(names[it] for it in _ends(row))
    return KeptPath(row.key, row.kind, ends, row.task, row.folder, row.result, row.made)
