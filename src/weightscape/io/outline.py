"""What a whole model has, kept beside the few of its layers that were fetched.

The layers lie in a file of the safetensors layout, whose free metadata hold the outline: where the
whole model is, which of its files that was when the layers were fetched, and the name, type and
shape of every tensor that it has.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import torch

from weightscape.errors import BadCheckpoint
from weightscape.io.dtypes import TORCH_DTYPES
from weightscape.io.json_files import parse_object
from weightscape.io.tensors import check_name, check_shape, clip

_OF, _MARK, _TENSORS, _TIED = (
    "weightscape.part-of",
    "weightscape.mark",
    "weightscape.tensors",
    "weightscape.tied",
)

_MOST_BYTES = 1 << 60


@dataclass(frozen=True, slots=True)
class Outlined:
    """A tensor of which nothing but its type and shape is here. stored: as safetensors names it."""

    shape: tuple[int, ...]
    dtype: torch.dtype
    stored: str

    @property
    def nbytes(self) -> int:
        """Tell how many bytes its elements take where they are."""
        return prod(self.shape) * self.dtype.itemsize


@dataclass(frozen=True, slots=True)
class Outline:
    """A whole model, of which layers are here.

    of: where it is, as it can be given again. mark: what changes when it does, "" if nothing
    tells. tied: alias to the tensor whose elements it shares.
    """

    of: str
    mark: str
    tensors: Mapping[str, Outlined]
    tied: Mapping[str, str]

    @property
    def nbytes(self) -> int:
        """Tell the size of all tensors."""
        return sum(it.nbytes for name, it in self.tensors.items() if name not in self.tied)

    def packed(self) -> dict[str, str]:
        """Write the outline as metadata of a safetensors file."""
        tensors = {name: [it.stored, list(it.shape)] for name, it in self.tensors.items()}
        return {
            _OF: self.of,
            _MARK: self.mark,
            _TENSORS: json.dumps(tensors),
            _TIED: json.dumps(dict(self.tied)),
        }


def unpack_outline(metadata: Mapping[str, str], file: Path) -> Outline:
    """Read an outline out of a file's metadata; raise BadCheckpoint where it is none."""
    try:
        of, mark, tensors, tied = (metadata[key] for key in (_OF, _MARK, _TENSORS, _TIED))
    except KeyError as missing:
        raise BadCheckpoint(
            f"does not say what it is a part of (no {missing}); remove it and add the model again",
            file=file,
        ) from None
    aliases = parse_object(tied.encode(), file)
    if not all(isinstance(it, str) for it in aliases.values()):
        raise BadCheckpoint("its aliases should be names", file=file)
    outlined = {
        name: _outlined(name, entry, file)
        for name, entry in parse_object(tensors.encode(), file).items()
    }
    outline = Outline(of, mark, outlined, aliases)
    check_outline(outline, file)
    return outline


def check_outline(outline: Outline, file: Path | str) -> None:
    """Refuse a model that claims more bytes than any file system holds."""
    if outline.nbytes > _MOST_BYTES:
        raise BadCheckpoint(f"claims to be a part of {outline.nbytes:,} bytes", file=file)


def _outlined(name: str, entry: Any, file: Path) -> Outlined:
    check_name(name, file)
    stored, shape = entry if isinstance(entry, list) and len(entry) == 2 else (None, None)
    dtype = TORCH_DTYPES.get(stored) if isinstance(stored, str) else None
    if dtype is None or not isinstance(stored, str):
        raise BadCheckpoint(
            f"its outline should tell type and shape, but tells {clip(entry)}",
            file=file,
            tensor=name,
        )
    return Outlined(check_shape(shape, file, name), dtype, stored)
