"""All that knows which database is underneath; the rest of the catalog is portable SQL."""

import json
import os
import sqlite3
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, Insert, Table, create_engine, event
from sqlalchemy.dialects import postgresql, sqlite

from weightscape.errors import AtlasError

BUSY_SECONDS = 60
_WRITES = {"weightscape_writes": True}


def connect(file: Path) -> Engine:
    """Make an engine for one SQLite file; nothing is read or written yet."""
    url = URL.create("sqlite", database=str(file))
    if not os.access(file.parent, os.W_OK) and not Path(f"{file}-wal").exists():
        # WAL wants a shared-memory file beside the database; where none can be made, nobody
        # writes through this mount, and SQLite may read without one
        url = URL.create("sqlite", database=file.absolute().as_uri()).update_query_dict(
            {"immutable": "1", "uri": "true"}
        )
    engine = create_engine(
        url,
        json_deserializer=_read_json,
        max_overflow=-1,  # a thread that reads never waits for another's connection
        connect_args={"timeout": BUSY_SECONDS, "check_same_thread": False},
    )

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, record: object) -> None:
        # the driver's own transactions begin late and leave DDL out; "begin" below does it right
        connection.isolation_level = None
        connection.execute("PRAGMA foreign_keys = ON")
        # in WAL mode a power cut can then lose the last commits, never the database
        connection.execute("PRAGMA synchronous = NORMAL")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        writes = "weightscape_writes" in connection.get_execution_options()
        # a reader that turns writer would fail where another wrote in between
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def for_writing(connection: Connection) -> Connection:
    """Let the connection's next transaction take the write lock when it begins."""
    return connection.execution_options(**_WRITES)


def allow_readers_beside_a_writer(engine: Engine) -> None:
    """Switch a new database to write-ahead logging, which it then keeps."""
    raw = engine.raw_connection()  # beneath SQLAlchemy: modes do not change inside transactions
    try:
        raw.cursor().execute("PRAGMA journal_mode = WAL")
    except sqlite3.Error as problem:
        raise explain(problem, Path(engine.url.database or "")) from problem
    finally:
        raw.close()


def insert_missing(connection: Connection, table: Table) -> Insert:
    """Build an INSERT that leaves rows alone whose key is already there."""
    if connection.dialect.name == "postgresql":
        return postgresql.insert(table).on_conflict_do_nothing()
    return sqlite.insert(table).on_conflict_do_nothing()


def _read_json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as problem:
        raise AtlasError(
            f"the atlas holds JSON that cannot be read ({problem}): it is damaged; move its folder "
            "away and chart again (models are only read)"
        ) from problem


def explain(problem: BaseException, file: Path) -> AtlasError:
    """Turn what the driver said into what a person can do."""
    said = str(problem)
    if any(sign in said for sign in ("not a database", "malformed", "decode")):
        advice = "it is damaged or no atlas; move it away and chart again (models are only read)"
    elif "full" in said:
        advice = "the disk is full; nothing of this step was kept. Make room and run it again"
    elif "locked" in said or "busy" in said:
        advice = f"another process has been writing for over {BUSY_SECONDS} s; try again"
    elif "readonly" in said or "read-only" in said:
        advice = "it cannot be written; check the rights of the file and its folder"
    elif "unable to open" in said:
        advice = "it cannot be opened; check the rights of the file and its folder"
    else:
        advice = "nothing of this step was kept"
    return AtlasError(f"{file}: {said}: {advice}")
