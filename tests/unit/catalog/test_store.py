import os
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from weightscape.catalog import dialect, models
from weightscape.catalog.records import Model
from weightscape.catalog.store import Store
from weightscape.errors import AtlasError, NotFound

Found = Callable[..., Model]


def test_a_folder_without_an_atlas_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="weightscape chart DIR"):
        Store.open(tmp_path / "nowhere", create=False)
    assert not (tmp_path / "nowhere").exists()


def test_an_empty_file_is_no_atlas_until_one_is_made_of_it(tmp_path: Path) -> None:
    # what a process leaves that was killed while it made the atlas
    (tmp_path / "atlas.sqlite").touch()
    with pytest.raises(NotFound):
        Store.open(tmp_path, create=False)
    Store.open(tmp_path).close()
    Store.open(tmp_path, create=False).close()


def test_an_atlas_is_there_when_opened_again(store: Store, found: Found) -> None:
    with store.write() as connection:
        models.register(connection, [found("a")])
    with Store.open(store.folder, create=False) as again, again.read() as connection:
        assert [model.name for model in models.all_models(connection)] == ["a"]


def test_a_file_that_is_no_database_is_an_atlas_error(tmp_path: Path) -> None:
    (tmp_path / "atlas.sqlite").write_bytes(b"these are not the bytes of a database" * 99)
    with pytest.raises(AtlasError, match=r"atlas\.sqlite.*chart again"):
        Store.open(tmp_path)


def test_another_programs_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "atlas.sqlite"
    other = sqlite3.connect(file)
    other.execute("create table recipes (cake text)")
    other.close()
    before = file.read_bytes()
    with pytest.raises(AtlasError, match="recipes"):
        Store.open(tmp_path)
    assert file.read_bytes() == before


def test_a_folder_that_cannot_be_made_is_an_atlas_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(AtlasError, match="--atlas"):
        Store.open(tmp_path / "file" / "atlas")


def test_opening_a_current_atlas_writes_nothing(store: Store) -> None:
    store.close()

    def state() -> dict[str, int]:
        return {it.name: it.stat().st_mtime_ns for it in store.folder.iterdir()}

    before = state()
    with Store.open(store.folder) as again, again.read() as connection:
        models.all_models(connection)
    assert state() == before


def test_a_failed_transaction_leaves_nothing(store: Store, found: Found) -> None:
    with pytest.raises(ZeroDivisionError), store.write() as connection:
        models.register(connection, [found("a")])
        _ = 1 / 0
    with store.read() as connection:
        assert models.all_models(connection) == []


def test_a_reader_sees_one_state_while_others_write(store: Store, found: Found) -> None:
    with store.read() as reader:
        assert models.all_models(reader) == []
        with store.write() as writer:
            models.register(writer, [found("a")])
            assert models.all_models(reader) == []  # not committed, and not waited for
        assert models.all_models(reader) == []  # committed, but after this reader began
    with store.read() as later:
        assert len(models.all_models(later)) == 1


def test_threads_share_a_store(store: Store, found: Found) -> None:
    def add(number: int) -> None:
        for step in range(5):
            with store.write() as connection:
                models.register(connection, [found(f"{number}/{step}")])

    threads = [threading.Thread(target=add, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with store.read() as connection:
        assert len(models.all_models(connection)) == 20


def test_a_full_disk_keeps_the_old_state(store: Store, found: Found) -> None:
    with store.write() as connection:
        models.register(connection, [found("a")])
    with pytest.raises(AtlasError, match="Make room"), store.write() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")
        models.register(connection, [found(f"b{i}") for i in range(200)])
    store.close()
    with Store.open(store.folder) as again:
        with again.read() as connection:
            assert [model.name for model in models.all_models(connection)] == ["a"]
        with again.write() as connection:
            models.register(connection, [found("b")])


def test_a_writer_that_never_ends_is_reported(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dialect, "BUSY_SECONDS", 0)
    with (
        Store.open(store.folder) as other,
        store.write(),
        pytest.raises(AtlasError, match="another process"),
        other.write(),
    ):
        pass


def test_damage_inside_the_file_is_an_atlas_error(store: Store, found: Found) -> None:
    with store.write() as connection:
        models.register(connection, [found(f"m{i}") for i in range(300)])
    store.close()
    file = store.folder / "atlas.sqlite"
    content = bytearray(file.read_bytes())
    content[8192:] = b"\xff" * len(content[8192:])
    file.write_bytes(content)
    with (
        pytest.raises(AtlasError, match="damaged"),
        Store.open(store.folder) as damaged,
        damaged.read() as connection,
    ):
        models.all_models(connection)


@pytest.mark.parametrize("column", ["config = '{'", "facts = 'null'", "stamp = '[7]'"])
def test_values_that_make_no_sense_are_an_atlas_error(
    store: Store, found: Found, column: str
) -> None:
    with store.write() as connection:
        models.register(connection, [found("a")])
        connection.exec_driver_sql(f"update models set {column}")
    with store.read() as connection, pytest.raises(AtlasError, match="damaged"):
        models.all_models(connection)


def test_an_atlas_that_cannot_be_written_can_be_read(
    store: Store, found: Found, monkeypatch: pytest.MonkeyPatch
) -> None:
    with store.write() as connection:
        models.register(connection, [found("a")])
    store.close()
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with Store.open(store.folder, create=False) as shared:
        with shared.read() as connection:
            assert models.get(connection, "a").name == "a"
        with pytest.raises(AtlasError, match="rights"), shared.write() as connection:
            models.register(connection, [found("b")])
    assert {it.name for it in store.folder.iterdir()} <= {"atlas.sqlite", ".schema.lock"}
