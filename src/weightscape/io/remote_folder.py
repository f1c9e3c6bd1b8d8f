"""The folders that remote models lie in.

A hub's repository is listed; a folder of a web server can only be asked for names.
"""

from collections.abc import Iterator
from typing import Protocol

from weightscape.errors import BadCheckpoint, BadInput, NeedsDownload, NotFound, UnsupportedFormat
from weightscape.io.asking import Missing, Traffic
from weightscape.io.http import HttpFile
from weightscape.io.hub import HubFile, Repository, is_safe, list_repository
from weightscape.io.hub_endpoint import endpoint, token
from weightscape.io.layout import (
    ADAPTER_CONFIG,
    is_index,
    is_shard,
    is_torch,
    is_weights,
    look,
)
from weightscape.io.locations import HubPlace, WebPlace, beside, origin, split_file

# in the order in which they are asked for, until one is there
_USUAL = (
    "model.safetensors",
    "model.safetensors.index.json",
    "adapter_model.safetensors",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
    "adapter_model.bin",
)


class RemoteFolder(Protocol):
    """A folder of files on a server; `traffic` counts what its files cost."""

    traffic: Traffic

    @property
    def shown(self) -> str:
        """Tell what errors call it."""
        ...

    @property
    def named(self) -> str | None:
        """Tell the file that was given, where it was one and not a folder."""
        ...

    def names(self) -> tuple[str, ...]:
        """Tell the names of its files, or of those that say which model it is."""
        ...

    def file(self, label: str) -> HttpFile:
        """Give a file by its path relative to the folder; no server is asked yet."""
        ...


class WebFolder:
    """A folder of a web server, or the one that a given file lies in."""

    def __init__(self, place: WebPlace) -> None:
        self.traffic = Traffic()
        self.shown = place.shown
        self._given = place.url
        self.url, self.named = split_file(place.url)
        self._names: tuple[str, ...] | None = None
        # so that a page which a hub shows is not asked without the token that it wants
        self._token = token() if origin(place.url) == origin(endpoint()) else None
        self._files: dict[str, HttpFile] = {}

    def names(self) -> tuple[str, ...]:
        """Ask for the files that a model's folder usually has, until one is there."""
        if self._names is None:
            self._names = (self.named,) if self.named is not None else self._usual()
        return self._names

    def _usual(self) -> tuple[str, ...]:
        for name in _USUAL:
            if self._has(name):
                return (name, ADAPTER_CONFIG) if name.startswith("adapter_") else (name,)
        raise NotFound(
            f"{self.shown}: the server gives none of {', '.join(_USUAL[:3])} there; "
            "give the address of a weights file"
        )

    def file(self, label: str) -> HttpFile:
        """Give a file; the same one each time, which knows what it was told before."""
        _refuse_outside(label, self.shown)
        if label not in self._files:
            # one that was given is asked for as it was written
            url = self._given if label == self.named else beside(self.url, label)
            self._files[label] = HttpFile(url, token=self._token, traffic=self.traffic)
        return self._files[label]

    def _has(self, name: str) -> bool:
        try:
            self.file(name).size()
        except Missing:
            return False
        except NeedsDownload:
            return True
        return True


class HubFolder:
    """A repository of a hub at one commit, or a folder inside it."""

    def __init__(self, place: HubPlace, repository: Repository | None = None) -> None:
        self.traffic = Traffic()
        self.shown = place.shown
        self.repository = repository or list_repository(place)
        inside = place.inside
        self.named = None
        if inside in self.repository.files and (is_weights(inside) or is_index(inside)):
            folder, _, self.named = inside.rpartition("/")
            inside = folder
        self.prefix = f"{inside}/" if inside else ""
        self._token = token()
        self._files: dict[str, HttpFile] = {}
        if not any(True for _ in self.paths()):
            raise NotFound(f"{self.shown}: the hub's model has no such file or folder")

    def paths(self) -> Iterator[str]:
        """Give the paths of all files below the folder, relative to it."""
        for path in self.repository.files:
            if path.startswith(self.prefix):
                yield path.removeprefix(self.prefix)

    def names(self) -> tuple[str, ...]:
        """Tell the names of the files in the folder itself."""
        return tuple(path for path in self.paths() if "/" not in path)

    def listed(self, label: str) -> HubFile:
        """Tell what the hub says of a file."""
        found = self.repository.files.get(self.prefix + label)
        if found is None:
            raise Missing(f"{self.shown}: the hub's model has no file {label[:200]!r}")
        return found

    def file(self, label: str) -> HttpFile:
        """Give a file; the same one each time, which knows what it was told before."""
        _refuse_outside(label, self.shown)
        if label not in self._files:
            url = self.repository.url(self.prefix + label)
            self._files[label] = HttpFile(url, token=self._token, traffic=self.traffic)
        return self._files[label]


def open_folder(place: WebPlace | HubPlace) -> WebFolder | HubFolder:
    """Give the folder that a location leads to; a hub is asked what it holds."""
    return WebFolder(place) if isinstance(place, WebPlace) else HubFolder(place)


def chosen(folder: RemoteFolder) -> tuple[str, bool]:
    """Tell the file of a remote folder that is its model, and whether it is an adapter's."""
    if folder.named is not None:
        if is_shard(folder.named) and not is_torch(folder.named):
            raise BadInput(
                f"{folder.file(folder.named).name}: is one shard of a model; "
                "give its folder or its index"
            )
        return folder.named, folder.named.startswith("adapter_model.")
    layout = look(folder.names())
    label = layout.weights or layout.adapter
    if label is None and len(layout.lone) == 1:
        label = layout.lone[0]
    if label is not None:
        return label, label == layout.adapter
    if layout.problem is not None:
        raise BadCheckpoint(layout.problem, file=folder.shown)
    if layout.lone:
        some = ", ".join(layout.lone[:5])
        raise BadInput(f"{folder.shown}: holds several models ({some}); name one of these files")
    if layout.unsupported:
        file, kind = layout.unsupported[0]
        raise UnsupportedFormat(
            f"{folder.shown}: {file} is {kind}, which is recognised but not read yet; "
            "give the model as safetensors or as a torch zip (.bin, .pt)"
        )
    raise BadCheckpoint("holds no weights that are known", file=folder.shown)


def _refuse_outside(label: str, shown: str) -> None:
    if not is_safe(label):
        raise BadCheckpoint(f"names the file {label[:200]!r}, which lies outside it", file=shown)
