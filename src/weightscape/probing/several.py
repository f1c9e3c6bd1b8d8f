"""Reading several layers: one ProbeX each, and attention that says which of them tells most.

Our own addition; the paper reads one layer.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from weightscape.probing.probex import ProbeX
from weightscape.probing.stacks import Stack


class SeveralLayers(nn.Module):
    """The mean of the layers' vectors, weighted for each model by learned attention.

    A layer's weight is the softmax of ``k_l . e_l + c_l``. The keys k start at zero, so that all
    layers count alike at first.
    """

    def __init__(self, probes: Sequence[ProbeX]) -> None:
        super().__init__()
        self.probes = nn.ModuleList(probes)
        self.width = probes[0].bias.shape[0]
        if len(probes) > 1:
            self.keys = nn.Parameter(torch.zeros(len(probes), self.width))
            self.favour = nn.Parameter(torch.zeros(len(probes)))

    def forward(self, stacks: Sequence[Stack]) -> Tensor:
        """Give the vectors [N, width] of N models, one stack a layer."""
        if len(stacks) == 1:
            vectors: Tensor = self.probes[0](stacks[0])
            return vectors
        return self.pooled(self.each(stacks))

    def each(self, stacks: Sequence[Stack]) -> Tensor:
        """Give what every layer says of N models, [N, layers, width]."""
        return torch.stack(
            [probe(stack) for probe, stack in zip(self.probes, stacks, strict=True)], 1
        )

    def pooled(self, each: Tensor) -> Tensor:
        """Weigh what every layer says, [N, layers, width], into one vector [N, width]."""
        return (self.weights_of(each)[..., None] * each).sum(1)

    def weights(self, stacks: Sequence[Stack]) -> Tensor:
        """Tell how much each layer counts for each model, [N, layers]; rows sum to 1."""
        return self.weights_of(self.each(stacks))

    def weights_of(self, each: Tensor) -> Tensor:
        """Tell the same by what every layer says, [N, layers, width]."""
        return ((each * self.keys).sum(2) + self.favour).softmax(1)
