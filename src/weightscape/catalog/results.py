"""Regions, starting points and blends: what was found of groups of models, newest first."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select

from weightscape.catalog.models import get
from weightscape.catalog.records import KeptResult
from weightscape.catalog.schema import models, results
from weightscape.errors import BadInput


def keep(connection: Connection, found: KeptResult) -> KeptResult:
    """Keep a result in place of an older one of its key, and return it with its time.

    Raises UnknownName where a model is not in the atlas, BadInput for less than two models.
    """
    if len(found.models) < 2:
        raise BadInput(f"a {found.kind} is about two models or more; got {len(found.models)}")
    ids = [get(connection, name).id for name in found.models]
    connection.execute(delete(results).where(results.c.key == found.key))
    made = found.made or datetime.now(UTC).isoformat(timespec="seconds")
    connection.execute(
        insert(results).values(
            key=found.key,
            kind=found.kind,
            models=ids,
            task=found.task,
            folder=found.folder,
            made=made,
            result=found.result,
        )
    )
    return replace(found, made=made)


def all_kept(connection: Connection) -> list[KeptResult]:
    """Load what was kept, newest first; what a removed model is part of is left out."""
    known = select(models.c.id, models.c.name).where(models.c.status != "removed")
    names = {row.id: row.name for row in connection.execute(known)}
    rows = connection.execute(select(results).order_by(results.c.made.desc(), results.c.id.desc()))
    return [_kept(row, names) for row in rows if all(it in names for it in row.models)]


def _kept(row: Row[Any], names: dict[int, str]) -> KeptResult:
    members = tuple(names[it] for it in row.models)
    return KeptResult(row.key, row.kind, members, row.task, row.folder, row.result, row.made)
