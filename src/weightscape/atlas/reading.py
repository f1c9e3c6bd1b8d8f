"""Opening the checkpoints of an atlas: which tensors of each the geometry reads, and how."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from weightscape.atlas.adapted import adapted, matched
from weightscape.catalog.records import Model, Stamp
from weightscape.errors import WeightscapeError
from weightscape.geometry.align import Backbone, Shape, backbone, match
from weightscape.geometry.piece import Member
from weightscape.io import Adapter, Checkpoint, fingerprint, open_checkpoint

# What a model's files may say about it before we stop keeping it (they are untrusted).
MOST_METADATA = 200_000
MOST_DEPTH = 64
# Names of folders in everybody's runs: alike in two places, they mean nothing.
EVERYBODYS = re.compile(
    r"(~|(global_?)?(checkpoint|step|epoch|ckpt|iter)s?([-_]?\d+)?|final|output|outputs|out|"
    r"model|models|best|last|latest|result|results|run|runs|saved|save|tmp|weights|merged|"
    r"(final|best|last|saved|merged|output|trained|pytorch|base)[-_](model|checkpoint|ckpt)|"
    r"snapshots|adapter|lora)$",
    re.IGNORECASE,
)
HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")


class Absent:
    """A reader of a model whose files are not there: it has no tensors."""

    def flat(self, name: str, start: int = 0, stop: int | None = None) -> torch.Tensor:
        """Refuse: nothing can be read."""
        raise KeyError(name)

    def release(self, name: str, start: int = 0, stop: int | None = None) -> None:
        """Do nothing."""


@dataclass(slots=True)
class Shelf:
    """Checkpoints opened so far, by path; each is opened once and read through one mapping."""

    opened: dict[str, Checkpoint | Adapter] = field(default_factory=dict)
    absent: Absent = field(default_factory=Absent)

    def open(self, path: str) -> Checkpoint | Adapter:
        """Open the checkpoint at a path, or return the one that is open already."""
        if path not in self.opened:
            self.opened[path] = open_checkpoint(path, partly=True)
        return self.opened[path]

    def readable(self, path: str) -> bool:
        """Tell whether the checkpoint at a path can be opened."""
        try:
            self.open(path)
        except (WeightscapeError, OSError):
            return False
        return True

    def close(self) -> None:
        """Close everything."""
        for checkpoint in self.opened.values():
            checkpoint.close()
        self.opened.clear()


def stamp_of(path: Path) -> Stamp:
    """List a model's files with sizes and times: equal stamps mean nothing was written since."""
    files = [path] if path.is_file() else sorted(it for it in path.iterdir() if it.is_file())
    return tuple((it.name, (status := it.stat()).st_size, status.st_mtime_ns) for it in files)


def as_kept(model: Model, shelf: Shelf) -> bool:
    """Tell whether a model's files are there and hold what they did, as far as samples tell."""
    try:
        if stamp_of(Path(model.path)) == model.stamp:
            return True
        # of a part more may be here by now: it is as it was where that has the layers that it had
        only = model.facts.layers if model.facts.part_of else None
        return fingerprint(shelf.open(model.path), only) == model.fingerprint.partition("+")[0]
    except (WeightscapeError, OSError):
        return False


def backbone_of(checkpoint: Checkpoint | Adapter) -> Backbone:
    """Pick the tensors of a checkpoint that its family shares, those elsewhere included."""
    if isinstance(checkpoint, Adapter):
        return backbone(checkpoint.tensors)
    if checkpoint.outline is not None:
        return backbone(checkpoint.outline.tensors, checkpoint.outline.tied)
    return backbone(checkpoint.tensors, checkpoint.tied)


def matched_here(checkpoint: Checkpoint | Adapter, shapes: Mapping[str, Shape]) -> dict[str, str]:
    """Match a family's tensors to those of a checkpoint that can be read: its names for them."""
    found = match(shapes, backbone_of(checkpoint), least=0.0) or {}
    return {name: stored for name, stored in found.items() if stored in checkpoint.tensors}


