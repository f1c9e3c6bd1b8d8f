"""Statistics of a model on a task, kept in a folder: they are computed once.

Each stands in a folder of its own, named by a hash of all that it follows from, and appears whole:
``model.safetensors`` has the tensors and ``statistics.json`` what they are of.
"""

import json
import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
import xxhash
from torch import Tensor

from weightscape.errors import WeightscapeError
from weightscape.geometry.finite import non_finite
from weightscape.io.json_files import read_json
from weightscape.io.opening import open_checkpoint
from weightscape.io.walk import MADE_FILE
from weightscape.io.writer import write_checkpoint

Identity = dict[str, Any]
"""All that statistics follow from, as JSON."""

_Made = TypeVar("_Made")

log = logging.getLogger(__name__)

_FORMAT = 1
"""Of what a folder's name and files mean; raise it when statistics come out differently."""

_TOLD = "statistics.json"


def statistics_place(folder: Path, kind: str, identity: Identity) -> Path:
    """Name the folder for statistics of a kind."""
    said = json.dumps([_FORMAT, kind, identity], sort_keys=True)
    return folder / f"{kind}-{xxhash.xxh3_128_hexdigest(said.encode())}"


def write_statistics(
    place: Path, tensors: Mapping[str, Tensor], told: dict[str, Any], identity: Identity
) -> None:
    """Write tensors and what is told of them; where another process was first, its are kept."""
    place.parent.mkdir(parents=True, exist_ok=True)
    half = Path(tempfile.mkdtemp(dir=place.parent, prefix=".half-"))
    try:
        said = json.dumps({"identity": identity, "told": told}, indent=2) + "\n"
        # the mark keeps those who look for models from taking it for one
        files = {_TOLD: said.encode(), MADE_FILE: b""}
        write_checkpoint(half, tensors, extra_files=files)
        try:
            half.rename(place)
        except OSError:
            if not place.is_dir():
                raise
    finally:
        shutil.rmtree(half, ignore_errors=True)


def read_statistics(
    place: Path,
    shapes: Mapping[str, tuple[int, ...]],
    identity: Identity,
    make: Callable[[dict[str, Tensor], dict[str, Any]], _Made],
) -> _Made | None:
    """Read what `write_statistics` wrote; None where there is nothing that can be used.

    shapes: of the tensors that may be there; one of another name, shape or type than float32, or
    that is not finite, is damage. make: makes them and what was told into the statistics.
    What is damaged is only lost work: it is put aside, so that it can be written anew.
    """
    if not place.is_dir():
        return None
    try:
        said = read_json(place / _TOLD)
        if said.get("identity") != json.loads(json.dumps(identity)):
            raise ValueError("it is of another model, task or setting")
        with open_checkpoint(place) as stored:
            names = (*stored.tensors, *stored.tied)
            tensors = {name: stored.tensor(name) for name in names}
        for name, tensor in tensors.items():
            if tuple(tensor.shape) != shapes.get(name) or tensor.dtype != torch.float32:
                raise ValueError(f"tensor {name!r} has no place in the model")
        if (culprit := non_finite(tensors)) is not None:
            raise ValueError(f"tensor {culprit!r} is not finite")
        return make(tensors, dict(said["told"]))
    except (WeightscapeError, OSError, ValueError, KeyError, TypeError) as error:
        log.warning("%s is damaged (%s); what it held is computed anew", place, error)
        _put_aside(place)
        return None


def _put_aside(place: Path) -> None:
    aside = place.with_name(f".damaged-{os.getpid()}-{place.name}")
    try:
        place.rename(aside)
    except OSError:  # another process did it
        return
    shutil.rmtree(aside, ignore_errors=True)
