"""What was found beside the models and not charted."""

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import Connection, delete, insert, select

from weightscape.catalog.records import Skipped
from weightscape.catalog.schema import skipped


def replace_skipped(
    connection: Connection, paths: Iterable[str | Path], found: Iterable[Skipped]
) -> None:
    """Keep what a walk over `paths` skipped, in place of what earlier walks over them did."""
    roots = [Path(path) for path in paths]
    fresh = {it.path: it for it in found}
    for known in all_skipped(connection):
        walked = any(Path(known.path).is_relative_to(root) for root in roots)
        if walked or known.path in fresh:
            connection.execute(delete(skipped).where(skipped.c.path == known.path))
    now = datetime.now(UTC).isoformat(timespec="seconds")
    for it in fresh.values():
        row = {"path": it.path, "reason": it.reason, "kind": it.kind, "seen": it.seen or now}
        connection.execute(insert(skipped).values(**row))


def all_skipped(connection: Connection) -> list[Skipped]:
    """Load what was skipped, by path."""
    rows = connection.execute(select(skipped).order_by(skipped.c.path))
    return [Skipped(row.path, row.reason, row.kind, row.seen) for row in rows]
