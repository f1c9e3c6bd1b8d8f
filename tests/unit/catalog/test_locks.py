import errno
import fcntl
import threading
from pathlib import Path

import pytest

from weightscape.catalog.locks import file_lock, lock_if_free
from weightscape.catalog.store import Store
from weightscape.errors import AtlasError


def test_the_second_waits_for_the_first_and_says_so(store: Store) -> None:
    told: list[str] = []
    waits, order = threading.Event(), []

    def waiting(message: str) -> None:
        told.append(message)
        waits.set()

    def second() -> None:
        with store.lock("add", waiting):
            order.append("second")

    with store.lock("add"):
        thread = threading.Thread(target=second)
        thread.start()
        assert waits.wait(10)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]
    assert len(told) == 1 and "waiting for process" in told[0]


def test_locks_of_other_names_do_not_wait(store: Store) -> None:
    def waiting(message: str) -> None:
        raise AssertionError(message)

    with store.lock("add"), store.lock("findings", waiting):
        pass
    with store.lock("add", waiting):
        pass


def test_a_file_system_without_locks_is_no_obstacle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(descriptor: int, how: int) -> None:
        raise OSError(errno.ENOLCK, "no locks")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with file_lock(tmp_path / "lock"):
        pass


def test_a_folder_that_holds_no_lock_file_is_an_atlas_error(tmp_path: Path) -> None:
    with pytest.raises(AtlasError, match="rights"), file_lock(tmp_path / "nowhere" / "lock"):
        pass


def test_a_lock_is_taken_only_if_it_is_free(store: Store) -> None:
    with store.lock_if_free("study") as first, store.lock_if_free("study") as second:
        assert first and not second
        with store.lock_if_free("other") as other:
            assert other
    with store.lock_if_free("study") as again:
        assert again


def test_a_folder_without_locks_is_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unsupported(descriptor: int, how: int) -> None:
        raise OSError(errno.ENOTSUP, "not supported")

    monkeypatch.setattr(fcntl, "flock", unsupported)
    with lock_if_free(tmp_path / ".lock") as held:
        assert held
