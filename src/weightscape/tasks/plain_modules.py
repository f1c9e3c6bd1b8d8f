"""Plain torch modules: made by a user's factory, filled from a checkpoint."""

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from weightscape.errors import BadInput, MismatchedModels
from weightscape.geometry.align import strip_wrappers
from weightscape.io import Checkpoint, open_checkpoint
from weightscape.tasks.callables import import_callable, telling_failure
from weightscape.tasks.heads import draw_head, head_prefixes, suits, told_labels
from weightscape.tasks.live import LiveModel, Processor
from weightscape.tasks.processors import ArrayProcessor, RecordProcessor
from weightscape.tasks.task import Task

Factory = Callable[..., Any] | str
"""Gives an nn.Module, or a module and its processor; called with the task if it takes one
argument. A string names it as "module:function"."""


def load_plain_module(
    source: Path, task: Task, factory: Factory, *, init_seed: int = 0
) -> LiveModel:
    """Make a module by a factory and fill it with a checkpoint's tensors.

    The stored head is kept unless it was made for other labels (of which config.json may tell) or
    has another shape; then the head is drawn from `init_seed`. Tensors are found by name, with or
    without the prefixes that training frameworks add.

    Raises BadInput for what a factory gives, MismatchedModels naming the tensor.
    """
    module, processor = _made(factory, task, init_seed)
    opened = open_checkpoint(source)
    if not isinstance(opened, Checkpoint):
        raise BadInput(f"{source}: is an adapter, not a whole model")
    with opened:
        told = told_labels(opened.config)
        head = head_prefixes(module, task)
        anew = _fill(module, opened, head, source)
    drawn = bool(head) and (anew or (told is not None and not suits(told, task)))
    if drawn:
        draw_head(module, head, init_seed)
    labels = task.labels if suits(told, task) and not drawn else None
    folder = source if source.is_dir() else source.parent
    return LiveModel(source.name, module, processor, labels, head, folder=folder, drawn=drawn)


def _made(factory: Factory, task: Task, seed: int) -> tuple[nn.Module, Processor]:
    make = import_callable(factory) if isinstance(factory, str) else factory
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        takes_task = _takes_task(make)
        with telling_failure(make, "the factory"):
            made = make(task) if takes_task else make()
    module, processor = made if isinstance(made, tuple) and len(made) == 2 else (made, None)
    if not isinstance(module, nn.Module):
        raise BadInput(
            f"the factory {_name(make)} gave {type(module).__name__}; it should give an nn.Module, "
            "or a module and its processor"
        )
    if processor is None:
        processor = RecordProcessor() if task.kind == "custom" else ArrayProcessor()
    elif not callable(processor) or not hasattr(processor, "identity"):
        raise BadInput(
            f"the factory {_name(make)} gave {type(processor).__name__} as processor; "
            "it should be a weightscape.tasks.live.Processor"
        )
    return module, processor


def _takes_task(make: Callable[..., Any]) -> bool:
    try:
        parameters = inspect.signature(make).parameters.values()
    except (TypeError, ValueError):
        return False
    placed = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    needed = [it for it in parameters if it.default is it.empty and it.kind in placed]
    if len(needed) > 1:
        raise BadInput(
            f"the factory {_name(make)} needs {len(needed)} arguments; it is called with the task "
            "or with nothing"
        )
    return len(needed) == 1


def _name(make: Any) -> str:
    return repr(getattr(make, "__qualname__", None) or type(make).__name__)


def _fill(module: nn.Module, stored: Checkpoint, head: tuple[str, ...], source: Path) -> bool:
    """Copy stored tensors into a module; tell whether its head was left out for its shape."""
    named = _by_name(stored)
    anew = False
    tensors: Mapping[str, Tensor] = module.state_dict()
    with torch.no_grad():
        for name, there in tensors.items():
            found = named.get(name) or named.get(strip_wrappers(name))
            shape = None if found is None else tuple(stored.info(found).shape)
            if found is not None and shape == tuple(there.shape):
                there.copy_(stored.tensor(found))
            elif head and name.startswith(head):
                anew = True
            else:
                has = "is missing" if shape is None else f"has shape {list(shape)}"
                raise MismatchedModels(
                    f"{source}: tensor {name!r} {has}; "
                    f"the factory's module needs {list(there.shape)}"
                )
    return anew


def _by_name(stored: Checkpoint) -> dict[str, str]:
    """Find stored tensors by their own names first, then by what is left without prefixes."""
    names = [*stored.tensors, *stored.tied]
    return {strip_wrappers(name): name for name in names} | {name: name for name in names}
