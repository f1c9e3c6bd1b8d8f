"""Fetching one file into a folder: resumed where it broke off, whole or not there."""

import hashlib
import json
import os
import shutil
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

from weightscape.errors import BadCheckpoint, BadInput, WeightscapeError
from weightscape.io.http import Body, HttpFile, is_mark
from weightscape.io.safetensors import size_told
from weightscape.io.source import LocalFile
from weightscape.io.trying import Broken
from weightscape.progress import Advance, Progress, silent

_PIECE = 1 << 20
_LEFT_FREE = 1 << 30
"""Bytes of the disk that a file whose server does not tell its length may not take."""


@dataclass(frozen=True, slots=True)
class Expected:
    """What is known of a file before it is fetched, and the most bytes that are taken of it.

    fixed: a file of that size under that name is this one; no server needs to be asked.
    """

    size: int | None = None
    sha256: str | None = None
    limit: int | None = None
    fixed: bool = False


@dataclass(frozen=True, slots=True)
class _Notes:
    """What the server told of the file that a part, or the whole, is of."""

    size: int
    mark: str


class _Shown:
    """How far a file is, shown from the first answer on: only that tells how long it is."""

    def __init__(self, title: str, progress: Progress, stack: ExitStack) -> None:
        self._title = title
        self._progress = progress
        self._stack = stack
        self._advance: Advance | None = None
        self._reached = 0

    def at(self, reached: int, size: int | None) -> None:
        if self._advance is None:
            # what is there in no time need not be told, a model has many such files
            told = silent if size is not None and size < _PIECE else self._progress
            stage = told.stage(self._title, total=size, unit="B")
            self._advance = self._stack.enter_context(stage)
        self._advance(reached - self._reached)
        self._reached = reached


def fetch_file(
    file: HttpFile,
    target: Path,
    expected: Expected,
    *,
    title: str = "fetching",
    progress: Progress = silent,
) -> None:
    """Fetch a file; `target` appears when it is whole, with the size and SHA-256 it should have.

    What broke off lies beside it as a hidden file, and goes on at its end as long as the server's
    file is the same. A whole one is fetched again only if the server's has changed.

    Raises BadInput where the disk has no room, BadCheckpoint where the file is not as expected.
    """
    if expected.fixed and target.is_file() and target.stat().st_size == expected.size:
        return
    part, notes = _hidden(target, "part"), _hidden(target, "told")
    tries = file.tries()
    with ExitStack() as stack:
        shown = _Shown(title, progress, stack)
        while True:
            held = _size(part)
            try:
                if not _append(file, target, part, notes, expected, shown):
                    return
                break
            except Broken as problem:
                gained = _size(part) - held
                if problem.stale:
                    part.unlink(missing_ok=True)
                tries.failed(problem, gained=gained)
    if expected.sha256 is not None and _sha256(part) != expected.sha256:
        part.unlink()
        raise BadCheckpoint(
            "what came has another SHA-256 than the hub tells; fetch it again", file=file.name
        )
    part.replace(target)


def _append(
    file: HttpFile, target: Path, part: Path, notes: Path, expected: Expected, shown: _Shown
) -> bool:
    """Ask for what is missing and write it down; false if `target` is what the server has."""
    told = _read_notes(notes)
    # at least a byte is asked for, to hear of the file; nothing tells a part without notes from
    # that of another file
    held = min(_size(part), told.size - 1) if told else 0
    whole = told is not None and target.is_file() and target.stat().st_size == told.size
    with file.body(
        held,
        mark=told.mark if told and held else None,
        unless=told.mark if told and whole else None,
    ) as body:
        if body.same:
            return False
        _check(file, body, expected)
        now = _Notes(body.size, body.mark) if body.size and body.mark else None
        if body.start and now != told:
            raise Broken("the file was changed since a part of it was fetched", stale=True)
        if whole and now == told:
            return False
        _refuse_full_disk(target, (body.size or 0) - body.start)
        if not body.start:
            # notes are of one file: whoever is killed here leaves nothing that they are not of
            part.unlink(missing_ok=True)
            target.unlink(missing_ok=True)
            notes.write_text(json.dumps(asdict(now)) if now else "{}")
        try:
            _write(file, body, target, expected, shown)
        except WeightscapeError:
            part.unlink()  # nothing that could be gone on with
            raise
    return True


def _write(file: HttpFile, body: Body, target: Path, expected: Expected, shown: _Shown) -> None:
    size = expected.size if body.size is None else body.size
    part = _hidden(target, "part")
    with part.open("r+b" if body.start else "wb") as out:
        out.seek(body.start)
        out.truncate()
        written = body.start
        shown.at(written, size)
        for piece in body.pieces:
            out.write(piece)
            written += len(piece)
            shown.at(written, size)
            if size is None:
                out.flush()
                size = _length(file, target, written, expected)
            if size is not None and written > size:
                raise BadCheckpoint("is longer than it should be", file=file.name)
        out.flush()
        os.fsync(out.fileno())
    if size is not None and written < size:
        raise Broken(f"it ends after {written:,} of {size:,} bytes")


def _length(file: HttpFile, target: Path, written: int, expected: Expected) -> int | None:
    """Find how long a file is whose server does not tell, by what is there: weights' header does.

    None while nothing tells. Raises what says that no more should come: some servers never end.
    """
    size = None
    if target.suffix == ".safetensors":
        try:
            size = size_told(LocalFile(_hidden(target, "part")))
        except BadCheckpoint:
            raise BadCheckpoint("does not begin as a safetensors file", file=file.name) from None
    _check_limit(file, size or written, expected)
    if size is not None:
        _refuse_full_disk(target, size - written)
    elif shutil.disk_usage(target.parent).free < _LEFT_FREE:
        raise BadInput(
            f"{file.name}: its server does not tell how long it is, and after {written:,} bytes "
            f"less than {_LEFT_FREE:,} are free in {target.parent}; make room, or fetch it by hand"
        )
    return size


def _check(file: HttpFile, body: Body, expected: Expected) -> None:
    if expected.size is not None and body.size is not None and body.size != expected.size:
        raise BadCheckpoint(
            f"has {body.size:,} bytes, but should have {expected.size:,}", file=file.name
        )
    _check_limit(file, body.size or 0, expected)


def _check_limit(file: HttpFile, size: int, expected: Expected) -> None:
    if expected.limit is not None and size > expected.limit:
        raise BadCheckpoint(
            f"is {size:,} bytes; more than {expected.limit:,} is not fetched of such a file",
            file=file.name,
        )


def _refuse_full_disk(target: Path, missing: int) -> None:
    free = shutil.disk_usage(target.parent).free
    if missing > free:
        raise BadInput(
            f"{target.parent}: {missing:,} bytes are to be fetched and {free:,} are free; make "
            "room, or set WEIGHTSCAPE_CACHE to a folder on another disk"
        )


def _hidden(target: Path, suffix: str) -> Path:
    return target.with_name(f".{target.name}.{suffix}")


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _read_notes(path: Path) -> _Notes | None:
    try:
        told = json.loads(path.read_text())
        size, mark = told["size"], told["mark"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    sound = type(size) is int and size > 0 and isinstance(mark, str) and is_mark(mark)
    return _Notes(size, mark) if sound else None


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            digest.update(piece)
    return digest.hexdigest()
