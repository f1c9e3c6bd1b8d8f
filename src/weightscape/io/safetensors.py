"""The safetensors header: parsed, and believed only as far as it agrees with the file.

Layout of a file: 8 bytes, the header's length n, little endian; n bytes of JSON; the tensors'
bytes, without holes or overlaps (the format's own documentation, "Format").
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

from weightscape.errors import BadCheckpoint, UnsupportedFormat
from weightscape.io.dtypes import PACKED_DTYPES, TORCH_DTYPES
from weightscape.io.json_files import parse_object
from weightscape.io.source import Source
from weightscape.io.tensors import TensorInfo, check_name, check_shape, clip, is_count

HEADER_LIMIT = 100_000_000
"""Bytes; the reference implementation refuses more as well."""


@dataclass(frozen=True, slots=True)
class Header:
    """The tensors of one file in the order of their bytes, and its free metadata."""

    tensors: dict[str, TensorInfo]
    metadata: Mapping[str, str]
    size: int


def read_header(source: Source, label: str) -> Header:
    """Read and check a safetensors header; `label` becomes `TensorInfo.file`.

    Raises BadCheckpoint if the header contradicts itself or the file, UnsupportedFormat for
    element types smaller than a byte.
    """
    size = source.size()
    length = _header_length(source, size)
    entries = parse_object(source.read(8, length), source.name)
    metadata = _metadata(source, entries.pop("__metadata__", {}))
    data = 8 + length
    tensors = [_tensor(source, name, entry, label, data, size) for name, entry in entries.items()]
    tensors.sort(key=lambda tensor: (tensor.start, tensor.end))
    _check_layout(source, tensors, data, size)
    return Header({tensor.name: tensor for tensor in tensors}, metadata, size)


def read_metadata(source: Source, limit: int) -> Mapping[str, str]:
    """Read only the free metadata, {} where the header is longer than `limit` or unsound."""
    try:
        length = _header_length(source, source.size())
        if length > limit:
            return {}
        entries = parse_object(source.read(8, length), source.name)
        return _metadata(source, entries.get("__metadata__", {}))
    except BadCheckpoint:
        return {}


def size_told(source: Source) -> int | None:
    """Tell how long a file should be of which the start is there; None before its header is whole.

    Raises BadCheckpoint for what is no header.
    """
    held = source.size()
    if held < 8 or held < 8 + (length := _claimed_length(source)):
        return None
    entries = parse_object(source.read(8, length), source.name)
    spans = (it.get("data_offsets") for it in entries.values() if isinstance(it, dict))
    ends = (it[1] for it in spans if isinstance(it, list) and len(it) == 2 and is_count(it[1]))
    return 8 + length + max(ends, default=0)


def _header_length(source: Source, size: int) -> int:
    if size < 8:
        raise BadCheckpoint(
            f"has {size} bytes, too few for a safetensors file; fetch or save it again",
            file=source.name,
        )
    length = _claimed_length(source)
    if 8 + length > size:
        raise BadCheckpoint(
            f"header of {length:,} bytes goes beyond the end of the file ({size:,} bytes); "
            "it is truncated or damaged",
            file=source.name,
            span=(8, 8 + length),
        )
    return length


def _claimed_length(source: Source) -> int:
    first = source.read(0, 8)
    length = int.from_bytes(first, "little")
    if length > HEADER_LIMIT:
        if first.lstrip()[:1] == b"<":
            raise BadCheckpoint(
                "begins like a web page and not like a safetensors file; look at it in a browser",
                file=source.name,
            )
        raise BadCheckpoint(
            f"header claims {length:,} bytes, more than {HEADER_LIMIT:,}; "
            "it is no safetensors file or it is damaged",
            file=source.name,
            span=(0, 8),
        )
    return length


def _metadata(source: Source, given: object) -> Mapping[str, str]:
    if not isinstance(given, dict) or not all(isinstance(value, str) for value in given.values()):
        raise BadCheckpoint(
            "__metadata__ in the header should map strings to strings", file=source.name
        )
    return given


def _tensor(source: Source, name: str, entry: Any, label: str, data: int, size: int) -> TensorInfo:
    check_name(name, source.name)

    def bad(problem: str, span: tuple[int, int] | None = None) -> BadCheckpoint:
        return BadCheckpoint(problem, file=source.name, tensor=name, span=span)

    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise bad(f"entry should hold dtype, shape and data_offsets, but is {clip(entry)}")
    stored, offsets = entry["dtype"], entry["data_offsets"]
    if isinstance(stored, str) and stored in PACKED_DTYPES:
        raise UnsupportedFormat(
            f"{source.name}, tensor {name!r}: elements of type {stored}, smaller than a byte, "
            "are not read yet; convert the model to BF16 or F16"
        )
    if not isinstance(stored, str) or stored not in TORCH_DTYPES:
        raise bad(f"unknown dtype {clip(stored)}; known are {', '.join(TORCH_DTYPES)}")
    shape = check_shape(entry["shape"], source.name, name)
    if not isinstance(offsets, list) or len(offsets) != 2 or not all(map(is_count, offsets)):
        raise bad(f"data_offsets should be two whole numbers, but are {clip(offsets)}")
    start, end = data + offsets[0], data + offsets[1]
    if start > end:
        raise bad("its bytes end before they start", (start, end))
    if end > size:
        raise bad(
            f"its bytes go beyond the end of the file ({size:,} bytes); "
            "the file is truncated or damaged",
            (start, end),
        )
    dtype = TORCH_DTYPES[stored]
    nbytes = prod(shape) * dtype.itemsize
    if nbytes != end - start:
        raise bad(
            f"shape {list(shape)} of {stored} needs {nbytes:,} bytes, "
            f"but the header gives it {end - start:,}",
            (start, end),
        )
    return TensorInfo(name, shape, dtype, stored, nbytes, label, start, end)


def _check_layout(source: Source, tensors: list[TensorInfo], data: int, size: int) -> None:
    reached = data
    for tensor in tensors:
        if tensor.start != reached:
            problem = (
                f"its bytes overlap the tensor before it, which ends at {reached}"
                if tensor.start < reached
                else f"the bytes {reached}-{tensor.start} before it belong to no tensor"
            )
            raise BadCheckpoint(
                problem, file=source.name, tensor=tensor.name, span=(tensor.start, tensor.end)
            )
        reached = tensor.end
    if reached != size:
        raise BadCheckpoint(
            f"{size - reached:,} bytes after the last tensor belong to none; "
            "the header is damaged or the file was appended to",
            file=source.name,
            span=(reached, size),
        )
