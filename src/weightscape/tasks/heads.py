"""Where a module's head is, what it was made for, and how a new one is drawn."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from weightscape.tasks.task import Task


def head_prefixes(module: nn.Module, task: Task) -> tuple[str, ...]:
    """Tell the name prefixes of a module's head ("classifier.") for a task.

    A transformers classifier: all but its base model. A language model: what stands behind its
    last hidden state, unless that is tied to its embeddings. A plain module: its last linear
    layer, if that gives as many numbers as the task has labels.
    """
    backbone = getattr(module, "base_model_prefix", None)
    if task.kind in ("seq2seq", "causal"):
        return _language_head(module)
    if isinstance(backbone, str) and hasattr(module, backbone):
        parts = [(name, part) for name, part in module.named_children() if name != backbone]
        return tuple(f"{name}." for name, part in parts if part.state_dict())
    name = last_linear(module)
    wanted = len(task.labels) or 1
    if name is None or module.get_submodule(name).out_features != wanted:
        return ()
    return (f"{name}.",)


def last_linear(module: nn.Module) -> str | None:
    """Name the linear layer that stands last in a module."""
    names = [name for name, part in module.named_modules() if isinstance(part, nn.Linear)]
    return names[-1] if names else None


def within(module: nn.Module, prefixes: Sequence[str]) -> tuple[str, ...]:
    """Tell the prefixes as they read in a module that was wrapped since (by peft)."""
    found = {
        f".{name}"[1 : f".{name}".index(f".{prefix}") + len(prefix) + 1]
        for prefix in prefixes
        for name in module.state_dict()
        if f".{prefix}" in f".{name}"
    }
    return tuple(sorted(found))


def told_labels(config: Mapping[str, Any] | Any) -> tuple[str, ...] | None:
    """Read the labels of a configuration's `id2label`, in the order of their numbers."""
    names = config.get("id2label") if isinstance(config, Mapping) else config.id2label
    try:
        numbered = {int(number): str(label) for number, label in (names or {}).items()}
    except (AttributeError, TypeError, ValueError):
        return None
    if not numbered or sorted(numbered) != list(range(len(numbered))):
        return None
    return tuple(numbered[i] for i in range(len(numbered)))


def suits(told: tuple[str, ...] | None, task: Task) -> bool:
    """Tell whether a head that was made for these labels answers a task."""
    return told is not None and (len(told) == 1 if task.is_regression else told == task.labels)


def draw_head(module: nn.Module, prefixes: Sequence[str], seed: int) -> None:
    """Draw a head anew from `seed` alone, as transformers would: normal weights, zero biases."""
    generator = torch.Generator().manual_seed(seed)
    spread = float(getattr(getattr(module, "config", None), "initializer_range", 0.02))
    for name, part in module.named_modules():
        if not f"{name}.".startswith(tuple(prefixes)):
            continue
        if isinstance(part, nn.Linear):
            nn.init.normal_(part.weight, std=spread, generator=generator)
            if part.bias is not None:
                nn.init.zeros_(part.bias)
        elif isinstance(part, nn.LayerNorm):
            part.reset_parameters()


def _language_head(module: nn.Module) -> tuple[str, ...]:
    if not hasattr(module, "get_output_embeddings"):
        return ()
    head, words = module.get_output_embeddings(), module.get_input_embeddings()  # type: ignore[operator]
    if head is None or head.weight is getattr(words, "weight", None):
        return ()
    return tuple(f"{name}." for name, part in module.named_modules() if part is head)
