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
    try:
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except OSError as problem:
        raise AtlasError(
            f"{file}: {problem.strerror}; check the rights of the folder, or use another --atlas"
        ) from problem
    try:
        _acquire(descriptor, file, waiting)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        yield
    finally:
        os.close(descriptor)


def _acquire(descriptor: int, file: Path, waiting: Callable[[str], None] | None) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(descriptor, 32, 0).decode(errors="replace") or "another process"
        if waiting is not None:
            waiting(f"waiting for process {holder}, which works on this atlas ({file})")
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    except OSError as problem:
        if problem.errno not in (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS):
            raise
        log.info("%s: this file system has no locks; going on without", file)
