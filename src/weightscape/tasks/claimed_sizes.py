"""A configuration's claims held against its weights file, before they are given memory."""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from torch.nn.modules import module as hooks

from weightscape.errors import BadCheckpoint
from weightscape.io import open_checkpoint
from weightscape.io.json_files import read_json

# a head that is drawn, tied tensors that are stored once, weights that are kept in fewer numbers
_SPARE = 4
_SPARE_TENSORS = 1000
_SPARE_ELEMENTS = 1 << 24
_COUNTS = ("layers", "n_layer", "num_labels", "depth")


@contextmanager
def no_larger_than_stored(folder: Path) -> Iterator[None]:
    """Refuse to build a model of far more or far larger tensors than its folder holds.

    Counts that configurations make lists of (layers, labels) are looked at before anything is
    built; while transformers builds a module, without memory yet, its tensors are added up.

    Raises BadCheckpoint.
    """
    with open_checkpoint(folder) as stored:
        infos = [stored.info(name) for name in stored.tensors]
    tensors = _SPARE * len(infos) + _SPARE_TENSORS
    sizes = [size for info in infos for size in info.shape]
    _check_counts(read_json(folder / "config.json"), max(tensors, *sizes, 0), folder)
    elements = _SPARE * sum(info.numel for info in infos) + _SPARE_ELEMENTS
    here, made = threading.get_ident(), [0, 0]

    def count(_: nn.Module, name: str, tensor: Tensor | None) -> None:
        if tensor is None or threading.get_ident() != here:
            return
        made[0] += 1
        made[1] += tensor.numel()
        if made[0] > tensors or made[1] > elements:
            raise BadCheckpoint(
                f"asks for far more than its weights hold ({len(infos):,} tensors of "
                f"{sum(info.numel for info in infos):,} numbers): from {name!r} "
                f"{list(tensor.shape)} on",
                file=folder / "config.json",
            )

    handles = (
        hooks.register_module_parameter_registration_hook(count),
        hooks.register_module_buffer_registration_hook(count),
    )
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _check_counts(config: Mapping[str, Any], most: int, folder: Path) -> None:
    for key, value in config.items():
        if isinstance(value, Mapping):
            _check_counts(value, most, folder)
        elif isinstance(value, int) and key.endswith(_COUNTS) and value > most:
            raise BadCheckpoint(
                f"{key} is {value:,}, but its weights have no tensors for that many",
                file=folder / "config.json",
            )
