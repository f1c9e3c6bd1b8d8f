"""How far layers are from a matrix."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from weightscape.probing.stacks import DenseStack, Stack


def distances_from(centre: Tensor, stack: Stack) -> NDArray[np.float32]:
    """Give the Frobenius distances [N] of layers from a matrix; products are not formed."""
    found = []
    for block in stack.blocks():
        if isinstance(block, DenseStack):
            found.append((block.matrices - centre).flatten(1).norm(dim=1))
            continue
        away = (centre - block.offsets()).expand(len(block), -1, -1)
        inner = (block.b.transpose(1, 2) @ block.b) * (block.a @ block.a.transpose(1, 2))
        across = (block.b * (away @ block.a.transpose(1, 2))).flatten(1).sum(1)
        square = inner.flatten(1).sum(1) - 2 * across + away.square().flatten(1).sum(1)
        found.append(square.clamp_min(0.0).sqrt())
    return np.asarray(torch.cat(found), dtype=np.float32)
