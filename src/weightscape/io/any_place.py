"""Opening what a path, a URL or a hub's id leads to."""

import logging
from pathlib import Path

from weightscape.errors import BadCheckpoint, BadInput, NeedsDownload
from weightscape.io.adapter import Adapter
from weightscape.io.adapter_config import lora_config, stands_beside
from weightscape.io.asking import Missing
from weightscape.io.checkpoint import Checkpoint
from weightscape.io.download import download
from weightscape.io.layout import ADAPTER_CONFIG, is_torch
from weightscape.io.locations import HubPlace, Location, WebPlace, locate
from weightscape.io.opening import open_checkpoint, refuse_bare_factors
from weightscape.io.remote import RemoteCheckpoint, read_object
from weightscape.io.remote_folder import RemoteFolder, chosen, open_folder
from weightscape.progress import Progress, silent

log = logging.getLogger(__name__)


def open_any(
    location: str | Location, *, allow_download: bool = False, progress: Progress = silent
) -> Checkpoint | RemoteCheckpoint | Adapter:
    """Open a model wherever it is: a local one as `open_checkpoint`, others as `open_remote`.

    allow_download: fetch the whole model into the cache where its server or its format does not
    let it be read in part; without it such a model raises NeedsDownload.
    """
    place = locate(location) if isinstance(location, str) else location
    if isinstance(place, Path):
        return open_checkpoint(place)
    folder = open_folder(place)
    try:
        found = open_in(folder)
        if allow_download and isinstance(found, RemoteCheckpoint):
            # what is found out while a tensor is read is found out too late to fetch the model
            found.ask_a_shard()
        return found
    except NeedsDownload as reason:
        if not allow_download:
            raise
        log.info("%s", reason)
    return open_checkpoint(download(folder, progress=progress))


def open_remote(location: str | WebPlace | HubPlace) -> RemoteCheckpoint | Adapter:
    """Open a model on a server, reading headers only and later what is asked for.

    Takes the URL of a safetensors file, of an index of shards or of a folder with either or with
    a LoRA adapter, and the id of a hub's model. Opening a URL of a file costs two requests and the
    header's bytes; a hub is asked once more, for its list of files.

    Raises NotFound, BadInput, NeedsDownload where the server sends whole files only or the
    weights are a torch file, and what `open_checkpoint` raises.
    """
    place = locate(location) if isinstance(location, str) else location
    if isinstance(place, Path):
        raise BadInput(f"{location!r} is neither a URL nor the id of a hub's model")
    return open_in(open_folder(place))


def open_in(folder: RemoteFolder) -> RemoteCheckpoint | Adapter:
    """Open the model of a remote folder."""
    label, adapter = chosen(folder)
    shown = folder.file(label).name
    if is_torch(label.removesuffix(".index.json")):
        raise NeedsDownload(
            f"{shown}: a torch file cannot be read in part; fetch the model with --allow-download"
        )
    if adapter:
        return _open_adapter(folder, label)
    found = RemoteCheckpoint(folder, label)
    refuse_bare_factors(found.path, found.tensors)
    return found


def _open_adapter(folder: RemoteFolder, label: str) -> RemoteCheckpoint | Adapter:
    name = folder.file(ADAPTER_CONFIG).name
    try:
        raw = read_object(folder, ADAPTER_CONFIG)
    except Missing:
        raise BadCheckpoint(
            f"an adapter needs {ADAPTER_CONFIG} beside it, for the scale of its deltas",
            file=folder.file(label).name,
        ) from None
    beside = stands_beside(raw)
    if beside is not None:
        return RemoteCheckpoint(folder, label, format=beside, config=raw)
    config = lora_config(raw, name)
    stored = RemoteCheckpoint(folder, label, config={})
    return Adapter(stored, config, folder.file(label).name)
