"""Models made from finished ones without training: copies, casts, merges, and the like."""

import json
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from weightscape.io import write_checkpoint

Tensors = Mapping[str, Tensor]


@contextmanager
def appearing_whole(folder: Path) -> Iterator[Path]:
    """Give a folder to write into that takes the name `folder` when the block ends well."""
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as work:
        whole = Path(work) / "model"
        whole.mkdir()
        yield whole
        whole.rename(folder)


def copy_model(parent: Path, folder: Path) -> None:
    """Copy a model's own files; checkpoints of its training are left behind."""
    with appearing_whole(folder) as whole:
        for file in (f for f in parent.iterdir() if f.is_file() and f.name != "provenance.json"):
            shutil.copyfile(file, whole / file.name)


def cast_model(parent: Path, folder: Path) -> None:
    """Store a model in bfloat16."""

    def cast(tensors: Tensors) -> dict[str, Tensor]:
        return {
            name: tensor.bfloat16() if tensor.is_floating_point() else tensor
            for name, tensor in tensors.items()
        }

    _change(parent, folder, cast, dtype="bfloat16")


def quantise_model(parent: Path, folder: Path, *, bits: int = 8) -> None:
    """Round every matrix to `bits` symmetric levels a row, stored in its old dtype."""
    top = 2 ** (bits - 1) - 1

    def round_rows(tensor: Tensor) -> Tensor:
        scale = tensor.abs().amax(dim=-1, keepdim=True).clamp_min(1e-12) / top
        rounded: Tensor = (tensor / scale).round() * scale
        return rounded

    _change(parent, folder, _on_matrices(round_rows))


def prune_model(parent: Path, folder: Path, *, share: float = 0.3) -> None:
    """Set the smallest `share` of every matrix's elements to zero."""

    def cut(tensor: Tensor) -> Tensor:
        threshold = tensor.abs().flatten().kthvalue(max(1, int(share * tensor.numel()))).values
        return torch.where(tensor.abs() <= threshold, torch.zeros_like(tensor), tensor)

    _change(parent, folder, _on_matrices(cut))


def merge_models(
    parents: Sequence[Path], folder: Path, *, weights: Sequence[float], head: str = "classifier"
) -> None:
    """Average models linearly; the head is averaged only between equal label sets.

    Otherwise it is the first parent's: rows of two heads that mean different labels do not mix.
    """
    configs = [_config(parent) for parent in parents]
    one_label_set = all(c.get("id2label") == configs[0].get("id2label") for c in configs)
    others = [_tensors(parent) for parent in parents[1:]]

    def mix(tensors: Tensors) -> dict[str, Tensor]:
        out = {}
        for name, tensor in tensors.items():
            if not tensor.is_floating_point() or (name.startswith(head) and not one_label_set):
                out[name] = tensor
                continue
            total = tensor.double() * weights[0]
            for other, weight in zip(others, weights[1:], strict=True):
                total += other[name].double() * weight
            out[name] = total.to(tensor.dtype)
        return out

    _change(parents[0], folder, mix)


def _on_matrices(change: Callable[[Tensor], Tensor]) -> Callable[[Tensors], dict[str, Tensor]]:
    def changed(tensors: Tensors) -> dict[str, Tensor]:
        return {
            name: change(tensor) if tensor.ndim >= 2 and tensor.is_floating_point() else tensor
            for name, tensor in tensors.items()
        }

    return changed


def _change(
    parent: Path,
    folder: Path,
    change: Callable[[Tensors], Mapping[str, Tensor]],
    *,
    dtype: str | None = None,
) -> None:
    config = _config(parent)
    if dtype:
        config["dtype"] = dtype
    own = {"model.safetensors", "config.json", "provenance.json"}
    beside = {f.name: f.read_bytes() for f in parent.iterdir() if f.is_file() and f.name not in own}
    with appearing_whole(folder) as whole:
        tensors = change(_tensors(parent))
        write_checkpoint(
            whole,
            tensors,
            config=config,
            extra_files=beside,
        )


def _config(folder: Path) -> dict[str, Any]:
    config: dict[str, Any] = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    return config


def _tensors(folder: Path) -> dict[str, Tensor]:
    from safetensors.torch import load_file

    tensors: dict[str, Tensor] = load_file(str(folder / "model.safetensors"))
    return tensors
