"""What a header says of one tensor."""

from dataclasses import dataclass
from math import prod
from pathlib import Path

import torch

from weightscape.errors import BadCheckpoint, BadInput

MAX_DIMS = 64
"""torch's own limit for most operations."""

_MAX_SIZE = 2**63 - 1


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """A stored tensor: what it is and where it lies.

    stored: the element type as safetensors names it, also for torch zips ("F32", "BF16").
    nbytes: size of the elements. file: path relative to the checkpoint's folder. start, end:
    the byte range in that file; longer than `nbytes` where a torch zip holds the elements apart.
    """

    name: str
    shape: tuple[int, ...]
    dtype: torch.dtype
    stored: str
    nbytes: int
    file: str
    start: int
    end: int

    @property
    def numel(self) -> int:
        """Count the elements."""
        return prod(self.shape)


def elements_of_rows(info: TensorInfo, start: int, stop: int) -> tuple[int, int, tuple[int, ...]]:
    """Tell the elements from and to which rows lie, as slices of Python go, and their shape.

    Raises BadInput for a tensor without dimensions.
    """
    if not info.shape:
        raise BadInput(f"tensor {info.name!r} has no dimensions, so no rows; use tensor()")
    first, last, _ = slice(start, stop).indices(info.shape[0])
    row = info.numel // info.shape[0] if info.shape[0] else 0
    last = max(first, last)
    return first * row, last * row, (last - first, *info.shape[1:])


def place_in_file(info: TensorInfo, start: int, count: int) -> int:
    """Tell where in its file a range of a tensor's stored bytes begins.

    Raises BadInput for a range that is not within the tensor.
    """
    if start < 0 or info.start + start + count > info.end:
        raise BadInput(
            f"tensor {info.name!r} has {info.end - info.start} bytes; asked {start}+{count}"
        )
    return info.start + start


def check_name(name: str, file: Path | str) -> None:
    """Refuse a tensor name that cannot be stored, shown or compared."""
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        raise BadCheckpoint("its name is not valid Unicode", file=file, tensor=name) from None
    if len(name) > 4096:
        raise BadCheckpoint(
            f"its name has {len(name):,} characters; 4,096 at most", file=file, tensor=name[:80]
        )


def check_shape(shape: object, file: Path | str, tensor: str) -> tuple[int, ...]:
    """Return the shape as a tuple of sane sizes; raise BadCheckpoint otherwise."""
    if not isinstance(shape, list | tuple) or not all(is_count(size) for size in shape):
        raise BadCheckpoint(
            f"shape should be a list of whole numbers, but is {clip(shape)}",
            file=file,
            tensor=tensor,
        )
    if len(shape) > MAX_DIMS:
        raise BadCheckpoint(
            f"has {len(shape):,} dimensions; {MAX_DIMS} at most", file=file, tensor=tensor
        )
    if prod(size for size in shape if size) > _MAX_SIZE:
        raise BadCheckpoint(f"shape {clip(shape)} is too large", file=file, tensor=tensor)
    return tuple(shape)


def is_count(value: object) -> bool:
    """Tell whether a parsed value is a whole number that fits in 63 bits (and no bool)."""
    return type(value) is int and 0 <= value <= _MAX_SIZE


def clip(value: object, limit: int = 80) -> str:
    """Show an untrusted value in an error, cut short.

    Nested values are only counted: they may refer to one another so often that their text would
    never end.
    """
    if isinstance(value, dict | list | tuple):
        plain = not isinstance(value, dict) and all(
            isinstance(item, str | int | float | None) for item in value[:8]
        )
        if not plain or len(value) > 8:
            return f"a {type(value).__name__} of {len(value):,} items"
    if isinstance(value, str | bytes):
        value = value[:limit]
    try:
        text = repr(value)
    except ValueError:  # a number of too many digits
        return f"a {type(value).__name__}"
    return text if len(text) <= limit else text[:limit] + "..."
