"""What the models of a tree were before they learned anything: their base's layers, or no delta."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from weightscape.probing.distances import distances_from
from weightscape.probing.stacks import Stack, mean_of

NEXT_TO_NOTHING = 0.1
"""Of how far the least trained model of a tree went: what is nearer to the base was not trained."""

_NEARER = 0.9
"""Of the squared distance between two models, what that to their base may be at most.

It is about a half, and more where all drift the same way: 0.67 in the text trees of bench/probex.
"""

_STORED = (torch.float32, torch.bfloat16, torch.float16)


@dataclass(frozen=True, slots=True)
class Origin:
    """The layers that training began with.

    name: of the base; empty for LoRA deltas, which begin at nought. layers: [out, in] each.
    moved: how far from them the training model is that went least, for each layer.
    """

    name: str
    layers: tuple[Tensor, ...]
    moved: tuple[float, ...]


def origin_of(name: str, layers: Sequence[Tensor], stacks: Sequence[Stack]) -> Origin:
    """Measure how far models are from a base's layers; those that never left it do not count."""
    moved = []
    for layer, stack in zip(layers, stacks, strict=True):
        far = distances_from(layer, stack).astype(np.float64)
        moved.append(float(far[far > NEXT_TO_NOTHING * np.median(far)].min(initial=np.inf)))
    return Origin(name, tuple(layers), tuple(0.0 if np.isinf(it) else it for it in moved))


def no_delta(stacks: Sequence[Stack]) -> Origin:
    """Give the origin of LoRA deltas."""
    zeros = [torch.zeros(it.shape.out, it.shape.inputs) for it in stacks]
    return origin_of("", zeros, stacks)


def unmoved(origin: Origin, stacks: Sequence[Stack]) -> NDArray[np.bool_]:
    """Tell which models [N] are all but at their origin, in each of these layers."""
    still = []
    for layer, stack, moved in zip(origin.layers, stacks, origin.moved, strict=True):
        # a base that somebody stored in a shorter type is as far as a short training takes
        forms = [layer.to(it).float() for it in _STORED] if origin.name else [layer]
        nearest = np.minimum.reduce([distances_from(it, stack) for it in forms])
        still.append(nearest <= NEXT_TO_NOTHING * moved)
    found: NDArray[np.bool_] = np.logical_and.reduce(still)
    return found


def may_be_origin(layer: Tensor, stack: Stack) -> bool:
    """Tell whether models are clearly nearer to a layer than they are to one another.

    Where all drifted far in one direction they are not, even if they began with it: this refuses
    what may be one of their kind, and some bases.
    """
    spread = float(np.square(distances_from(mean_of(stack), stack).astype(np.float64)).mean())
    away = float(np.square(distances_from(layer, stack).astype(np.float64)).mean())
    return away <= _NEARER * 2.0 * spread
