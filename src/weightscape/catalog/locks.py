"""File locks that save two processes from doing the same work twice.

Nothing is wrong without them: every write is a transaction. The kernel releases them when their
holder ends, however it ends.
"""

import errno
import fcntl
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from weightscape.errors import AtlasError

log = logging.getLogger(__name__)


@contextmanager
def file_lock(file: Path, waiting: Callable[[str], None] | None = None) -> Iterator[None]:
    """Hold an exclusive lock on `file`; `waiting` is told once when another holds it."""
    descriptor = _open(file)
    try:
        _acquire(descriptor, file, waiting)
        _sign(descriptor)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def lock_if_free(file: Path) -> Iterator[bool]:
    """Hold the lock and give true, or give false where another holds it."""
    descriptor = _open(file)
    try:
        try:
            _acquire(descriptor, file, None, wait=False)
        except BlockingIOError:
            yield False
            return
        _sign(descriptor)
        yield True
    finally:
        os.close(descriptor)


def _open(file: Path) -> int:
    try:
        return os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except OSError as problem:
        raise AtlasError(
            f"{file}: {problem.strerror}; check the rights of the folder, or use another --atlas"
        ) from problem


def _sign(descriptor: int) -> None:
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, str(os.getpid()).encode(), 0)


def _acquire(
    descriptor: int, file: Path, waiting: Callable[[str], None] | None, *, wait: bool = True
) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        if not wait:
            raise
        holder = os.pread(descriptor, 32, 0).decode(errors="replace") or "another process"
        if waiting is not None:
            waiting(f"waiting for process {holder}, which works on this atlas ({file})")
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    except OSError as problem:
        if problem.errno not in (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS):
            raise
        log.info("%s: this file system has no locks; going on without", file)
