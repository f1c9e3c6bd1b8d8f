"""Weighted means of tensors that correspond, and the checks that all merges share."""

from collections.abc import Mapping, Sequence
from math import isfinite

import torch
from torch import Tensor

from weightscape.errors import BadInput, MismatchedModels


def checked_shares(weights: Sequence[float] | None, count: int) -> list[float]:
    """Give each of `count` models its share; they sum to 1, and are alike without weights.

    Raises BadInput for another number of weights, a negative one, or none above zero.

    >>> checked_shares([3, 1], 2)
    [0.75, 0.25]
    """
    given = [1.0] * count if weights is None else [float(weight) for weight in weights]
    if len(given) != count or not count:
        raise BadInput(f"a merge needs a weight for each of {count} models, got {len(given)}")
    if not all(isfinite(it) and it >= 0 for it in given) or not sum(given) > 0:
        raise BadInput(f"weights must be 0 or more and not all 0, got {given}")
    return [it / sum(given) for it in given]


def tensors_named(name: str, models: Sequence[Mapping[str, Tensor]]) -> list[Tensor]:
    """Give every model's tensor of a name.

    Raises MismatchedModels where one has none, or one of another shape.
    """
    found = []
    for number, model in enumerate(models):
        if name not in model:
            raise MismatchedModels(f"tensor {name!r} is missing in model {number}")
        if model[name].shape != models[0][name].shape:
            raise MismatchedModels(
                f"tensor {name!r} has shape {list(models[0][name].shape)} in model 0 and "
                f"{list(model[name].shape)} in model {number}"
            )
        found.append(model[name])
    return found


def weighted_mean(tensors: Sequence[Tensor], shares: Sequence[float]) -> Tensor:
    """Average tensors in float64; tensors that are equal come out as they are."""
    first = tensors[0].to(torch.float64)
    moved = torch.zeros_like(first)
    for tensor, share in zip(tensors[1:], shares[1:], strict=True):
        moved.add_(tensor.to(torch.float64) - first, alpha=share)
    return first + moved
