"""A checkpoint that is opened by reading its headers only."""

import os
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath, PureWindowsPath
from types import MappingProxyType, TracebackType
from typing import Any

import torch

from weightscape.errors import BadCheckpoint, UnknownName
from weightscape.io.json_files import INDEX_LIMIT, read_json
from weightscape.io.layout import is_torch
from weightscape.io.mapping import drop_pages, map_file, prefault
from weightscape.io.outline import Outline
from weightscape.io.safetensors import Header, read_header
from weightscape.io.source import LocalFile
from weightscape.io.tensors import TensorInfo, check_name, elements_of_rows, place_in_file
from weightscape.io.torch_zip import read_torch_header


@dataclass(frozen=True, slots=True)
class Contents:
    """What the headers of a model's files say, put together.

    sizes: file label to its size when it was opened. strides, tied: see `TorchHeader`. outline: of
    the whole model, where these are a few layers of it.
    """

    format: str
    tensors: dict[str, TensorInfo] = field(default_factory=dict)
    metadata: dict[str, str] = field(default_factory=dict)
    strides: dict[str, tuple[int, ...]] = field(default_factory=dict)
    tied: dict[str, str] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)
    outline: Outline | None = None


class Checkpoint:
    """The tensors of one model, each read only when asked for.

    tensors: every stored tensor under its own name, in the order of the files. tied: alias to the
    tensor whose elements it shares; an alias need not be stored. config: config.json as data.
    format: "safetensors", "torch-zip", or "layers" of a model that is elsewhere, whose `outline` is
    here. nbytes: size of all tensors, shared ones counted once.

    Files are mapped when first read and no descriptor stays open. What `tensor`, `rows` and
    `flat` return are views of the mapped file wherever possible: treat them as read-only (a write
    stays in memory and is seen by later reads of the same tensor, until `release`). They stay
    valid after `close`. Safe to read from several threads.
    """

    def __init__(
        self, path: Path, folder: Path, contents: Contents, config: Mapping[str, Any]
    ) -> None:
        self.path = path
        self.format = contents.format
        self.config = MappingProxyType(dict(config))
        self.metadata: Mapping[str, str] = MappingProxyType(contents.metadata)
        self.tensors: Mapping[str, TensorInfo] = MappingProxyType(contents.tensors)
        self.tied: Mapping[str, str] = MappingProxyType(contents.tied)
        self.outline = contents.outline
        self.files = tuple(folder / label for label in contents.sizes)
        self.nbytes = sum(
            info.nbytes for name, info in contents.tensors.items() if name not in contents.tied
        )
        self._folder = folder
        self._sizes = contents.sizes
        self._strides = contents.strides
        self._mapped: dict[str, torch.Tensor] = {}
        self._lock = threading.Lock()

    def info(self, name: str) -> TensorInfo:
        """Tell what is known of a tensor; an alias leads to the tensor it is tied to."""
        found = self.tensors.get(name) or self.tensors.get(self.tied.get(name, ""))
        if found is None:
            raise UnknownName("tensor", name, self.tensors)
        return found

    def tensor(self, name: str) -> torch.Tensor:
        """Return a tensor in its own dtype and shape; a view of the file where it is row-major."""
        info = self.info(name)
        stride = self._strides.get(info.name)
        if stride is not None:
            return self._elements(info).as_strided(info.shape, stride).contiguous()
        return self._elements(info).view(info.shape)

    def rows(self, name: str, start: int, stop: int) -> torch.Tensor:
        """Return rows `start` to `stop` of the first dimension, as slices of Python would."""
        info = self.info(name)
        first, last, shape = elements_of_rows(info, start, stop)
        if info.name in self._strides:
            return self.tensor(name)[start:stop]
        return self._elements(info, first, last).view(shape)

    def flat(self, name: str, start: int = 0, stop: int | None = None) -> torch.Tensor:
        """Return elements `start` to `stop` in row-major order, as one dimension."""
        info = self.info(name)
        if info.name in self._strides:
            return self.tensor(name).view(-1)[start:stop]
        first, last, _ = slice(start, stop).indices(info.numel)
        return self._elements(info, first, max(first, last))

    def raw(self, name: str, start: int, count: int) -> bytes:
        """Read stored bytes of a tensor, from `start` within its range, without mapping."""
        info = self.info(name)
        return LocalFile(self._folder / info.file).read(place_in_file(info, start, count), count)

    def release(self, name: str, start: int = 0, stop: int | None = None) -> None:
        """Let the kernel drop a tensor's pages (of some elements) from this process."""
        info = self.info(name)
        mapped = self._mapped.get(info.file)
        if mapped is not None:
            size = info.dtype.itemsize
            end = info.end if stop is None else min(info.end, info.start + stop * size)
            drop_pages(mapped, info.start + start * size, end)

    def close(self) -> None:
        """Forget the mapped files; each is unmapped when the last tensor from it is gone."""
        with self._lock:
            self._mapped.clear()

    def __enter__(self) -> "Checkpoint":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Checkpoint {self.path}: {len(self.tensors)} tensors, {self.nbytes:,} bytes>"

    def _file(self, label: str) -> torch.Tensor:
        mapped = self._mapped.get(label)
        if mapped is None:
            with self._lock:
                mapped = self._mapped.get(label)
                if mapped is None:
                    mapped = map_file(self._folder / label, self._sizes[label])
                    self._mapped[label] = mapped
        return mapped

    def _check_there(self, info: TensorInfo, mapped: torch.Tensor, first: int, last: int) -> None:
        """Refuse a range that was cut off the file: touching it would kill the process."""
        path = self._folder / info.file
        readable = prefault(mapped, first, last)
        try:
            size = path.stat().st_size
        except OSError:
            size = last  # its name is gone, the mapped file itself stays until it is unmapped
        if size < last:
            problem = f"the file was cut to {size:,} bytes while it was being read; fetch it again"
        elif not readable:
            problem = "cannot be read; the file was cut while it was being read or its disk fails"
        else:
            return
        raise BadCheckpoint(problem, file=path, tensor=info.name, span=(first, last))

    def _elements(self, info: TensorInfo, start: int = 0, stop: int | None = None) -> torch.Tensor:
        """View stored elements as one dimension; copy where torch cannot view them."""
        size = info.dtype.itemsize
        first = info.start + start * size
        last = info.end if stop is None else info.start + stop * size
        if first >= last:
            return torch.empty(0, dtype=info.dtype)
        mapped = self._file(info.file)
        self._check_there(info, mapped, first, last)
        held = mapped[first:last]
        if first % size:  # safetensors promises no alignment, torch wants its elements aligned
            held = held.clone()
        return held.view(info.dtype)


