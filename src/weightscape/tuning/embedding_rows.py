"""Which rows of its embeddings a network looks at: a few texts need hundreds of many thousands."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn


@contextmanager
def noting_rows(module: nn.Module) -> Iterator[Callable[[], dict[str, Tensor]]]:
    """Note the rows that are looked up while this is open; what is given back tells them by table.

    Only tables that stand under one name are noted: one that is tied to an output layer is read
    whole. What else a network does with a table is not seen here.
    """
    found: dict[str, list[Tensor]] = {}
    hooks = [
        part.register_forward_pre_hook(_noter(found.setdefault(name, [])))
        for name, part in _lone_embeddings(module).items()
    ]
    try:
        yield lambda: {name: _unique(torch.cat(it)) for name, it in found.items() if it}
    finally:
        for hook in hooks:
            hook.remove()


def _lone_embeddings(module: nn.Module) -> dict[str, nn.Embedding]:
    names: dict[int, list[str]] = {}
    for name, tensor in module.named_parameters(remove_duplicate=False):
        names.setdefault(tensor.data_ptr(), []).append(name)
    return {
        f"{prefix}.weight": part
        for prefix, part in module.named_modules()
        if isinstance(part, nn.Embedding)
        and part.max_norm is None
        and names.get(part.weight.data_ptr()) == [f"{prefix}.weight"]
    }


def _noter(found: list[Tensor]) -> Callable[[nn.Module, tuple[Any, ...]], None]:
    def note(module: nn.Module, inputs: tuple[Any, ...]) -> None:
        found.append(_unique(inputs[0].detach()))

    return note


def _unique(numbers: Tensor) -> Tensor:
    # made in inference mode, it could not index tensors outside of it
    found: Tensor = torch.unique(numbers)
    return found.clone()
