"""All that knows which database is underneath; the rest of the catalog is portable SQL."""

import json
import os
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, Insert, Table, create_engine, event, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import OperationalError

from weightscape.errors import AtlasError

BUSY_SECONDS = 60
_WRITES = {"weightscape_writes": True}

_FULL_TEXT = """
create virtual table model_words using fts5(
    name, labels, card, content='model_texts', content_rowid='model_id',
    tokenize='porter unicode61 remove_diacritics 2'
)"""
_ADD_WORDS = """insert into model_words(rowid, name, labels, card)
values (new.model_id, new.name, new.labels, new.card);"""
_TAKE_WORDS = """insert into model_words(model_words, rowid, name, labels, card)
values ('delete', old.model_id, old.name, old.labels, old.card);"""
_KEPT_IN_STEP = (
    f"create trigger words_added after insert on model_texts begin {_ADD_WORDS} end",
    f"create trigger words_gone after delete on model_texts begin {_TAKE_WORDS} end",
    "create trigger words_changed after update on model_texts "
    f"begin {_TAKE_WORDS} {_ADD_WORDS} end",
)
# a word in a model's name says more than one in its labels, and that more than one in its card
_MATCHES = """
select models.name, -bm25(model_words, 4.0, 3.0, 1.0) as score
from model_words join models on models.id = model_words.rowid
where model_words match :words and models.status <> 'removed'
order by score desc, models.name limit :count"""


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


def check_references_at_the_end(connection: Connection) -> None:
    """Let SQLite check foreign keys when the transaction ends: a table may be made anew in it."""
    connection.exec_driver_sql("PRAGMA defer_foreign_keys = ON")


def insert_missing(connection: Connection, table: Table) -> Insert:
    """Build an INSERT that leaves rows alone whose key is already there."""
    if connection.dialect.name == "postgresql":
        return postgresql.insert(table).on_conflict_do_nothing()
    return sqlite.insert(table).on_conflict_do_nothing()


def add_full_text(connection: Connection) -> None:
    """Index the words of `model_texts` where the database can; triggers keep the index in step."""
    if connection.dialect.name != "sqlite":
        return
    try:
        connection.exec_driver_sql(_FULL_TEXT)
    except OperationalError as problem:
        if "no such module" not in str(problem):
            raise
        return  # an SQLite that was built without it: `match_words` is not asked then
    for trigger in _KEPT_IN_STEP:
        connection.exec_driver_sql(trigger)


def has_full_text(connection: Connection) -> bool:
    """Tell whether there is an index of words to ask."""
    if connection.dialect.name != "sqlite":
        return False
    asked = "select 1 from sqlite_master where name = 'model_words'"
    return connection.exec_driver_sql(asked).first() is not None


def match_words(
    connection: Connection, words: Sequence[str], count: int
) -> list[tuple[str, float]]:
    """Rank the models whose texts have any of these words, by BM25; names, and scores above 0."""
    wanted = " OR ".join(f'"{word}"' for word in words if '"' not in word)
    rows = connection.execute(text(_MATCHES), {"words": wanted, "count": count})
    return [(name, float(score)) for name, score in rows]


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
