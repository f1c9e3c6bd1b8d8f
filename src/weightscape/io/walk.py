"""Walking folders: each real folder once, no loops, hub caches by their repositories."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from weightscape.errors import WeightscapeError
from weightscape.io.layout import Layout, look
from weightscape.io.source import LocalFile

ATLAS_FILE = "atlas.sqlite"
MADE_FILE = ".made-by-weightscape"
"""Stands in folders that hold models which were made to measure something, and are nobody's."""

_REPOSITORY = "models--"
_NEVER = ("datasets--", "spaces--", ".", "__MACOSX", "__pycache__")
# exports and originals that stand inside a model's own folder
_EXPORTS = frozenset({"onnx", "openvino", "coreml", "gguf", "tf", "flax", "original", "metal"})
_MODULE = re.compile(r"\d+_\w+")


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder that was walked into.

    origin, parts: the folder that names are relative to, and the name below it. part_of_model: it
    lies in a model's folder and holds exports or modules of that model. problem: why it could not
    be listed.
    """

    path: Path
    origin: Path
    parts: tuple[str, ...]
    files: tuple[str, ...] = ()
    subfolders: tuple[str, ...] = ()
    layout: Layout = field(default_factory=Layout)
    part_of_model: bool = False
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class _Step:
    path: Path
    origin: Path
    parts: tuple[str, ...]
    part_of_model: bool = False


def walk(argument: Path) -> Iterator[Folder]:
    """Yield a folder and those below it, in the same order every time.

    Hidden folders, atlases, what weightscape made for itself and data sets are left out; linked
    folders come last, so that a real path is preferred to a link.
    """
    name = hub_name(argument)
    waiting = [_Step(argument, argument, name or ())]
    links: list[_Step] = []
    seen: set[tuple[int, int]] = set()
    while waiting or links:
        step = waiting.pop() if waiting else links.pop(0)
        try:
            found = step.path.stat()
            entries = sorted(os.scandir(step.path), key=lambda entry: entry.name)
        except OSError as error:
            reason = f"cannot be listed: {error.strerror}"
            yield Folder(step.path, step.origin, step.parts, problem=reason)
            continue
        if (found.st_dev, found.st_ino) in seen:
            continue
        seen.add((found.st_dev, found.st_ino))
        folders = [entry for entry in entries if _is_folder(entry)]
        names = {entry.name for entry in folders}
        files = tuple(entry.name for entry in entries if entry.name not in names)
        if ATLAS_FILE in files or MADE_FILE in files:
            continue
        if step.path.name.startswith(_REPOSITORY) and "snapshots" in names:
            snapshot = _snapshot(step.path)
            if snapshot is not None:
                waiting.append(_Step(snapshot, step.path.parent, hub_name(step.path) or ()))
            continue
        below = tuple(entry.name for entry in folders if not entry.name.startswith(_NEVER))
        folder = Folder(
            step.path, step.origin, step.parts, files, below, look(files), step.part_of_model
        )
        yield folder
        real, linked = _below(folder, {entry.name for entry in folders if entry.is_symlink()})
        waiting.extend(reversed(real))
        links.extend(linked)


def hub_name(path: Path) -> tuple[str, ...] | None:
    """Tell the repository's name of a hub cache folder or one of its snapshots, else None.

    >>> hub_name(Path("hub/models--org--name"))
    ('org', 'name')
    """
    if path.parent.name == "snapshots":
        path = path.parent.parent
    if not path.name.startswith(_REPOSITORY):
        return None
    return tuple(part for part in path.name.removeprefix(_REPOSITORY).split("--") if part)


def _below(folder: Folder, links: set[str]) -> tuple[list[_Step], list[_Step]]:
    real, linked = [], []
    for name in folder.subfolders:
        path = folder.path / name
        step = _Step(
            path,
            folder.origin,
            (*folder.parts, name),
            folder.part_of_model or _is_part(folder, name),
        )
        if name not in links:
            real.append(step)
        elif not Path(os.path.realpath(folder.path)).is_relative_to(os.path.realpath(path)):
            linked.append(step)  # a link to a folder above would walk everything there
    return real, linked


def _is_part(folder: Folder, name: str) -> bool:
    whole = folder.layout.weights is not None
    module = "modules.json" in folder.files and _MODULE.fullmatch(name) is not None
    return module or (whole and name.lower() in _EXPORTS)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _snapshot(repository: Path) -> Path | None:
    """Choose the snapshot of a hub repository: the one main refers to, else the newest."""
    snapshots = repository / "snapshots"
    main = repository / "refs" / "main"
    try:
        source = LocalFile(main)
        revision = source.read(0, min(source.size(), 200)).decode("ascii", "replace").strip()
    except WeightscapeError:
        revision = ""
    if re.fullmatch(r"[0-9a-zA-Z]+", revision) and (snapshots / revision).is_dir():
        return snapshots / revision
    try:
        dated = [
            (entry.stat().st_mtime, entry.name)
            for entry in os.scandir(snapshots)
            if _is_folder(entry)
        ]
    except OSError:
        return None
    return snapshots / max(dated)[1] if dated else None
