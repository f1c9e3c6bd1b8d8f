"""Finding the models under some paths, by the names of files and a little JSON.

A model is a folder with weights, an adapter's folder, or a lone weights file. What a training run
leaves beside its models (optimizer states, shards, exports to other formats) is not a model; what
is a model in a format that is not read is listed, never passed over.
"""

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Literal

from weightscape.errors import NotFound, WeightscapeError
from weightscape.io.claims import declared_bases, declared_sources
from weightscape.io.json_files import read_json
from weightscape.io.layout import (
    STEP,
    foreign_format,
    is_torch,
    is_weights,
    look,
    stands_for_folder,
)
from weightscape.io.opening import packed_by
from weightscape.io.source import LocalFile
from weightscape.io.torch_zip import looks_like_pickle, looks_like_zip
from weightscape.io.walk import Folder, walk


@dataclass(frozen=True, slots=True)
class Found:
    """A model that was found, not yet opened.

    path: a folder or a lone weights file. run, step: the training run that a `checkpoint-N`
    folder belongs to, and N; the run's final model has a run and no step. declared: the bases that
    its files claim, as written, nearest claim first. mixed: the models that they say it was merged
    from.
    """

    name: str
    path: Path
    kind: Literal["full", "adapter"]
    run: str | None = None
    step: int | None = None
    declared: tuple[str, ...] = ()
    mixed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Skipped:
    """A file or folder that looks like a model and is not charted, and why.

    kind: "unsupported" (a format that is recognised but not read), "bad" (cannot be a model), or
    "litter" (belongs to a model or a training run, but is no model of its own).
    """

    path: Path
    reason: str
    kind: Literal["unsupported", "bad", "litter"]


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A model before its name is settled: `parts` below `origin`; weights: file in the folder."""

    origin: Path
    parts: tuple[str, ...]
    folder: Path
    weights: str
    kind: Literal["full", "adapter"] = "full"
    lone: bool = False

    @property
    def path(self) -> Path:
        return self.folder / self.weights if self.lone else self.folder

    def name(self, origin_parts: int) -> str:
        return "/".join((*_last(self.origin, origin_parts), *self.parts))


_Item = tuple[str, _Candidate | Skipped]


def discover(
    paths: Sequence[str | Path], *, include: Sequence[str] = (), exclude: Sequence[str] = ()
) -> tuple[list[Found], list[Skipped]]:
    """Find the models under `paths`; return them sorted by name, and what was skipped.

    A model is named by its path relative to the argument it was found under (a hub repository by
    its own name), with the argument's folder in front only where two names clash. `include` and
    `exclude` are globs on names; `*` matches `/` as well.

    Raises NotFound for a path where nothing is.
    """
    candidates: list[_Candidate] = []
    skipped: list[tuple[str, Skipped]] = []
    seen: set[str] = set()
    for given in paths:
        argument = Path(os.path.abspath(given))  # noqa: PTH100 (absolute() keeps "..")
        if not argument.exists():
            raise NotFound(f"{given}: no such file or folder; check the path")
        items = _in_folders(argument) if argument.is_dir() else _in_file(argument)
        for name, item in items:
            real = os.path.realpath(item.path)
            if real in seen:
                continue
            seen.add(real)
            if isinstance(item, Skipped):
                skipped.append((name, item))
            else:
                candidates.append(item)
    wanted = _filter(include, exclude)
    named = _settle_names(candidates)
    runs = {name.rpartition("/")[0] for name in named if _step(name) is not None}
    found = [_describe(name, named[name], runs) for name in sorted(named) if wanted(name)]
    left = [item for name, item in skipped if wanted(name)]
    return found, sorted(left, key=lambda item: str(item.path))


def _in_folders(argument: Path) -> Iterator[_Item]:
    origin, prefix = argument, tuple[str, ...]()
    for folder in walk(argument):
        parts = folder.parts
        if folder.origin == argument:
            if not parts and folder.path == argument and _names_itself(folder):
                # a model or a run that was named itself lends its folder's name
                depth = 2 if STEP.fullmatch(argument.name) else 1
                prefix = _last(argument, depth)
                origin = argument.parents[len(prefix) - 1] if prefix else argument
            yield from _in_folder(folder, origin, (*prefix, *parts))
        else:
            yield from _in_folder(folder, folder.origin, parts)


def _names_itself(folder: Folder) -> bool:
    layout = folder.layout
    steps = (*folder.subfolders, *(Path(file).stem for file in layout.lone))
    whole = layout.weights or layout.adapter or layout.part or layout.problem
    return bool(whole) or any(STEP.fullmatch(name) for name in steps)


def _in_file(path: Path) -> Iterator[_Item]:
    folder, name = path.parent, path.name
    layout = look(entry.name for entry in folder.iterdir())
    foreign = foreign_format(name)
    if foreign is not None:
        yield path.stem, Skipped(path, f"{foreign} is recognised but not read yet", "unsupported")
    elif name in (layout.weights, layout.adapter) and stands_for_folder(name):
        kind: Literal["full", "adapter"] = "full" if name == layout.weights else "adapter"
        whole = _Candidate(folder.parent, (folder.name,), folder, name, kind)
        yield folder.name, _checked(whole)
    elif is_weights(name):
        yield path.stem, _checked(_Candidate(folder, (path.stem,), folder, name, lone=True))
    else:
        yield path.stem, Skipped(path, "is no model file that is known", "bad")


def _in_folder(folder: Folder, origin: Path, parts: tuple[str, ...]) -> Iterator[_Item]:
    layout, name = folder.layout, "/".join(parts)
    if folder.problem is not None or layout.problem is not None:
        yield name, Skipped(folder.path, folder.problem or layout.problem or "", "bad")
    files = [file for file in (layout.weights, layout.adapter, *layout.lone) if file]
    if folder.part_of_model:
        for file in (*files, *(file for file, _ in layout.unsupported)):
            reason = "is an export or a module of the model above it"
            yield name, Skipped(folder.path / file, reason, "litter")
        return
    for file in layout.litter:
        reason = "is training state, or another copy of the model beside it"
        yield name, Skipped(folder.path / file, reason, "litter")
    if layout.part:
        yield name, _Candidate(origin, parts, folder.path, layout.part)
    if layout.weights or layout.adapter:
        kind: Literal["full", "adapter"] = "full" if layout.weights else "adapter"
        whole = _Candidate(origin, parts, folder.path, files[0], kind)
        yield name, _packed(folder) or _checked(whole)
    for file in layout.lone:
        own = (*parts, Path(file).stem)
        lone = _Candidate(origin, own, folder.path, file, lone=True)
        yield "/".join(own), _checked(lone)
    yield from ((name, item) for item in _foreign(folder, readable=bool(files)))


def _checked(candidate: _Candidate) -> _Candidate | Skipped:
    """Look at a torch file's first bytes: a legacy pickle, or no model at all?"""
    path = candidate.folder / candidate.weights
    # os.path: a file that cannot be looked at is left to fail on opening
    if os.path.exists(path) and not os.path.isfile(path):  # noqa: PTH110, PTH113
        return Skipped(path, "is not a regular file, but a pipe or a device", "bad")
    if not is_torch(candidate.weights):
        return candidate
    try:
        source = LocalFile(path)
        start = source.read(0, min(source.size(), 8))
    except WeightscapeError:
        return candidate  # opening it will say what is wrong
    if looks_like_pickle(start):
        reason = "a torch file from before version 1.6 cannot be read without running it"
        return Skipped(path, reason, "unsupported")
    if candidate.lone and path.suffix == ".bin" and not looks_like_zip(start):
        return Skipped(path, "is a binary file, but not of torch", "litter")
    return candidate


