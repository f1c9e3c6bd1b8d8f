"""Tensors with a little JSON in one file, which appears whole or not at all."""

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from weightscape.errors import BadCheckpoint
from weightscape.geometry.finite import non_finite
from weightscape.io.opening import open_checkpoint


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write a safetensors file in place of the one that may be there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    half = _half(path)
    try:
        plain = {name: it.detach().contiguous() for name, it in tensors.items()}
        save_file(plain, half, dict(metadata))
        _published(half, path)
    finally:
        with suppress(OSError):
            half.unlink()


def write_text(path: Path, text: str) -> None:
    """Write a text file in place of the one that may be there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    half = _half(path)
    try:
        half.write_text(text, encoding="utf-8")
        _published(half, path)
    finally:
        with suppress(OSError):
            half.unlink()


def read_tensors(path: Path) -> tuple[dict[str, Tensor], Mapping[str, str]]:
    """Read a file of float32 and whole numbers; raise BadCheckpoint for what cannot be one."""
    with open_checkpoint(path) as stored:
        tensors = {name: stored.tensor(name) for name in stored.tensors}
        metadata = dict(stored.metadata)
    for name, tensor in tensors.items():
        if tensor.dtype not in (torch.float32, torch.int64, torch.uint8):
            raise BadCheckpoint(f"has elements of {tensor.dtype}", file=path, tensor=name)
    floats = {name: it for name, it in tensors.items() if it.dtype == torch.float32}
    if (culprit := non_finite(floats)) is not None:
        raise BadCheckpoint("holds NaN or infinite values", file=path, tensor=culprit)
    return tensors, metadata


def _half(path: Path) -> Path:
    # no ending of a model file: whoever looks for models passes it by
    return path.with_name(f".half-{os.getpid()}-{path.name}.part")


def _published(half: Path, path: Path) -> None:
    with half.open("rb") as file:
        os.fsync(file.fileno())
    half.replace(path)
