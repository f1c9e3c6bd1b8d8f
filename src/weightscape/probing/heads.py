"""What is read off a model's vector: the classes of the training models, or any text."""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from weightscape.probing.probex import drawn

TextLoss = Literal["auto", "labels", "classes", "contrastive"]
"""labels: each text of each model by itself (binary cross-entropy), for models of several labels.
classes: which of all texts (cross-entropy), as in the paper. contrastive: symmetric InfoNCE.
auto: classes where every model has one label, else labels."""


class LabelHead(nn.Module):
    """One linear answer for each class."""

    def __init__(self, width: int, labels: int, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.weight = nn.Parameter(drawn(labels, width, fan=width, generator=generator))
        self.bias = nn.Parameter(torch.zeros(labels))

    def forward(self, vectors: Tensor) -> Tensor:
        """Give logits [N, labels] for vectors [N, width]."""
        return F.linear(vectors, self.weight, self.bias)


class TextHead(nn.Module):
    """The cosine between a model's vector and a text's, which W brings into the same space.

    Scaled by a learned temperature and shifted by a learned bias, so that it is a logit.
    """

    def __init__(self, width: int, size: int, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.weight = nn.Parameter(drawn(width, size, fan=size, generator=generator))
        self.log_scale = nn.Parameter(torch.tensor(math.log(10.0)))
        self.bias = nn.Parameter(torch.tensor(0.0))

    def forward(self, vectors: Tensor, texts: Tensor) -> Tensor:
        """Give logits [N, T] for vectors [N, width] and texts [T, size]."""
        # by the lengths afterwards: vectors of length 1 would be a second copy of all of them
        lengths = torch.linalg.vector_norm(vectors, dim=-1, keepdim=True).clamp_min(1e-12)
        theirs = F.normalize(F.linear(texts, self.weight), dim=-1)
        # no sharper than a hundredth, as in CLIP: beyond it the gradients vanish
        scale = self.log_scale.clamp(max=math.log(100.0)).exp()
        logits: Tensor = scale * (vectors @ theirs.T) / lengths + self.bias
        return logits


@dataclass(frozen=True, slots=True)
class Targets:
    """What training models are said to know.

    members: [N, labels] of 0 and 1. texts: [labels, size], or None without a text head.
    """

    members: Tensor
    texts: Tensor | None


def label_loss(logits: Tensor, members: Tensor) -> Tensor:
    """Average the binary cross-entropy over models and classes."""
    return F.binary_cross_entropy_with_logits(logits, members)


def text_loss(logits: Tensor, members: Tensor, kind: TextLoss) -> Tensor:
    """Score logits [N, labels] of models and the labels' texts; `kind` is not "auto" any more."""
    if kind == "labels":
        return F.binary_cross_entropy_with_logits(logits, members)
    wanted = members / members.sum(1, keepdim=True).clamp_min(1.0)
    of_models = -(wanted * F.log_softmax(logits, 1)).sum(1).mean()
    if kind == "classes":
        return of_models
    # the other way round: which of these models belong to a text, for the texts that any has
    there = members.sum(0) > 0
    wanted = members[:, there] / members[:, there].sum(0, keepdim=True)
    of_texts = -(wanted * F.log_softmax(logits[:, there], 0)).sum(0).mean()
    return (of_models + of_texts) / 2


def loss_for(members: Tensor, asked: TextLoss) -> TextLoss:
    """Settle which loss "auto" means for training labels [N, labels]."""
    if asked != "auto":
        return asked
    return "classes" if bool((members.sum(1) <= 1).all()) else "labels"
