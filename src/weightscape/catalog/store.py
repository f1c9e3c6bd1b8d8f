"""An atlas's database: opening it, and transactions on it.

The nouns' files (models, families, grams, samples, findings, skipped) hold the queries, as
functions of a connection, so that a caller puts what belongs together into one transaction:

    with store.write() as connection:
        added = models.register(connection, found)
        families.claim(connection, tree.id, [model.id for model in added])
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DatabaseError, IntegrityError, ProgrammingError

from weightscape.catalog import dialect, migrations
from weightscape.catalog.locks import file_lock, lock_if_free
from weightscape.errors import AtlasError, NotFound

DATABASE = "atlas.sqlite"


@dataclass(frozen=True, slots=True)
class Store:
    """The open catalog of one atlas folder; share it between threads, not over a fork."""

    folder: Path
    engine: Engine

    @classmethod
    def open(cls, folder: str | Path, *, create: bool = True) -> "Store":
        """Open the atlas in `folder`, making it or bringing it up to date where needed.

        Raises NotFound where there is none and `create` is false, AtlasError where the file is
        no atlas, is damaged, or was written by a newer weightscape.
        """
        folder = Path(folder)
        file = folder / DATABASE
        if create:
            _make_folder(folder)
        elif not file.is_file():
            raise _no_atlas(folder)
        store = cls(folder, dialect.connect(file))
        try:
            with store.read() as connection:
                version = migrations.stored_version(connection)
            if version == 0 and not create:
                raise _no_atlas(folder)
            if version < migrations.current_version():
                store._migrate()
        except BaseException:
            store.close()
            raise
        return store

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Open a transaction that sees one state of the atlas, whatever others write."""
        with self._explained(), self.engine.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Open a transaction that alone may write, kept whole or not at all.

        Keep it short, and never open one inside another. Raises AtlasError where the disk is
        full or another process writes for longer than a minute.
        """
        with self._explained(), self.engine.connect() as plain:
            connection = dialect.for_writing(plain)
            with connection.begin():
                yield connection

    def lock(
        self, name: str, waiting: Callable[[str], None] | None = None
    ) -> AbstractContextManager[None]:
        """Hold the named lock of this atlas, to save work; `waiting` is told if that takes time."""
        return file_lock(self.folder / f".{name}.lock", waiting)

    def lock_if_free(self, name: str) -> AbstractContextManager[bool]:
        """Hold the named lock and give true, or give false where another process holds it."""
        return lock_if_free(self.folder / f".{name}.lock")

    def close(self) -> None:
        """Close the connections; the store can be used again and opens new ones."""
        self.engine.dispose()

    def __enter__(self) -> "Store":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        problem: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _migrate(self) -> None:
        # journal modes change only while nobody else is connected in earnest
        with self.lock("schema"), self._explained():
            dialect.allow_readers_beside_a_writer(self.engine)
            with self.write() as connection:
                migrations.migrate(connection)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (IntegrityError, ProgrammingError):
            raise  # bugs of ours, which keep their traceback
        except UnicodeDecodeError as problem:  # SQLite quotes damaged bytes in its messages
            raise dialect.explain(problem, self.folder / DATABASE) from problem
        except DatabaseError as problem:
            raise dialect.explain(problem.orig or problem, self.folder / DATABASE) from problem


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise AtlasError(
            f"no atlas can be made at {folder}: {problem.strerror}; choose another with --atlas"
        ) from problem


def _no_atlas(folder: Path) -> NotFound:
    return NotFound(
        f"there is no atlas in {folder}; make one with: weightscape chart DIR --atlas {folder}"
    )
