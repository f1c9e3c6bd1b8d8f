"""A model folder that weightscape made for a task: written whole, and made anew if nobody has
touched it."""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from weightscape.errors import BadInput
from weightscape.tasks.fingerprint import task_fingerprint
from weightscape.tasks.task import Task

PROVENANCE = "provenance.json"
MADE_FOR = "recommended_because"
"""What only a model that was chosen for a task says of itself."""


def check_free(out: Path, task: Task | None = None) -> None:
    """Raise BadInput, before anything is computed, where a model could not be written.

    One that was made for the same task and rows may be replaced, if nobody has put anything in its
    folder or trained in it since.
    """
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    told = _told(out)
    if task is None or MADE_FOR not in told:
        raise BadInput(f"{out} is there already; choose another folder to write to")
    if told.get("task_fingerprint") != task_fingerprint(task):
        raise BadInput(
            f"{out} was made for another task or other rows ({told.get('task')}); choose another "
            f"folder for that for {task.name}"
        )
    changed = _changed(out, told.get("files"))
    if changed:
        raise BadInput(
            f"{out} was worked on since it was made ({', '.join(changed[:3])}); choose another "
            "folder, so that nothing is lost"
        )


@contextmanager
def in_place_of(out: Path, task: Task | None = None) -> Iterator[Path]:
    """Give a folder to write a model to; once it is whole it takes the place of `out`.

    What was there is removed after that. Raises as `check_free` does.
    """
    check_free(out, task)
    whole = Path(os.path.realpath(out))
    half, old = (whole.with_name(f".{whole.name}.{it}") for it in ("half", "old"))
    for left in (half, old):  # by a run that was killed
        shutil.rmtree(left, ignore_errors=True)
    half.mkdir(parents=True)
    try:
        yield half
        _seal(half)
        if whole.is_dir() and not any(whole.iterdir()):
            for file in half.iterdir():  # perhaps somebody stands in it, so it stays
                file.rename(whole / file.name)
            return
        if whole.exists():
            whole.rename(old)
        try:
            half.rename(whole)
        except BaseException:
            if old.exists():
                old.rename(whole)
            raise
    finally:
        shutil.rmtree(half, ignore_errors=True)
    shutil.rmtree(old, ignore_errors=True)


def _told(folder: Path) -> Mapping[str, Any]:
    try:
        told = json.loads((folder / PROVENANCE).read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return told if isinstance(told, Mapping) else {}


def _seal(folder: Path) -> None:
    """Add to the provenance what files there are, so that a change of them will be seen."""
    told = {**_told(folder), "files": _hashes(folder)}
    (folder / PROVENANCE).write_text(json.dumps(told, indent=2) + "\n", "utf-8")


def _changed(folder: Path, sealed: Any) -> list[str]:
    """Name what is not as it was written, or was not there then."""
    known = sealed if isinstance(sealed, Mapping) else {}
    found = _hashes(folder)
    return sorted(name for name in {*known, *found} if known.get(name) != found.get(name))


def _hashes(folder: Path) -> dict[str, str]:
    return {
        entry.name: _hash(entry) for entry in sorted(folder.iterdir()) if entry.name != PROVENANCE
    }


def _hash(entry: Path) -> str:
    if not entry.is_file() or entry.is_symlink():
        return "no file"  # never written here
    with entry.open("rb") as opened:
        return hashlib.file_digest(opened, "blake2b").hexdigest()[:32]
