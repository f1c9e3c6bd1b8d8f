"""Writing a model so that it is either whole or not there.

Tensors are written as they come; never more than `_BUFFER` bytes of a shard are held. Everything
goes into temporary files, which get their names when all of them are on the disk; the file that
makes a folder a model (the index, or the only shard) gets its name last.
"""

import json
import os
import shutil
from collections.abc import ItemsView, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import torch

from weightscape.errors import BadInput
from weightscape.io.dtypes import STORED_NAMES
from weightscape.io.layout import ADAPTER_CONFIG, is_index, is_shard, look, stands_for_folder

_TEMPORARY = ".weightscape-"

_BUFFER = 8 << 20
"""Small shards are held whole, so that their header takes no more room than it needs."""

_RESERVED = 256 << 10
"""Room kept for the header of a shard that is written before its last tensor is known."""


def write_checkpoint(
    folder: str | Path,
    tensors: Mapping[str, torch.Tensor] | Iterable[tuple[str, torch.Tensor]],
    *,
    config: Mapping[str, Any] | None = None,
    metadata: Mapping[str, str] | None = None,
    shard_bytes: int = 5 << 30,
    extra_files: Mapping[str, bytes] | None = None,
    overwrite: bool = False,
) -> Path:
    """Write a model as a folder that transformers and safetensors can load; return the folder.

    One shard becomes ``model.safetensors``, several get an index. An iterator is consumed as it
    goes, each tensor copied out before the next is asked for, so it may refill one buffer. In a
    dict, its items or a list, tensors that share their elements are written once, under the first
    name, and the metadata maps the others to it.

    Raises BadInput for a folder that holds a model already (unless `overwrite`), a name given
    twice, a tensor without plain elements; OSError (disk full) after clearing up.
    """
    folder = Path(folder)
    extras = _extras(config, extra_files)
    if shard_bytes < 1:
        raise BadInput(f"shard_bytes must be positive, got {shard_bytes}")
    folder.mkdir(parents=True, exist_ok=True)
    present = [entry.name for entry in folder.iterdir()]
    layout = look(present)
    occupied = layout.weights or layout.adapter or ", ".join(layout.lone[:3])
    if occupied and not overwrite:
        raise BadInput(f"{folder}: holds a model already ({occupied}); choose another folder")
    for name in present:
        if name.startswith(_TEMPORARY):  # left by a run that was killed
            (folder / name).unlink()
    try:
        pairs, tied = _untie(tensors)
        notes = {"format": "pt", **tied, **(metadata or {})}
        shards = _write_shards(folder, pairs, notes, shard_bytes)
        stale = [name for name in present if name in layout.lone or _is_model_part(name)]
        _publish(folder, shards, extras, stale if occupied else [])
    except BaseException:
        for left in folder.glob(f"{_TEMPORARY}*"):
            with suppress(OSError):
                left.unlink()
        raise
    return folder


def write_tensors(
    path: Path, tensors: Iterable[tuple[str, torch.Tensor]], metadata: Mapping[str, str]
) -> None:
    """Write one safetensors file under any name; it is whole when it gets that name.

    Raises BadInput as `write_checkpoint` does, OSError (disk full) after clearing up.
    """
    staged = path.parent / f"{_TEMPORARY}{os.getpid()}-{path.name}"
    shard = _Shard(staged)
    try:
        for name, tensor in tensors:
            shard.add(name, tensor)
        shard.finish(metadata)
        staged.replace(path)
    except BaseException:
        shard.abandon()
        staged.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def _extras(
    config: Mapping[str, Any] | None, extra: Mapping[str, bytes] | None
) -> dict[str, bytes]:
    files = dict(extra or {})
    if config is not None:
        files["config.json"] = (json.dumps(dict(config), indent=2) + "\n").encode()
    for name in files:
        if Path(name).name != name or name in (".", "..") or _is_model_part(name):
            raise BadInput(f"extra_files: {name!r} must be a plain file name, and no weights file")
    return files


def _is_model_part(name: str) -> bool:
    return stands_for_folder(name) or is_shard(name) or name == ADAPTER_CONFIG


def _untie(
    tensors: Mapping[str, torch.Tensor] | Iterable[tuple[str, torch.Tensor]],
) -> tuple[Iterable[tuple[str, torch.Tensor]], dict[str, str]]:
    """Separate tensors that share their elements with an earlier one: alias to its name.

    Only among tensors that are all there at once: in a stream, an address seen twice may be a
    buffer that was filled anew.
    """
    if isinstance(tensors, Mapping):
        tensors = tensors.items()
    if not isinstance(tensors, ItemsView | list | tuple):
        return tensors, {}
    pairs = list(tensors)
    first: dict[tuple[object, ...], str] = {}
    kept, tied = [], {}
    for name, tensor in pairs:
        if tensor.numel() and tensor.layout is torch.strided and tensor.device.type != "meta":
            same = (tensor.device, tensor.data_ptr(), tensor.dtype, tensor.shape, tensor.stride())
            if first.setdefault(same, name) != name:
                tied[name] = first[same]
                continue
        kept.append((name, tensor))
    return kept, tied


