"""A checkpoint on a server, of which only the headers and what is asked for are fetched."""

import threading
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from types import MappingProxyType, TracebackType
from typing import Any

import torch

from weightscape.errors import BadCheckpoint, UnknownName, UnsupportedFormat
from weightscape.io.asking import Missing
from weightscape.io.checkpoint import tied_by, weight_map_of
from weightscape.io.json_files import CONFIG_LIMIT, INDEX_LIMIT, parse_object
from weightscape.io.layout import is_index
from weightscape.io.opening import packed_by
from weightscape.io.remote_folder import RemoteFolder
from weightscape.io.safetensors import Header, read_header
from weightscape.io.tensors import TensorInfo, elements_of_rows, place_in_file


class RemoteCheckpoint:
    """The tensors of one model on a server, each fetched when asked for, as from a `Checkpoint`.

    Opening it reads one header, or the index of its shards; a shard's header is read when one of
    its tensors is asked after, so that a layer costs its own shard only. What reads names alone
    (`in`, iterating over `tensors`) asks no server; `tied`, `metadata`, `nbytes` and the values of
    all `tensors` need every shard's header. config.json is fetched when it is looked at. Nothing
    is kept: a tensor that is read twice is fetched twice.

    traffic: requests made and bytes received so far. Safe to read from several threads.
    """

    def __init__(
        self,
        folder: RemoteFolder,
        label: str,
        *,
        format: str = "safetensors",
        config: Mapping[str, Any] | None = None,
    ) -> None:
        self.path = folder.file(label).name
        self.format = format
        self.traffic = folder.traffic
        self._folder = folder
        self._given_config = config
        self._headers: dict[str, Header] = {}
        self._lock = threading.Lock()
        if is_index(label):
            index = folder.file(label)
            parsed = parse_object(index.small(INDEX_LIMIT), index.name)
            places = weight_map_of(parsed, index.name)
        else:
            places = dict.fromkeys(self._header(label).tensors, label)
        self._places = places
        self.tensors: Mapping[str, TensorInfo] = _Lazily(places, self._stored)

    @property
    def bytes_read(self) -> int:
        """Count the bytes that came from the server: headers, tensors, configuration."""
        return self.traffic.bytes_read

    @cached_property
    def config(self) -> Mapping[str, Any]:
        """Give config.json as data; empty where there is none."""
        if self._given_config is not None:
            return MappingProxyType(dict(self._given_config))
        try:
            return MappingProxyType(read_object(self._folder, "config.json"))
        except Missing:
            return MappingProxyType({})

    @cached_property
    def tied(self) -> Mapping[str, str]:
        """Give the aliases: each to the tensor whose elements it shares."""
        found: dict[str, str] = {}
        for header in self._all_headers():
            found |= tied_by(header)
        return MappingProxyType(found)

    @cached_property
    def metadata(self) -> Mapping[str, str]:
        """Give what the headers say beside the tensors."""
        found: dict[str, str] = {}
        for header in self._all_headers():
            found |= header.metadata
        return MappingProxyType(found)

    @cached_property
    def nbytes(self) -> int:
        """Tell the size of all tensors."""
        return sum(info.nbytes for info in self.tensors.values())

    def info(self, name: str) -> TensorInfo:
        """Tell what is known of a tensor; an alias leads to the tensor it is tied to."""
        if name in self._places:
            return self._stored(name)
        kept = self.tied.get(name)
        if kept is None:
            raise UnknownName("tensor", name, self._places)
        return self._stored(kept)

    def tensor(self, name: str) -> torch.Tensor:
        """Fetch a tensor in its own dtype and shape."""
        info = self.info(name)
        return self._elements(info, 0, info.numel).view(info.shape)

    def rows(self, name: str, start: int, stop: int) -> torch.Tensor:
        """Fetch rows `start` to `stop` of the first dimension, as slices of Python would."""
        info = self.info(name)
        first, last, shape = elements_of_rows(info, start, stop)
        return self._elements(info, first, last).view(shape)

    def flat(self, name: str, start: int = 0, stop: int | None = None) -> torch.Tensor:
        """Fetch elements `start` to `stop` in row-major order, as one dimension."""
        info = self.info(name)
        first, last, _ = slice(start, stop).indices(info.numel)
        return self._elements(info, first, max(first, last))

    def raw(self, name: str, start: int, count: int) -> bytes:
        """Fetch stored bytes of a tensor, from `start` within its range."""
        info = self.info(name)
        return self._folder.file(info.file).read(place_in_file(info, start, count), count)

    def ask_a_shard(self) -> None:
        """Ask one shard for its first bytes, unless a header was read; they are not asked twice.

        Raises NeedsDownload where the server sends whole files only.
        """
        with self._lock:
            if not self._headers and self._places:
                self._folder.file(min(self._places.values())).size()

    def release(self, name: str, start: int = 0, stop: int | None = None) -> None:
        """Do nothing: what was fetched is its reader's."""

    def close(self) -> None:
        """Do nothing: connections are shared and close when they are idle."""

    def __enter__(self) -> "RemoteCheckpoint":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<RemoteCheckpoint {self.path}: {len(self.tensors)} tensors>"

    def _header(self, label: str) -> Header:
        with self._lock:
            if label not in self._headers:
                self._headers[label] = read_header(self._folder.file(label), label)
            return self._headers[label]

    def _all_headers(self) -> list[Header]:
        return [self._header(label) for label in sorted(set(self._places.values()))]

    def _stored(self, name: str) -> TensorInfo:
        label = self._places[name]
        info = self._header(label).tensors.get(name)
        if info is None:
            raise BadCheckpoint(
                f"is not in {label}, where the index puts it", file=self.path, tensor=name
            )
        return info

    def _elements(self, info: TensorInfo, first: int, last: int) -> torch.Tensor:
        if not info.dtype.is_floating_point or info.dtype.itemsize < 2:
            self._refuse_packed(info)
        if first >= last:
            return torch.empty(0, dtype=info.dtype)
        size = info.dtype.itemsize
        data = self._folder.file(info.file).fetch(info.start + first * size, (last - first) * size)
        return torch.frombuffer(data, dtype=torch.uint8).view(info.dtype)

    def _refuse_packed(self, info: TensorInfo) -> None:
        """Refuse quantised weights, which are told by config.json: looked at only for such types.

        Every model would otherwise cost a request more, for what few are.
        """
        method = packed_by(self.config, ())
        if method is not None:
            raise UnsupportedFormat(
                f"{self.path}, tensor {info.name!r}: its weights are packed by {method}, which is "
                "not read yet; use the model it was quantised from"
            )


class _Lazily(Mapping[str, TensorInfo]):
    """Names that are known, to what is looked up when it is asked for."""

    def __init__(self, names: Mapping[str, str], look_up: Callable[[str], TensorInfo]) -> None:
        self._names = names
        self._look_up = look_up

    def __getitem__(self, name: str) -> TensorInfo:
        if name not in self._names:
            raise KeyError(name)
        return self._look_up(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def __contains__(self, name: object) -> bool:
        return name in self._names


def read_object(folder: RemoteFolder, label: str) -> dict[str, Any]:
    """Fetch a small file that holds one JSON object."""
    file = folder.file(label)
    return parse_object(file.small(CONFIG_LIMIT), file.name)