def main_dtype(checkpoint: Checkpoint | Adapter) -> str:
    """Tell the stored dtype that most of a checkpoint's bytes are in, as safetensors names it."""
    sizes: dict[str, int] = {}
    for info in checkpoint.tensors.values():
        sizes[info.stored] = sizes.get(info.stored, 0) + info.nbytes
    return max(sizes, key=lambda name: sizes[name], default="F32")


def capped(data: Mapping[str, Any]) -> dict[str, Any]:
    """Keep what a file says about its model, unless it is unreasonably much or deep."""
    kept: dict[str, Any] = {}
    room = MOST_METADATA
    for key, value in data.items():
        if _deep(value):
            continue
        room -= len(str(key)) + len(repr(value))
        if room < 0:
            break
        kept[str(key)] = value
    return kept


def _deep(value: object) -> bool:
    """Tell whether lists and objects lie in one another deeper than any writer of JSON goes."""
    layer = [value]
    for _ in range(MOST_DEPTH):
        layer = [
            inner
            for outer in layer
            if isinstance(outer, dict | list | tuple)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not layer:
            return False
    return True


def member_of(
    model: Model,
    shapes: Mapping[str, Shape],
    shelf: Shelf,
    base: "Member | None" = None,
) -> Member:
    """Make a model readable by the Gram pass: its name for each of the family's tensors.

    A model that cannot be opened (its files are gone) becomes one without any tensor.
    """
    try:
        checkpoint = shelf.open(model.path)
    except (WeightscapeError, OSError):
        return Member(model.name, shelf.absent, {})
    if isinstance(checkpoint, Adapter):
        if base is not None:
            return adapted(model.name, checkpoint, base, shapes)
        return Member(model.name, checkpoint, matched(checkpoint.tensors, shapes))
    if model.kind == "adapter":
        # it works beside its base's weights: read as a model, it is its base
        return Member(model.name, shelf.absent, {}, onto=base)
    held = matched_here(checkpoint, shapes)
    if model.facts.part_of:
        # products of what came later were never taken of the others
        held = {name: stored for name, stored in held.items() if stored in model.facts.layers}
    return Member(model.name, checkpoint, held)


def resolve(claim: str, models: Sequence[Model]) -> Model | None:
    """Find the model that a file means by a base's name: a hub name, a path, or a folder's name.

    Paths are often written on another machine, so their last components decide, at least two,
    when they fit one model only. A hub's name fits a folder that is called like its second part.
    Names that every run gives its folders never tell by themselves.
    """
    written = claim.strip().rstrip("/")
    parts = _parts(written)
    if not parts:
        return None
    telling = next((k for k, part in enumerate(parts[::-1], 1) if not EVERYBODYS.match(part)), None)
    for model in models:
        if written == model.path or (telling is not None and written == model.name):
            return model
    if telling is None:
        return None
    hub = len(parts) == 2 and HUB_NAME.fullmatch(written) is not None
    for depth in (2, 1) if hub else (min(2, len(parts)),):
        endings = {parts[-max(depth, telling) :]}
        if hub and depth == 1 == telling:
            endings.add(("--".join(parts),))
        fits = [
            model
            for model in models
            if any(
                _parts(place)[-len(ending) :] == ending
                for ending in endings
                for place in (model.name, model.path)
            )
        ]
        if len(fits) == 1:
            return fits[0]
    return None


def resolved(
    claims: Iterable[str], models: Sequence[Model], own: str
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Split a model's claims into names of the atlas's models and those that are not there."""
    here: list[str] = []
    elsewhere: list[str] = []
    for claim in claims:
        model = resolve(claim, models)
        if model is None:
            elsewhere.append(claim)
        elif model.name != own and model.name not in here:
            here.append(model.name)
    return tuple(here), tuple(elsewhere)


def _parts(name: str) -> tuple[str, ...]:
    return tuple(part for part in name.replace("\\", "/").split("/") if part.strip("."))