def read_files(folder: Path, labels: Iterable[str]) -> Contents:
    """Read the headers of a model's files, given relative to its folder.

    Raises BadCheckpoint if two of them hold a tensor of the same name.
    """
    parts = [_read_one(folder, label) for label in labels]
    whole = Contents(parts[0].format)
    for part in parts:
        for name, info in part.tensors.items():
            if name in whole.tensors:
                raise BadCheckpoint(
                    f"is also stored in {whole.tensors[name].file}",
                    file=folder / info.file,
                    tensor=name,
                )
        whole.tensors.update(part.tensors)
        whole.metadata.update(part.metadata)
        whole.strides.update(part.strides)
        whole.tied.update(part.tied)
        whole.sizes.update(part.sizes)
    return whole


def read_shards(folder: Path, index: str) -> Contents:
    """Read an index of shards and the headers of the shards that it names.

    Raises BadCheckpoint if the index names a missing file, one outside the folder, or a tensor
    that is not where it says.
    """
    path = folder / index
    weight_map = weight_map_of(read_json(path, INDEX_LIMIT), path)
    labels = sorted(set(weight_map.values()))
    # os.path: a name that no file system takes is missing too
    missing = [label for label in labels if not os.path.exists(folder / label)]  # noqa: PTH110
    if missing:
        raise BadCheckpoint(
            f"names {missing[0]!r} which is not there ({len(missing)} of {len(labels)} files are "
            "missing); fetch the model again",
            file=path,
        )
    contents = read_files(folder, labels)
    for tensor, label in weight_map.items():
        info = contents.tensors.get(tensor)
        if (info is None or info.file != label) and tensor not in contents.tied:
            raise BadCheckpoint(
                f"is not in {label}, where the index puts it", file=path, tensor=tensor
            )
    return contents


def weight_map_of(index: Mapping[str, Any], path: Path | str) -> dict[str, str]:
    """Check what an index of shards holds: tensors to files of the index's own folder.

    path: what errors name, and whose name tells of which format the shards are.
    """
    weight_map = index.get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise BadCheckpoint("has no weight_map from tensors to files", file=path)
    torch_files = is_torch(str(path).removesuffix(".index.json"))
    for tensor, label in weight_map.items():
        check_name(tensor, path)
        _check_label(path, tensor, label, torch_files)
    return weight_map


def tied_by(header: Header) -> dict[str, str]:
    """Tell the aliases that safetensors.torch.save_model left out of a file and noted in it."""
    return {
        alias: kept
        for alias, kept in header.metadata.items()
        if kept in header.tensors and alias not in header.tensors
    }


def _read_one(folder: Path, label: str) -> Contents:
    source = LocalFile(folder / label)
    if is_torch(label):
        torch_header = read_torch_header(source, label)
        metadata = {}
        if torch_header.container:
            metadata["weightscape.container"] = ".".join(torch_header.container)
        if torch_header.passed_over:
            metadata["weightscape.passed_over"] = ", ".join(torch_header.passed_over[:20])
        return Contents(
            "torch-zip",
            torch_header.tensors,
            metadata,
            torch_header.strides,
            torch_header.tied,
            {label: torch_header.size},
        )
    header = read_header(source, label)
    return Contents(
        "safetensors",
        header.tensors,
        dict(header.metadata),
        tied=tied_by(header),
        sizes={label: header.size},
    )


def _check_label(index: Path | str, tensor: str, label: object, torch_files: bool) -> None:
    if not isinstance(label, str) or not label:
        raise BadCheckpoint("should be in a file, but no file is named", file=index, tensor=tensor)
    posix, windows = PurePosixPath(label), PureWindowsPath(label)
    outside = posix.is_absolute() or windows.drive or windows.root or ".." in windows.parts
    if outside or "\0" in label:
        raise BadCheckpoint(
            f"names the file {label[:200]!r}, which lies outside the model's folder",
            file=index,
            tensor=tensor,
        )
    suffixes = (".bin", ".pt", ".pth") if torch_files else (".safetensors",)
    if not label.endswith(suffixes):
        raise BadCheckpoint(
            f"names the file {label[:200]!r}, which is no {suffixes[0]} file",
            file=index,
            tensor=tensor,
        )
