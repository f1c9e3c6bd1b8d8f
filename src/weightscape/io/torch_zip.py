"""torch.save's zip files (.bin, .pt, .pth, .ckpt), read by offset; their pickle is never run.

Such a file is a zip of uncompressed entries under one folder: `data.pkl`, the pickled object,
whose tensors refer to `data/<key>`, the bytes of their storages.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from typing import Any

from weightscape.errors import BadCheckpoint, UnsupportedFormat
from weightscape.io.dtypes import STORED_NAMES
from weightscape.io.pickle_values import Opaque, Rebuilt
from weightscape.io.pickles import PICKLE_LIMIT, read_pickle
from weightscape.io.source import Source
from weightscape.io.tensors import MAX_DIMS, TensorInfo, check_name, check_shape, clip, is_count
from weightscape.io.zip_directory import Entry, read_directory

# files with more levels than this are not state dicts in a wrapper
_MAX_DEPTH = 8

_LEGACY = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19"


@dataclass(frozen=True, slots=True)
class TorchHeader:
    """The tensors of one torch file, in the order of its state dict.

    strides: of those tensors whose elements are not in row-major order, in elements.
    tied: alias to the first tensor with the same elements. container: the keys that lead to the
    state dict. passed_over: other groups of tensors in the file, such as an EMA's.
    """

    tensors: dict[str, TensorInfo]
    strides: dict[str, tuple[int, ...]]
    tied: dict[str, str]
    container: tuple[str, ...]
    passed_over: tuple[str, ...]
    size: int


def looks_like_zip(start: bytes) -> bool:
    """Tell from a file's first bytes whether it is a zip archive."""
    return start.startswith(b"PK\x03\x04")


def looks_like_pickle(start: bytes) -> bool:
    """Tell from a file's first bytes whether it is a bare pickle, torch's format before 1.6."""
    return len(start) > 1 and start[0] == 0x80 and 2 <= start[1] <= 5


def read_torch_header(source: Source, label: str) -> TorchHeader:
    """Read and check what a torch zip holds; `label` becomes `TensorInfo.file`.

    Raises UnsafeCheckpoint for a pickle that wants to run code, BadCheckpoint for a damaged
    file, UnsupportedFormat for legacy files, TorchScript and pickled modules.
    """
    size = source.size()
    _check_format(source, source.read(0, min(size, 16)))
    entries = read_directory(source)
    root = _root(source, entries)
    pickled = read_pickle(_stored(source, entries, f"{root}data.pkl"), source.name)
    path, found, others = _state_dict(source, pickled)
    tensors: dict[str, TensorInfo] = {}
    strides: dict[str, tuple[int, ...]] = {}
    tied: dict[str, str] = {}
    first: dict[tuple[Any, ...], str] = {}
    for name, rebuilt in found.items():
        check_name(name, source.name)
        info, stride = _tensor(source, entries, root, name, rebuilt, label)
        tensors[name] = info
        if stride is not None:
            strides[name] = stride
        if info.nbytes:
            same = (info.start, info.end, info.shape, info.stored, stride)
            if first.setdefault(same, name) != name:
                tied[name] = first[same]
    return TorchHeader(tensors, strides, tied, path, others, size)


def _check_format(source: Source, start: bytes) -> None:
    if looks_like_zip(start):
        return
    if looks_like_pickle(start):
        what = "torch file from before version 1.6" if start.startswith(_LEGACY) else "bare pickle"
        raise UnsupportedFormat(
            f"{source.name}: a {what} cannot be read without running it; if you trust it, load it "
            "with torch.load and save it with safetensors.torch.save_file"
        )
    raise BadCheckpoint(
        "is neither a zip archive of torch.save nor anything else that is known; "
        "it may be damaged or only a pointer to the real file",
        file=source.name,
        span=(0, len(start)),
    )


def _root(source: Source, entries: dict[str, Entry]) -> str:
    roots = [name.removesuffix("data.pkl") for name in entries if name.endswith("/data.pkl")]
    roots = [root for root in roots if root.count("/") == 1]
    if len(roots) != 1:
        raise BadCheckpoint("is a zip archive, but not one of torch.save", file=source.name)
    root = roots[0]
    if f"{root}constants.pkl" in entries:
        raise UnsupportedFormat(
            f"{source.name}: TorchScript is not read; save the module's state dict instead"
        )
    if f"{root}byteorder" in entries:
        order = _stored(source, entries, f"{root}byteorder")
        if order != b"little":
            raise UnsupportedFormat(f"{source.name}: its byte order is {order[:20]!r}, not little")
    return root


def _stored(source: Source, entries: dict[str, Entry], name: str) -> bytes:
    entry = entries[name]
    _check_plain(source, entry)
    if entry.end - entry.start > PICKLE_LIMIT:
        raise BadCheckpoint(
            f"zip entry {name!r} has {entry.end - entry.start:,} bytes; {PICKLE_LIMIT:,} at most",
            file=source.name,
        )
    return source.read(entry.start, entry.end - entry.start)


