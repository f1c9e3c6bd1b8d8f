"""Searches of weights: what was asked for, what was found, and which process is at what."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    and_,
    case,
    delete,
    func,
    insert,
    or_,
    select,
    update,
)

from weightscape.catalog.dialect import insert_missing
from weightscape.catalog.records import KeptBatch, KeptStudy, KeptTrial
from weightscape.catalog.schema import studies, study_batches, trials
from weightscape.errors import UnknownName

ATTEMPTS = 2
"""How often a trial is taken before it counts as failed: a worker's death is often chance."""

FINISHED = ("complete", "raced", "failed")


def ensure_study(
    connection: Connection, name: str, identity: dict[str, Any], versions: dict[str, str]
) -> KeptStudy:
    """Load the study of that name, with the identity it was made with, or make it."""
    made = datetime.now(UTC).isoformat(timespec="seconds")
    values = {"name": name, "identity": identity, "versions": versions, "made": made}
    connection.execute(insert_missing(connection, studies).values(values))
    return get_study(connection, name)


def get_study(connection: Connection, name: str) -> KeptStudy:
    """Load a study; raises UnknownName."""
    row = connection.execute(select(studies).where(studies.c.name == name)).first()
    if row is None:
        known = connection.execute(select(studies.c.name)).scalars()
        raise UnknownName("study", name, known)
    return KeptStudy(row.id, row.name, row.identity, row.versions, row.made)


def all_studies(connection: Connection) -> list[KeptStudy]:
    """Load all studies, newest first."""
    rows = connection.execute(select(studies).order_by(studies.c.made.desc(), studies.c.id.desc()))
    return [KeptStudy(it.id, it.name, it.identity, it.versions, it.made) for it in rows]


def forget(connection: Connection, study_id: int) -> None:
    """Delete a study and its trials."""
    for table in (trials, study_batches):
        connection.execute(delete(table).where(table.c.study_id == study_id))
    connection.execute(delete(studies).where(studies.c.id == study_id))


def add_batch(
    connection: Connection, study_id: int, ordinal: int, batch: KeptBatch, weights: Sequence[Any]
) -> int:
    """Keep what was asked for, with a waiting trial for everything new in it; count those.

    Nothing is added where the study has this batch already: another process was there first.
    weights: of each point, in its order.
    """
    points = [list(point) for point in batch.points]
    values = {"points": points, "digests": list(batch.digests)}
    added = connection.execute(
        insert_missing(connection, study_batches)
        .values(study_id=study_id, ordinal=ordinal, **values)
        .returning(study_batches.c.ordinal)
    )
    if added.first() is None:
        return 0
    mine = trials.c.study_id == study_id
    known = set(connection.execute(select(trials.c.digest).where(mine)).scalars())
    before = number = len(known)
    for digest, values_of in zip(batch.digests, weights, strict=True):
        if digest in known:
            continue
        trial = KeptTrial(number, digest, values_of)
        connection.execute(
            insert(trials).values(
                study_id=study_id,
                number=trial.number,
                digest=trial.digest,
                weights=trial.weights,
                state=trial.state,
                attempts=trial.attempts,
                rows=trial.rows,
                seconds=trial.seconds,
                error=trial.error,
            )
        )
        known.add(digest)
        number += 1
    return number - before


def load_batches(connection: Connection, study_id: int) -> list[KeptBatch]:
    """Load what was asked for, in its order."""
    mine = select(study_batches).where(study_batches.c.study_id == study_id)
    rows = connection.execute(mine.order_by(study_batches.c.ordinal))
    return [KeptBatch(tuple(tuple(it) for it in row.points), tuple(row.digests)) for row in rows]


def load_trials(
    connection: Connection, study_id: int, digests: Sequence[str] | None = None
) -> list[KeptTrial]:
    """Load a study's trials by number, or those of the digests alone."""
    wanted = trials.c.study_id == study_id
    if digests is not None:
        wanted = and_(wanted, trials.c.digest.in_(digests))
    rows = connection.execute(select(trials).where(wanted).order_by(trials.c.number))
    return [_trial(row) for row in rows]


