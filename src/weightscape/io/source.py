"""Where bytes come from: a size, and reads of ranges.

Everything that looks into headers goes through this seam, so that a URL read by ranges can take
the place of a local file.
"""

import codecs
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from weightscape.errors import BadCheckpoint, BadInput, NotFound


class Source(Protocol):
    """Bytes that can be read by range."""

    @property
    def name(self) -> Path | str:
        """Tell what errors should call it."""
        ...

    def size(self) -> int:
        """Tell how many bytes there are."""
        ...

    def read(self, start: int, count: int) -> bytes:
        """Read exactly `count` bytes; raise BadCheckpoint where there are fewer."""
        ...


@dataclass(frozen=True, slots=True)
class LocalFile:
    """A regular file on this machine, opened anew for each read.

    No descriptor stays open: thousands of checkpoints may be open at once.
    """

    path: Path

    @property
    def name(self) -> Path:
        """Tell what errors should call it."""
        return self.path

    def size(self) -> int:
        """Tell the file's size; raise NotFound or BadCheckpoint where it cannot be a model file."""
        try:
            found = self.path.stat()
        except FileNotFoundError:
            raise NotFound(f"{self.path}: no such file") from None
        except (OSError, ValueError) as error:
            raise _unreadable(self.path, error) from None
        if not stat.S_ISREG(found.st_mode):
            # opening a pipe would wait for ever
            raise BadCheckpoint(
                "is not a regular file; give a model file or folder", file=self.path
            )
        return found.st_size

    def read(self, start: int, count: int) -> bytes:
        """Read exactly `count` bytes from `start`; raise BadCheckpoint where there are fewer."""
        try:
            with self.path.open("rb", buffering=0) as file:
                data = os.pread(file.fileno(), count, start)
                while 0 < len(data) < count:  # one pread returns at most 2 GiB
                    more = os.pread(file.fileno(), count - len(data), start + len(data))
                    if not more:
                        break
                    data += more
        except OSError as error:
            raise _unreadable(self.path, error) from None
        if len(data) != count:
            raise BadCheckpoint(
                f"ends after {start + len(data)} bytes; it is truncated, fetch or save it again",
                file=self.path,
                span=(start, start + count),
            )
        return data


def read_small(path: Path, limit: int) -> bytes:
    """Read a whole small file, refusing one that is larger than `limit` bytes before reading."""
    source = LocalFile(path)
    size = source.size()
    if size > limit:
        raise BadCheckpoint(
            f"is {size:,} bytes; more than {limit:,} is not read from such a file", file=path
        )
    return source.read(0, size)


def read_text(path: Path, limit: int) -> str:
    """Read a small text file of a person's: UTF-8, with or without the mark of it at its start.

    Raises BadInput for other encodings.
    """
    data = read_small(path, limit)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        marked = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        what = "is UTF-16" if marked else f"is not valid UTF-8 at byte {error.start}"
        raise BadInput(f"{path}: {what}; save it as UTF-8") from None


def _unreadable(path: Path, error: Exception) -> BadCheckpoint:
    reason = getattr(error, "strerror", None) or str(error)
    return BadCheckpoint(f"cannot be read: {reason}", file=path)
