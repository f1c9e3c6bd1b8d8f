"""ProbeX: a layer's answers to learned probes, as one vector (arXiv:2410.13569, section 4)."""

import math

import torch
from torch import Tensor, nn

from weightscape.probing.stacks import DenseStack, Stack


class ProbeX(nn.Module):
    """The vector ``e = M vec(relu(V X U)) + b`` of a layer X [out, in].

    U [in, probes] are the probes, V [projection, out] is what their answers are projected on,
    alike for all of them, and M [width, projection * probes] holds one encoder for each probe.
    Of the product of a LoRA only ``(V B)(A U)`` is computed.
    """

    def __init__(
        self,
        out: int,
        inputs: int,
        *,
        probes: int = 128,
        projection: int = 128,
        width: int = 128,
        relu: bool = True,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.relu = relu
        self.probes = nn.Parameter(drawn(inputs, probes, fan=inputs, generator=generator))
        self.projection = nn.Parameter(drawn(projection, out, fan=out, generator=generator))
        answers = projection * probes
        self.encoder = nn.Parameter(drawn(width, answers, fan=answers, generator=generator))
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, stack: Stack) -> Tensor:
        """Give the vectors [N, width] of N layers."""
        answers = self.answers(stack)
        if self.relu:
            answers = answers.relu()
        return nn.functional.linear(answers.flatten(1), self.encoder, self.bias)

    def answers(self, stack: Stack) -> Tensor:
        """Give ``V X U`` [N, projection, probes]."""
        return answers_of(stack, self.probes, self.projection)


def answers_of(stack: Stack, probes: Tensor, projection: Tensor) -> Tensor:
    """Give ``V X U`` [N, projection, probes] of N layers, of products without forming them."""
    if isinstance(stack, DenseStack):
        return projection @ (stack.matrices @ probes)
    answers = (projection @ stack.b) @ (stack.a @ probes)
    if stack.offset is None:
        return answers
    offset = projection @ (stack.offset @ probes)
    return answers + (offset if stack.gains is None else stack.gains[:, None, None] * offset)


def drawn(*shape: int, fan: int, generator: torch.Generator | None) -> Tensor:
    """Draw weights uniformly with variance ``1 / (3 fan)``, as torch's linear layers do."""
    bound = 1.0 / math.sqrt(fan)
    return torch.empty(*shape).uniform_(-bound, bound, generator=generator)
