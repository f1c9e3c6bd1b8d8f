"""BatchNorm statistics of a network whose weights were not trained but computed.

The statistics of a point between two networks are not the sums of theirs: Garipov et al., "Loss
Surfaces, Mode Connectivity, and Fast Ensembling of DNNs" (2018), section 3.3 and appendix, make
them anew on training data at every point.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from weightscape.errors import BadInput

_Batch = TypeVar("_Batch")


def has_batch_statistics(module: nn.Module) -> bool:
    """Tell whether a network keeps statistics of its inputs that other weights make untrue."""
    return any(True for _ in _keepers(module))


@torch.no_grad()
def recompute_statistics(
    module: nn.Module, batches: Iterable[_Batch], forward: Callable[[_Batch], object]
) -> int:
    """Replace BatchNorm statistics by those of some data under the weights as they are.

    forward: runs the network on one batch; what it returns is not looked at. Every batch counts
    alike (cumulative average), so batches should be of one size. Only BatchNorm layers are put
    in training mode meanwhile: dropout stays as it is. Modes and momenta are as before
    afterwards; frozen layers, in evaluation mode for good, are treated like all others. Gives
    the number of batches; does nothing and reads no batch for a network without such layers.

    Raises BadInput when there is no batch; statistics are then as they were.
    """
    layers = list(_keepers(module))
    if not layers:
        return 0
    with _averaging(layers):
        count = 0
        for count, batch in enumerate(batches, 1):
            if count == 1:
                for layer in layers:
                    layer.reset_running_stats()
            forward(batch)
    if count == 0:
        raise BadInput("statistics of BatchNorm layers need at least one batch of data")
    return count


def _keepers(module: nn.Module) -> Iterator[_BatchNorm]:
    for layer in module.modules():
        if isinstance(layer, _BatchNorm) and layer.running_mean is not None:
            yield layer


@contextmanager
def _averaging(layers: list[_BatchNorm]) -> Iterator[None]:
    """Let layers average over all batches they see, and put back how they were set before."""
    before = [(layer, layer.training, layer.momentum) for layer in layers]
    try:
        for layer in layers:
            layer.training, layer.momentum = True, None
        yield
    finally:
        for layer, training, momentum in before:
            layer.training, layer.momentum = training, momentum
