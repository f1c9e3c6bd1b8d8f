"""Telling whether two checkpoints hold the same tensors: quickly, or for certain."""

from collections.abc import Collection
from hashlib import blake2b
from pathlib import Path

import torch

from weightscape.io.adapter import Adapter, Stored, stored_of
from weightscape.io.checkpoint import Checkpoint
from weightscape.io.tensors import TensorInfo
from weightscape.progress import Progress, silent

_WINDOWS = 3
_BUDGET = 256 << 10
_MOST_TENSORS = 4096
_PIECE = 4 << 20


def fingerprint(checkpoint: Checkpoint | Adapter, only: Collection[str] | None = None) -> str:
    """Return a short name for a checkpoint's contents from less than half a megabyte of reads.

    Covers every tensor's name, shape and type, and bytes sampled at the start, the middle and the
    end of up to 4,096 tensors. Equal contents have equal fingerprints whatever files they are in;
    an edit of a few elements can go unseen: `content_hash` sees all. only: of these tensors, as of
    a checkpoint that has no others.
    """
    stored = stored_of(checkpoint)
    infos = [it for it in _distinct(stored) if only is None or it.name in only]
    digest = blake2b(_scales(checkpoint), digest_size=16)
    for info in infos:
        digest.update(_described(info))
    sampled = infos[:: -(-len(infos) // _MOST_TENSORS)] if infos else []
    width = max(16, min(4096, _BUDGET // (_WINDOWS * max(1, len(sampled)))))
    for info in sampled:
        for start in _window_starts(info.end - info.start, width):
            count = min(width, info.end - info.start - start)
            digest.update(stored.raw(info.name, start, count))
    return f"fp1:{digest.hexdigest()}"


def content_hash(checkpoint: Checkpoint | Adapter, progress: Progress = silent) -> str:
    """Return a hash of every element of every tensor (BLAKE2b), in the order of their names."""
    stored = stored_of(checkpoint)
    infos = _distinct(stored)
    digest = blake2b(_scales(checkpoint), digest_size=32)
    total = sum(info.nbytes for info in infos)
    with progress.stage(f"hashing {Path(checkpoint.path).name}", total=total, unit="B") as advance:
        for info in infos:
            digest.update(_described(info))
            step = _PIECE // info.dtype.itemsize
            for start in range(0, info.numel, step):
                piece = stored.flat(info.name, start, min(start + step, info.numel))
                digest.update(piece.view(torch.uint8).numpy().data)
                advance(piece.numel() * info.dtype.itemsize)
            stored.release(info.name)
    return f"b2:{digest.hexdigest()}"


def _distinct(stored: Stored) -> list[TensorInfo]:
    return [stored.tensors[name] for name in sorted(stored.tensors) if name not in stored.tied]


def _described(info: TensorInfo) -> bytes:
    # the name's length first, so that no two descriptions run together
    text = f"{len(info.name)}:{info.name}|{info.stored}|{list(info.shape)}|"
    return text.encode()


def _scales(checkpoint: Checkpoint | Adapter) -> bytes:
    """Tell what beside the tensors decides an adapter's deltas."""
    if not isinstance(checkpoint, Adapter):
        return b""
    return repr(sorted(checkpoint.scales.items())).encode()


def _window_starts(size: int, width: int) -> list[int]:
    last = max(0, size - width)
    return sorted({round(last * part / (_WINDOWS - 1)) for part in range(_WINDOWS)}) if size else []
