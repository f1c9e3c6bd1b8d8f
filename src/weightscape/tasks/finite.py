"""Where numbers stop being finite: in which tensor, or in the output of which module."""

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn

from weightscape.errors import BadInput
from weightscape.tasks.batches import Batch
from weightscape.tasks.kinds import score_batch
from weightscape.tasks.live import LiveModel
from weightscape.tasks.task import Example, Task


class NonFinite(BadInput):
    """A loss or features that are NaN or infinite: a model gone wrong, not a wrong question."""


def explain_non_finite(
    model: LiveModel, task: Task, example: Example, batches: Sequence[Batch]
) -> str:
    """Say which tensor of a model, or else which module's output, makes a loss not finite."""
    what = f"{model.name}: the loss of row {example.row} of task {task.name!r} is not finite"
    for name, tensor in model.module.state_dict().items():
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            return f"{what}: its tensor {name!r} holds NaN or infinity"
    batch = next(it for it in batches if any(one is example for one in it.examples))
    at = first_non_finite(model.module, batch.to(model.device), task)
    where = f"first in the output of {at!r}" if at else "though every module's output is finite"
    return f"{what}: all weights are finite; {where}"


def first_non_finite(module: nn.Module, batch: Batch, task: Task) -> str | None:
    """Run a batch once more and name the first submodule whose output is not finite."""
    found: list[str] = []

    def look(name: str) -> Any:
        def hook(_: nn.Module, __: Any, output: Any) -> None:
            if not found and any(not _finite(part) for part in _tensors(output)):
                found.append(name)

        return hook

    with ExitStack() as stack, torch.inference_mode():
        for name, part in module.named_modules():
            stack.callback(part.register_forward_hook(look(name or type(module).__name__)).remove)
        score_batch(module, batch, task)
    return found[0] if found else None


def _finite(tensor: Tensor) -> bool:
    return bool(torch.isfinite(tensor).all())


def _tensors(output: Any) -> list[Tensor]:
    if isinstance(output, Tensor):
        return [output] if output.is_floating_point() else []
    if isinstance(output, dict):
        output = tuple(output.values())
    if isinstance(output, tuple | list):
        return [tensor for part in output for tensor in _tensors(part)]
    return []