class _Shard:
    """A safetensors file being written: a buffer, which turns into a file when it grows."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.entries: dict[str, dict[str, Any]] = {}
        self.size = 0
        self._pending = bytearray()
        self._file: IO[bytes] | None = None

    def add(self, name: str, tensor: torch.Tensor) -> None:
        data = _bytes_of(name, tensor)
        self.entries[name] = {
            "dtype": STORED_NAMES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [self.size, self.size + len(data)],
        }
        self.size += len(data)
        if self._file is None and self.size > _BUFFER:
            self._file = self.path.open("wb")
            self._file.write(bytes(_RESERVED))
            self._file.write(self._pending)
            self._pending = bytearray()
        if self._file is None:
            self._pending += data
        else:
            self._file.write(data)

    def finish(self, metadata: Mapping[str, str]) -> None:
        """Put the header in front and bring everything to the disk."""
        header = json.dumps({"__metadata__": dict(metadata), **self.entries}).encode()
        if self._file is not None and 8 + len(header) <= _RESERVED:
            with self._file as file:
                file.seek(0)
                file.write(_framed(header, _RESERVED))
                _sync(file)
            return
        wide = _framed(header, -(-(8 + len(header)) // 64) * 64)
        if self._file is None:
            with self.path.open("wb") as file:
                file.write(wide)
                file.write(self._pending)
                _sync(file)
            return
        # more tensors than the reserved room can describe: once more, with enough of it
        self._file.close()
        narrow = self.path.rename(self.path.with_suffix(".narrow"))
        with narrow.open("rb") as old, self.path.open("wb") as file:
            file.write(wide)
            old.seek(_RESERVED)
            shutil.copyfileobj(old, file, 16 << 20)
            _sync(file)
        narrow.unlink()

    def abandon(self) -> None:
        if self._file is not None:
            self._file.close()


def _write_shards(
    folder: Path,
    pairs: Iterable[tuple[str, torch.Tensor]],
    metadata: Mapping[str, str],
    shard_bytes: int,
) -> list[_Shard]:
    shards: list[_Shard] = []
    names: set[str] = set()
    try:
        for name, tensor in pairs:
            if name in names or name == "__metadata__":
                raise BadInput(f"tensor {name!r}: a model cannot hold two of that name")
            names.add(name)
            nbytes = tensor.numel() * tensor.element_size()
            if not shards or (shards[-1].size and shards[-1].size + nbytes > shard_bytes):
                if shards:
                    shards[-1].finish(metadata)
                shards.append(_Shard(folder / f"{_TEMPORARY}{os.getpid()}-{len(shards)}.shard"))
            shards[-1].add(name, tensor)
        if not shards:
            raise BadInput(f"{folder}: a model needs at least one tensor")
        shards[-1].finish(metadata)
    except BaseException:
        for shard in shards:
            shard.abandon()
        raise
    return shards


def _publish(
    folder: Path, shards: list[_Shard], extras: Mapping[str, bytes], stale: list[str]
) -> None:
    """Give the finished files their names; what makes the folder a model comes last."""
    staged: list[tuple[Path, str]] = []
    for name, data in extras.items():
        staged.append((_stage(folder, name, data), name))
    count = len(shards)
    if count == 1:
        staged.append((shards[0].path, "model.safetensors"))
    else:
        weight_map: dict[str, str] = {}
        for number, shard in enumerate(shards, 1):
            name = f"model-{number:05d}-of-{count:05d}.safetensors"
            weight_map.update(dict.fromkeys(shard.entries, name))
            staged.append((shard.path, name))
        total = sum(shard.size for shard in shards)
        index = {"metadata": {"total_size": total}, "weight_map": weight_map}
        name = "model.safetensors.index.json"
        staged.append((_stage(folder, name, json.dumps(index, indent=2).encode()), name))
    # the old model goes before the new one comes: no moment holds a mixture of both
    for name in sorted(stale, key=lambda name: (not is_index(name), is_shard(name), name)):
        (folder / name).unlink()
    for path, name in staged[:-1]:
        path.replace(folder / name)
    _sync_folder(folder)
    path, name = staged[-1]
    path.replace(folder / name)
    _sync_folder(folder)


def _stage(folder: Path, name: str, data: bytes) -> Path:
    path = folder / f"{_TEMPORARY}{os.getpid()}-{name}"
    with path.open("wb") as file:
        file.write(data)
        _sync(file)
    return path


def _bytes_of(name: str, tensor: torch.Tensor) -> memoryview:
    if tensor.dtype not in STORED_NAMES:
        raise BadInput(f"tensor {name!r}: elements of {tensor.dtype} cannot be stored; convert it")
    if tensor.layout is not torch.strided or tensor.device.type == "meta":
        raise BadInput(f"tensor {name!r}: is {tensor.layout} on {tensor.device}; make it dense")
    plain = tensor.detach().cpu().resolve_conj().resolve_neg().contiguous().reshape(-1)
    return plain.view(torch.uint8).numpy().data


def _framed(header: bytes, size: int) -> bytes:
    """Lay out the length and the header, padded with blanks to `size` bytes together."""
    padded = header.ljust(size - 8)
    return len(padded).to_bytes(8, "little") + padded


def _sync(file: IO[bytes]) -> None:
    file.flush()
    os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