def _check_plain(source: Source, entry: Entry) -> None:
    if entry.method != 0:
        raise BadCheckpoint(
            f"zip entry {entry.name!r} is compressed, which torch.save never does; "
            "unpack and save it again",
            file=source.name,
        )


def _state_dict(
    source: Source, pickled: Any
) -> tuple[tuple[str, ...], dict[str, Rebuilt], tuple[str, ...]]:
    """Choose the dict that holds the most tensor bytes directly; tell its keys and the others."""
    groups = [(path, tensors) for path, tensors in _groups(pickled) if tensors]
    if not groups:
        what = f"a pickled {pickled.kind}" if isinstance(pickled, Opaque) else "no dict of tensors"
        if isinstance(pickled, dict):
            kinds = {str(value.kind) for value in pickled.values() if isinstance(value, Opaque)}
            what = f"pickled objects ({', '.join(sorted(kinds))[:200]})" if kinds else what
        raise UnsupportedFormat(
            f"{source.name}: holds {what}; save model.state_dict() instead of the whole object"
        )
    # max() takes the first among equals: a model before its average
    path, tensors = max(groups, key=lambda group: _weight(group[1]))
    others = tuple(".".join(other) for other, _ in groups if other != path)
    return path, tensors, others


def _groups(pickled: Any) -> Iterator[tuple[tuple[str, ...], dict[str, Rebuilt]]]:
    """Walk the dicts of a pickled object, each once, with the tensors directly in it."""
    waiting: deque[tuple[tuple[str, ...], Any]] = deque([((), pickled)])
    seen: set[int] = set()
    while waiting:
        path, value = waiting.popleft()
        if id(value) in seen or len(path) > _MAX_DEPTH:
            continue
        seen.add(id(value))
        if isinstance(value, dict):
            yield (
                path,
                {
                    key: item
                    for key, item in value.items()
                    if isinstance(key, str) and isinstance(item, Rebuilt)
                },
            )
            inside = [
                (key[:100] if isinstance(key, str) else clip(key), item)
                for key, item in value.items()
            ]
        elif isinstance(value, list | tuple):
            inside = [(str(index), item) for index, item in enumerate(value)]
        else:
            continue
        waiting.extend(
            ((*path, key), item) for key, item in inside if isinstance(item, dict | list | tuple)
        )


def _weight(tensors: dict[str, Rebuilt]) -> int:
    return sum(
        prod(tensor.shape) * tensor.dtype.itemsize
        for tensor in tensors.values()
        if isinstance(tensor.shape, tuple)
        and len(tensor.shape) <= MAX_DIMS
        and all(is_count(size) for size in tensor.shape)
    )


def _tensor(
    source: Source, entries: dict[str, Entry], root: str, name: str, rebuilt: Rebuilt, label: str
) -> tuple[TensorInfo, tuple[int, ...] | None]:
    """Check one tensor against its storage; return it, and its strides unless row-major."""

    def bad(problem: str) -> BadCheckpoint:
        return BadCheckpoint(problem, file=source.name, tensor=name)

    shape = check_shape(rebuilt.shape, source.name, name)
    stride, offset, key = rebuilt.stride, rebuilt.offset, rebuilt.storage.key
    if not isinstance(stride, tuple) or len(stride) != len(shape) or not all(map(is_count, stride)):
        raise bad(f"strides {clip(stride)} do not fit its shape {list(shape)}")
    entry = entries.get(f"{root}data/{key}")
    if entry is None or not is_count(offset):
        raise bad(f"its storage data/{key:.40} is missing from the archive, or starts nowhere")
    _check_plain(source, entry)
    item, numel = rebuilt.dtype.itemsize, prod(shape)
    reach = 1 + sum((size - 1) * step for size, step in zip(shape, stride, strict=True))
    start = entry.start + offset * item
    end = start + (reach * item if numel else 0)
    if end > entry.end or (start > entry.end):
        raise bad(
            f"shape {list(shape)} at element {offset} goes beyond its storage data/{key:.40} "
            f"of {entry.end - entry.start:,} bytes (bytes {start}-{end} of the file)"
        )
    if numel * item > entry.end - entry.start:
        raise bad(
            f"shape {list(shape)} repeats elements of a smaller storage; save a contiguous copy"
        )
    plain = _row_major(shape, stride)
    info = TensorInfo(
        name, shape, rebuilt.dtype, STORED_NAMES[rebuilt.dtype], numel * item, label, start, end
    )
    return info, None if plain or not numel else stride


def _row_major(shape: tuple[int, ...], stride: tuple[int, ...]) -> bool:
    expected = 1
    for size, step in zip(reversed(shape), reversed(stride), strict=True):
        if size != 1 and step != expected:
            return False
        expected *= size
    return True