def best_trial(connection: Connection, study_id: int) -> tuple[int, float] | None:
    """Tell number and loss of the best trial that was read in full, the first of equal ones."""
    mine = and_(trials.c.study_id == study_id, trials.c.state == "complete")
    lowest = select(trials.c.number, trials.c.loss).where(mine)
    row = connection.execute(lowest.order_by(trials.c.loss, trials.c.number).limit(1)).first()
    return None if row is None else (row.number, row.loss)


def claim(
    connection: Connection, study_id: int, holder: str, now: float, until: float, limit: int | None
) -> KeptTrial | None:
    """Take the first trial that waits, or whose holder's lease has run out; None if there is none.

    A trial whose holders died `ATTEMPTS` times has failed and is not given out again.
    limit: numbers from here on are beyond the budget.
    """
    free = or_(trials.c.state == "waiting", _expired(now))
    wanted = and_(trials.c.study_id == study_id, free, _within(limit))
    first = select(trials).where(wanted).order_by(trials.c.number).limit(1)
    while row := connection.execute(first.with_for_update(skip_locked=True)).first():
        if row.attempts < ATTEMPTS:
            connection.execute(
                _of(study_id, row.number).values(
                    state="running", holder=holder, lease_until=until, attempts=row.attempts + 1
                )
            )
            return _trial(row)
        _fail(connection, study_id, row.number)
    return None


def count_trials(
    connection: Connection, study_id: int, now: float, limit: int | None
) -> tuple[int, int, int]:
    """Count the finished trials, and of the others the free ones and those that are held."""
    free = or_(trials.c.state == "waiting", _expired(now))
    inside = _within(limit)
    which = case(
        (trials.c.state.in_(FINISHED), "finished"), (and_(inside, free), "free"), (inside, "held")
    )
    # grouped by its name: the same expression with other parameters is another one to PostgreSQL
    mine = select(which.label("which"), func.count()).where(trials.c.study_id == study_id)
    rows = connection.execute(mine.group_by("which"))
    found: dict[str, int] = {row[0]: row[1] for row in rows}
    return found.get("finished", 0), found.get("free", 0), found.get("held", 0)


def renew(connection: Connection, study_id: int, number: int, holder: str, until: float) -> bool:
    """Hold a trial for longer; tell whether it was still held."""
    changed = connection.execute(_held(study_id, number, holder).values(lease_until=until))
    return changed.rowcount == 1


def settle(connection: Connection, study_id: int, holder: str, found: KeptTrial) -> bool:
    """Write what a trial gave and let go of it; tell whether it was still held."""
    changed = connection.execute(
        _held(study_id, found.number, holder).values(
            state=found.state,
            holder=None,
            lease_until=None,
            loss=found.loss,
            rows=found.rows,
            seconds=found.seconds,
            error=found.error,
            gradient=found.gradient,
        )
    )
    return changed.rowcount == 1


def give_back(
    connection: Connection, study_id: int, number: int, holder: str, *, counts: bool
) -> None:
    """Let a trial wait again; `counts` tells whether this was an attempt at it."""
    attempts = trials.c.attempts if counts else trials.c.attempts - 1
    connection.execute(
        _held(study_id, number, holder).values(
            state="waiting", holder=None, lease_until=None, attempts=attempts
        )
    )


def _fail(connection: Connection, study_id: int, number: int) -> None:
    connection.execute(
        _of(study_id, number).values(
            state="failed",
            holder=None,
            lease_until=None,
            error=f"{ATTEMPTS} workers ended while they evaluated it",
        )
    )


def _expired(now: float) -> ColumnElement[bool]:
    return and_(trials.c.state == "running", trials.c.lease_until < now)


def _within(limit: int | None) -> ColumnElement[bool]:
    return trials.c.number >= 0 if limit is None else trials.c.number < limit


def _of(study_id: int, number: int) -> Any:
    return update(trials).where(trials.c.study_id == study_id, trials.c.number == number)


def _held(study_id: int, number: int, holder: str) -> Any:
    held = and_(trials.c.state == "running", trials.c.holder == holder)
    return _of(study_id, number).where(held)


def _trial(row: Row[Any]) -> KeptTrial:
    return KeptTrial(
        row.number,
        row.digest,
        row.weights,
        row.state,
        row.attempts,
        row.loss,
        row.rows,
        row.seconds,
        row.error,
        row.gradient,
    )