def _packed(folder: Folder) -> Skipped | None:
    config = {}
    if "config.json" in folder.files:
        try:
            config = read_json(folder.path / "config.json")
        except WeightscapeError:
            return None  # opening the model will say what is wrong
    method = packed_by(config, folder.files)
    if method is None:
        return None
    reason = f"weights packed by {method} are recognised but not read yet"
    return Skipped(folder.path, reason, "unsupported")


def _foreign(folder: Folder, *, readable: bool) -> Iterator[Skipped]:
    """List files of other formats: one line a format, or as litter beside readable weights."""
    by_format: dict[str, list[str]] = {}
    for file, kind in folder.layout.unsupported:
        by_format.setdefault(kind, []).append(file)
    for kind, files in by_format.items():
        path = folder.path / files[0]
        count = f" ({len(files)} files)" if len(files) > 1 else ""
        if readable:
            yield Skipped(path, f"is a {kind} copy{count} of the model beside it", "litter")
        else:
            yield Skipped(path, f"{kind}{count} is recognised but not read yet", "unsupported")


def _settle_names(candidates: Iterable[_Candidate]) -> dict[str, _Candidate]:
    """Give each model the shortest name that no other has."""
    named: dict[str, _Candidate] = {}
    waiting, depth = _apart(list(candidates)), 0
    while waiting:
        deepest = max(len(one.origin.parts) for one in waiting)
        names = [
            one.name(depth) if depth <= deepest else str(one.path).lstrip("/") for one in waiting
        ]
        counts = Counter(names)
        clashing = []
        for name, one in zip(names, waiting, strict=True):
            if counts[name] == 1 and name not in named:
                named[name] = one
            else:
                clashing.append(one)
        waiting, depth = clashing, depth + 1
    return named


def _apart(candidates: list[_Candidate]) -> list[_Candidate]:
    """Name lone files in full where their stem is also that of a file or folder beside them."""
    counts = Counter((one.origin, one.parts) for one in candidates)
    return [
        replace(one, parts=(*one.parts[:-1], one.weights))
        if one.lone and counts[one.origin, one.parts] > 1
        else one
        for one in candidates
    ]


def _describe(name: str, candidate: _Candidate, runs: set[str]) -> Found:
    step = _step(name)
    run = name.rpartition("/")[0] if step is not None else name if name in runs else None
    declared = declared_bases(candidate.folder, candidate.weights, name, alone=candidate.lone)
    mixed = () if candidate.lone else declared_sources(candidate.folder, name)
    return Found(name, candidate.path, candidate.kind, run, step, declared, mixed)


def _step(name: str) -> int | None:
    run, _, last = name.rpartition("/")
    match = STEP.fullmatch(last)
    return int(match[1]) if match and run else None


def _filter(include: Sequence[str], exclude: Sequence[str]) -> Callable[[str], bool]:
    def wanted(name: str) -> bool:
        inside = not include or any(fnmatchcase(name, pattern) for pattern in include)
        return inside and not any(fnmatchcase(name, pattern) for pattern in exclude)

    return wanted


def _last(path: Path, count: int) -> tuple[str, ...]:
    """Return the last folders of a path, without its root."""
    parts = path.parts[1:]
    return parts[len(parts) - count :] if 0 < count <= len(parts) else parts if count else ()
