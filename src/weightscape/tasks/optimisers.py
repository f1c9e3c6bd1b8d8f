"""Optimisers and learning-rate schedules, by name."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

MOMENTUM = 0.9


def make_optimiser(
    name: str, trained: Sequence[nn.Parameter], *, lr: float, weight_decay: float
) -> torch.optim.Optimizer:
    """Make an optimiser that decays matrices only, not biases and normalisation weights."""
    groups: list[dict[str, Any]] = [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    if name == "sgd":
        return torch.optim.SGD(groups, lr=lr, momentum=MOMENTUM)
    if name == "adafactor":
        return torch.optim.Adafactor(groups, lr=lr)
    fused = torch.optim.AdamW(groups, lr=lr, fused=True)
    fused.register_step_post_hook(_tell_of_changes)
    return fused


def _tell_of_changes(optimiser: torch.optim.Optimizer, *_: object) -> None:
    """Raise the versions of trained tensors: fused steps do not, and a span goes by them."""
    for group in optimiser.param_groups:
        torch.autograd.graph.increment_version(group["params"])


def rate_at(name: str, *, steps: int, warmup: float) -> Callable[[int], float]:
    """Give the share of the highest learning rate at each step, counted from 0.

    >>> rate = rate_at("linear", steps=10, warmup=0.2)
    >>> [round(rate(step), 2) for step in (0, 1, 2, 6, 9)]
    [0.5, 1.0, 1.0, 0.5, 0.12]
    """
    rise = max(1, round(warmup * steps))
    fall = max(1, steps - rise)

    def falling(step: int) -> float:
        left = max(0.0, (steps - step) / fall)
        if name == "cosine":
            return 0.5 - 0.5 * math.cos(math.pi * min(1.0, left))
        return left if name == "linear" else 1.0

    return lambda step: min((step + 1) / rise, falling(step))
