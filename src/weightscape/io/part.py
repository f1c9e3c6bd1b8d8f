"""Fetching a few layers of a model on a server: its headers and those layers, nothing else."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import chain
from pathlib import Path

import torch

from weightscape.errors import (
    BadCheckpoint,
    MismatchedModels,
    NeedsDownload,
    UnsupportedFormat,
    WeightscapeError,
)
from weightscape.io.asking import Missing
from weightscape.io.checkpoint import Checkpoint
from weightscape.io.download import alone, download, target_of, whole_here
from weightscape.io.fetching import Expected, fetch_file
from weightscape.io.json_files import CONFIG_LIMIT, read_json
from weightscape.io.layout import LAYERS_FILE, is_torch, stands_for_folder
from weightscape.io.opening import open_layers, packed_by
from weightscape.io.outline import Outline, Outlined, check_outline
from weightscape.io.remote import RemoteCheckpoint
from weightscape.io.remote_folder import HubFolder, WebFolder, chosen
from weightscape.io.tensors import TensorInfo
from weightscape.io.writer import write_tensors
from weightscape.progress import Progress, silent

ADAPTER_LIMIT = 256 << 20
"""Bytes of an adapter that is fetched whole without being asked to: it is a few layers itself."""

_BESIDE = ("config.json", "README.md", "provenance.json", "mergekit_config.yml")

Choose = Callable[[Mapping[str, Outlined], Mapping[str, str]], Sequence[str]]
"""Gives the tensors to fetch, by all that a model has and its aliases."""


def fetch_layers(
    folder: WebFolder | HubFolder, choose: Choose, *, progress: Progress = silent
) -> Path:
    """Fetch some tensors of a model and what its small files say; return where they lie.

    What is here already is not fetched again as long as the server's file is the same. A model
    that is here whole is left at that, and an adapter of at most `ADAPTER_LIMIT` bytes is fetched
    whole. What was killed leaves nothing that could be taken for a model.

    Raises what opening a model on a server does, NeedsDownload for one that cannot be read in
    part, MismatchedModels where `choose` finds nothing in it.
    """
    label, adapter = chosen(folder)
    here = whole_here(folder)
    if here is not None:
        return here
    if is_torch(label.removesuffix(".index.json")):
        name = folder.file(label).name
        raise NeedsDownload(f"{name}: a torch file cannot be read in part, only fetched whole")
    if adapter:
        size = folder.file(label).size()
        if size > ADAPTER_LIMIT:
            raise NeedsDownload(
                f"{folder.shown}: is an adapter of {size:,} bytes, which can only be fetched whole"
            )
        return download(folder, progress=progress)
    target = layers_at(folder)
    target.mkdir(parents=True, exist_ok=True)
    with alone(target, progress):
        _fetch_part(folder, label, target, choose)
    return target


def layers_at(folder: WebFolder | HubFolder) -> Path:
    """Tell the folder in which layers of a model are kept; no server is asked."""
    target = target_of(folder)
    if folder.named is not None and not stands_for_folder(folder.named):
        # a lone file: several of them lie in one folder
        stem = Path(folder.named).stem
        target /= stem if stem.strip(".") else "model"
    return target


def _fetch_part(folder: WebFolder | HubFolder, label: str, target: Path, choose: Choose) -> None:
    remote = RemoteCheckpoint(folder, label)
    tied = dict(remote.tied)
    tensors = {n: Outlined(it.shape, it.dtype, it.stored) for n, it in remote.tensors.items()}
    outline = Outline(folder.shown, _mark(folder, remote), tensors, tied)
    check_outline(outline, folder.shown)
    wanted = {it.name: it for it in map(remote.info, choose(tensors, tied))}
    held = _held(target, outline)
    if held is not None and all(name in held.tensors for name in wanted):
        return
    _fetch_beside(folder, target)
    _refuse_packed(folder, target)
    if not wanted:
        raise MismatchedModels(f"{folder.shown}: has no weight matrix that could be compared")
    here = held.tensors if held is not None else {}
    kept = [(name, held.tensor(name)) for name in here] if held is not None else []
    fetched = _tensors(folder, [it for name, it in wanted.items() if name not in here])
    write_tensors(target / LAYERS_FILE, chain(kept, fetched), outline.packed())


def _mark(folder: WebFolder | HubFolder, remote: RemoteCheckpoint) -> str:
    """Tell what changes when the model does: a hub's commit, or what a server says of its files."""
    if isinstance(folder, HubFolder):
        return folder.repository.commit
    marks = [folder.file(it).mark for it in sorted({i.file for i in remote.tensors.values()})]
    return " ".join(filter(None, marks)) if all(marks) else ""


def _held(target: Path, outline: Outline) -> Checkpoint | None:
    """Open the layers that are here, if they are of the same files."""
    with suppress(WeightscapeError):
        held = open_layers(target)
        if held.outline == outline and outline.mark:
            return held
    return None


def _fetch_beside(folder: WebFolder | HubFolder, target: Path) -> None:
    """Fetch what tells architecture and descent; what is not there or not small is done without."""
    there = folder.names() if isinstance(folder, HubFolder) else _BESIDE[:3]
    for name in _BESIDE:
        if name in there:
            with suppress(Missing, BadCheckpoint):
                fetch_file(folder.file(name), target / name, Expected(limit=CONFIG_LIMIT))


def _refuse_packed(folder: WebFolder | HubFolder, target: Path) -> None:
    config = target / "config.json"
    method = packed_by(read_json(config), ()) if config.exists() else None
    if method is not None:
        raise UnsupportedFormat(
            f"{folder.shown}: its weights are packed by {method}, which is not read yet; "
            "use the model it was quantised from"
        )


def _tensors(
    folder: WebFolder | HubFolder, infos: Sequence[TensorInfo]
) -> Iterator[tuple[str, torch.Tensor]]:
    """Fetch tensors; those that lie side by side in one file by one request."""
    stretches: list[list[TensorInfo]] = []
    for info in sorted(infos, key=lambda it: (it.file, it.start, it.end)):
        last = stretches[-1][-1] if stretches else None
        if last is not None and (last.file, last.end) == (info.file, info.start):
            stretches[-1].append(info)
        else:
            stretches.append([info])
    for stretch in stretches:
        start = stretch[0].start
        data = folder.file(stretch[0].file).fetch(start, stretch[-1].end - start)
        for info in stretch:
            held = bytearray(memoryview(data)[info.start - start : info.end - start])
            flat = (
                torch.frombuffer(held, dtype=info.dtype)
                if held
                else torch.empty(0, dtype=info.dtype)
            )
            yield info.name, flat.view(info.shape)
