"""Fetching whole models into the cache: which files, and where they lie."""

import fcntl
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import blake2b
from pathlib import Path
from urllib.parse import unquote, urlsplit

from weightscape.errors import WeightscapeError
from weightscape.io.asking import Missing
from weightscape.io.cache import cache_folder
from weightscape.io.checkpoint import weight_map_of
from weightscape.io.fetching import Expected, fetch_file
from weightscape.io.json_files import INDEX_LIMIT, parse_object
from weightscape.io.layout import ADAPTER_CONFIG, LAYERS_FILE, is_index, look
from weightscape.io.locations import origin
from weightscape.io.remote_folder import HubFolder, WebFolder, chosen
from weightscape.io.source import read_small
from weightscape.progress import Progress, silent

# asked for beside the weights in a web folder, which cannot be listed
_BESIDE = (
    "config.json",
    "README.md",
    "provenance.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "vocab.txt",
)
_BESIDE_SUFFIXES = (".json", ".txt", ".md", ".model", ".jinja")
_BESIDE_LIMIT = 64 << 20
_MOST_BESIDE = 100

_PLAIN = re.compile(r"\w[\w.+=-]{0,99}", re.ASCII)


def download(folder: WebFolder | HubFolder, *, progress: Progress = silent) -> Path:
    """Fetch a model into the cache; return its folder, or the file if one was given.

    Files that are there already are not fetched again: a commit of a hub never changes, of other
    files the server is asked whether they did. No server's word leads out of the cache.

    Raises what reading the model in part does, BadInput where the disk has no room, BadCheckpoint
    for files of another size or SHA-256 than the hub tells.
    """
    labels = _weights(folder)
    kept = _kept_by_hub(folder, labels) if isinstance(folder, HubFolder) else None
    if kept is None:
        kept = target_of(folder)
        kept.mkdir(parents=True, exist_ok=True)
        with alone(kept, progress):
            _fetch_all(folder, labels, kept, progress)
            # layers that were fetched before are in the whole
            (kept / LAYERS_FILE).unlink(missing_ok=True)
    return kept if folder.named is None else kept / folder.named


def whole_here(folder: WebFolder | HubFolder) -> Path | None:
    """Find a model that was fetched whole before; None without asking for more than its names."""
    labels = _weights(folder)
    kept = _kept_by_hub(folder, labels) if isinstance(folder, HubFolder) else None
    if kept is None:
        # a file has its name when it is whole, and an index when its shards are
        kept = target_of(folder)
        if not all((kept / label).is_file() for label in labels):
            return None
    return kept if folder.named is None else kept / folder.named


def _fetch_all(
    folder: WebFolder | HubFolder, labels: list[str], target: Path, progress: Progress
) -> None:
    # what says which files there are and how they are read comes first, the weights last
    for label in _beside(folder):
        with suppress(Missing):
            _fetch(folder, label, target, progress, limit=_BESIDE_LIMIT)
    for label in labels:
        if is_index(label):
            for shard in _shards(folder.file(label).small(INDEX_LIMIT), folder.file(label).name):
                _fetch(folder, shard, target, progress)
        _fetch(folder, label, target, progress)  # the index last: it makes the shards a model


def _fetch(
    folder: WebFolder | HubFolder,
    label: str,
    target: Path,
    progress: Progress,
    *,
    limit: int | None = None,
) -> None:
    file = folder.file(label)  # refuses what lies outside
    expected = Expected(limit=limit)
    if isinstance(folder, HubFolder):
        known = folder.listed(label)
        expected = Expected(known.size, known.sha256, limit, fixed=True)
    path = target / label
    path.parent.mkdir(parents=True, exist_ok=True)
    title = f"fetching {label} of {folder.shown}"
    fetch_file(file, path, expected, title=title, progress=progress)


def _weights(folder: WebFolder | HubFolder) -> list[str]:
    """List the weights files: of the one model, or of all that lie there side by side."""
    if folder.named is not None:
        return [folder.named]
    layout = look(folder.names())
    if not (layout.weights or layout.adapter) and layout.lone:
        return list(layout.lone)
    return [chosen(folder)[0]]


def _beside(folder: WebFolder | HubFolder) -> list[str]:
    if isinstance(folder, WebFolder):
        adapter = any(it.startswith("adapter_model.") for it in folder.names())
        return [ADAPTER_CONFIG, *_BESIDE] if adapter else list(_BESIDE)
    small = [
        name
        for name in folder.names()
        if name.endswith(_BESIDE_SUFFIXES)
        and not is_index(name)
        and (folder.listed(name).size or 0) <= _BESIDE_LIMIT
    ]
    # those that tell how the weights are read are among the first, whatever else there is
    return sorted(small, key=lambda name: (name not in (*_BESIDE, ADAPTER_CONFIG), name))[
        :_MOST_BESIDE
    ]


def _shards(index: bytes, name: Path | str) -> list[str]:
    return sorted(set(weight_map_of(parse_object(index, name), name).values()))


def _kept_by_hub(folder: HubFolder, labels: list[str]) -> Path | None:
    """Find a model that huggingface_hub has whole in its own cache, at the same commit."""
    from huggingface_hub import try_to_load_from_cache

    repository, found = folder.repository, Path()
    wanted = [*labels, *(it for it in folder.names() if it in ("config.json", ADAPTER_CONFIG))]
    while wanted:
        label = wanted.pop()
        path = folder.prefix + label
        cached = try_to_load_from_cache(repository.name, path, revision=repository.commit)
        if not isinstance(cached, str):
            return None
        found = Path(cached).parents[label.count("/")]
        if is_index(label):
            try:
                wanted += _shards(read_small(Path(cached), INDEX_LIMIT), cached)
            except WeightscapeError:
                return None
    return found


def target_of(folder: WebFolder | HubFolder) -> Path:
    """Tell where a model is kept: a hub's as its own library lays it out, so that it has its name.

    Others lie in folders of their last two names, in one that no other folder of any server shares.
    """
    if isinstance(folder, HubFolder):
        repository = folder.repository
        name = "models--" + repository.name.replace("/", "--")
        snapshot = cache_folder() / "hub" / name / "snapshots" / repository.commit
        return snapshot / folder.prefix
    scheme, host, port = origin(folder.url)
    path = unquote(urlsplit(folder.url).path).strip("/")
    mark = blake2b(f"{scheme}://{host}:{port}/{path}".encode(), digest_size=6).hexdigest()
    parts = [it if _PLAIN.fullmatch(it) else mark for it in (path or host).split("/")]
    # the folder above tells models of one name apart, and a step's run
    return (cache_folder() / "web" / mark).joinpath(*parts[-2:])


@contextmanager
def alone(target: Path, progress: Progress) -> Iterator[None]:
    """Keep other processes from fetching the same model at the same time."""
    descriptor = os.open(target / ".fetching", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress.note("waiting for another process that fetches the same model")
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        except OSError:
            pass  # a file system without locks: two fetches would do the work twice
        yield
    finally:
        os.close(descriptor)
