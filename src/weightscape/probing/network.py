"""What an expert learns: the probes of its layers and its heads."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from weightscape.probing.heads import LabelHead, TextHead
from weightscape.probing.probex import ProbeX
from weightscape.probing.settings import ProbeTraining
from weightscape.probing.several import SeveralLayers
from weightscape.probing.stacks import Stack


@dataclass(frozen=True, slots=True)
class ProbeSize:
    """The sizes of one layer's ProbeX."""

    out: int
    inputs: int
    probes: int
    projection: int


def probe_size(stack: Stack, how: ProbeTraining) -> ProbeSize:
    """Settle the sizes of the ProbeX that reads a normalised layer."""
    out, inputs = stack.shape.out, stack.shape.inputs
    if how.way == "descent":
        return ProbeSize(out, inputs, how.probes, how.projection)
    return ProbeSize(out, inputs, inputs, 2 * out if how.relu else out)


class Network(nn.Module):
    """Layers to vectors, vectors to logits of classes and of texts."""

    def __init__(
        self,
        sizes: Sequence[ProbeSize],
        how: ProbeTraining,
        *,
        labels: int,
        text_size: int,
        generator: torch.Generator | None = None,
    ) -> None:
        """Draw a network; labels or text_size are 0 for no head."""
        super().__init__()
        self.layers = SeveralLayers(
            [
                ProbeX(
                    size.out,
                    size.inputs,
                    probes=size.probes,
                    projection=size.projection,
                    width=how.width,
                    relu=how.relu,
                    generator=generator,
                )
                for size in sizes
            ]
        )
        self.labels = LabelHead(how.width, labels, generator) if labels else None
        self.texts = TextHead(how.width, text_size, generator) if text_size else None

    def forward(self, stacks: Sequence[Stack]) -> Tensor:
        """Give the vectors [N, width] of N models."""
        vectors: Tensor = self.layers(stacks)
        return vectors


def parameter_count(network: Network, sides: Sequence[tuple[int, int]]) -> int:
    """Count the parameters of the ProbeX that reads whole layers of these sides.

    Probes that were learned within subspaces count as what they are in the layer.
    """
    count = 0
    for name, parameter in network.named_parameters():
        if not name.endswith((".layers.probes", ".layers.projection")):
            count += parameter.numel()
    for probe, (out, inputs) in zip(network.layers.probes, sides, strict=True):
        assert isinstance(probe, ProbeX)
        small = probe.probes.numel() + probe.projection.numel()
        count += inputs * probe.probes.shape[1] + out * probe.projection.shape[0] - small
    return count
