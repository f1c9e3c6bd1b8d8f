"""The folder of a text model: found, bounded, and named by what is in it."""

import hashlib
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from weightscape.errors import BadCheckpoint, BadInput, NotFound
from weightscape.io import fingerprint, open_checkpoint
from weightscape.progress import Progress, silent
from weightscape.tasks.auto_models import TOKENIZER_FILES, import_transformers, telling
from weightscape.tasks.bases import looks_like_path
from weightscape.tasks.hub import needs_cache
from weightscape.tasks.token_numbers import check_token_numbers

_READ = ("*.json", "*.txt", "*.model", "*.safetensors")
_LIMIT = 256 << 20
_ADDED = {"special_tokens_map.json", "added_tokens.json"}
HERE_ONLY = {"local_files_only": True, "trust_remote_code": False}
"""What everything is loaded with: nothing is fetched, and no code that a model brings is run."""


def find_folder(where: str, *, progress: Progress = silent) -> Path:
    """Give the folder of a model: one that is here, or one fetched from the hub by its id.

    Raises NotFound where there is neither, BadInput for a file.
    """
    folder = Path(where).expanduser()
    if where and folder.is_dir():
        return folder
    if where and folder.exists():
        raise BadInput(f"{where}: is a file; give the folder of a text model, or vectors:{where}")
    if not where or looks_like_path(where):
        raise NotFound(f"{where!r}: no such folder; give a text model's folder or hub id")
    here_only = needs_cache(where)
    from huggingface_hub import snapshot_download
    from huggingface_hub.utils.tqdm import (
        are_progress_bars_disabled,
        disable_progress_bars,
        enable_progress_bars,
    )

    drawn = not are_progress_bars_disabled()
    disable_progress_bars()  # only the command line draws
    try:
        with telling(where), progress.stage(f"fetching {where}"):
            fetched = snapshot_download(
                where, allow_patterns=list(_READ), local_files_only=here_only
            )
    finally:
        if drawn:
            enable_progress_bars()
    return Path(fetched)


def contents_hash(folder: Path, told: Sequence[object]) -> str:
    """Hash what decides a text model's vectors: its weights, its tokenizer and how it is read.

    Weights are named by their fingerprint, configuration and tokenizer by all their bytes.
    Raises NotFound or BadCheckpoint where the folder holds no model.
    """
    config = folder / "config.json"
    if not config.is_file():
        raise NotFound(f"{folder} is not a model folder: it has no config.json")
    with open_checkpoint(folder) as checkpoint:
        digest = hashlib.sha256(fingerprint(checkpoint).encode())
    for name in ("config.json", *TOKENIZER_FILES):
        file = folder / name
        if file.is_file() and file.stat().st_size <= _LIMIT:
            digest.update(f"\0{name}\0".encode() + hashlib.sha256(file.read_bytes()).digest())
    digest.update(repr(tuple(told)).encode())
    return digest.hexdigest()[:16]


@contextmanager
def opened_quietly(where: str) -> Iterator[Any]:
    """Give transformers, whose reports and bars are kept from the terminal meanwhile.

    Raises MissingExtra where it is not installed; what it raises is put into one line.
    """
    transformers = import_transformers()
    log = transformers.utils.logging
    level, bars = log.get_verbosity(), log.is_progress_bar_enabled()
    log.set_verbosity(logging.CRITICAL)
    log.disable_progress_bar()
    try:
        with telling(where):
            yield transformers
    finally:
        log.set_verbosity(level)
        if bars:
            log.enable_progress_bar()


def load_tokenizer(transformers: Any, folder: Path) -> Any:
    """Load a folder's tokenizer, which needs a padding token; raises BadInput or BadCheckpoint."""
    there = {name for name in TOKENIZER_FILES if (folder / name).is_file()}
    if not there - _ADDED:  # transformers would make an empty one, to which all texts are alike
        raise BadInput(f"{folder}: no tokenizer in it; put its tokenizer files there")
    check_token_numbers(folder)
    tokenizer = transformers.AutoTokenizer.from_pretrained(str(folder), **HERE_ONLY)
    if tokenizer.pad_token_id is None:
        raise BadInput(f"{folder}: its tokenizer has no padding token")
    return tokenizer


def check_whole(folder: Path, info: Any) -> None:
    """Raise BadCheckpoint where a model was loaded without some of its tensors."""
    missing = sorted(name for name in info.get("missing_keys", ()) if "pooler" not in name)
    if missing:
        raise BadCheckpoint("is missing", file=folder, tensor=missing[0])
