"""How well scores tell members from others, and scores turned into probabilities."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F


def mean_auc(scores: Tensor, members: Tensor) -> float:
    """Average the area under the ROC curve over the columns that have both kinds; nan if none has.

    scores, members: [N, labels]. Ties count a half.

    >>> mean_auc(torch.tensor([[1.0], [2.0], [3.0]]), torch.tensor([[0.0], [1.0], [1.0]]))
    1.0
    """
    many = members.sum(0)
    both = (many > 0) & (many < len(members))
    if not bool(both.any()):
        return float("nan")
    members, many = members[:, both], many[both]
    ranks = _middle_ranks(scores[:, both].double())
    others = len(members) - many
    area = ((ranks * members).sum(0) - many * (many + 1) / 2) / (many * others)
    return float(area.mean())


def accuracy(probabilities: Tensor, members: Tensor) -> float:
    """Tell the share of models and labels that a threshold of one half gets right."""
    return float(((probabilities >= 0.5) == (members > 0)).float().mean())


def top_one(scores: Tensor, members: Tensor) -> float:
    """Tell how often a model's best label is one of its own; models without labels do not count."""
    any_label = members.sum(1) > 0
    if not bool(any_label.any()):
        return float("nan")
    best = scores[any_label].argmax(1)
    return float(members[any_label].gather(1, best[:, None]).mean())


def _middle_ranks(scores: Tensor) -> Tensor:
    """Rank each column from 1; equal values share the middle of their ranks."""
    ranks = torch.empty_like(scores)
    for column in range(scores.shape[1]):
        _, place, count = torch.unique(scores[:, column], return_inverse=True, return_counts=True)
        last = count.cumsum(0)
        ranks[:, column] = (last - (count - 1) / 2.0)[place].to(scores.dtype)
    return ranks


@dataclass(frozen=True, slots=True)
class Calibration:
    """Logits to probabilities: ``sigmoid(slope * logit + shift)`` (Platt 1999)."""

    slope: float = 1.0
    shift: float = 0.0

    def apply(self, logits: Tensor) -> Tensor:
        """Turn logits into probabilities."""
        return torch.sigmoid(self.slope * logits + self.shift)


def calibrate(logits: Tensor, members: Tensor, *, steps: int = 50) -> Calibration:
    """Fit slope and shift on validation models by Newton's method, held near 1 and 0 by a prior.

    The prior counts as one observation, so that few models do not make extreme scores.
    """
    x, y = logits.flatten().double(), members.flatten().double()
    if not len(x):
        return Calibration()
    design = torch.stack([x, torch.ones_like(x)], 1)
    start = torch.tensor([1.0, 0.0], dtype=torch.float64)

    def loss(beta: Tensor) -> Tensor:
        fit = F.binary_cross_entropy_with_logits(design @ beta, y, reduction="sum")
        return fit + 0.5 * (beta - start).square().sum()

    beta = start
    for _ in range(steps):
        chance = torch.sigmoid(design @ beta)
        gradient = design.T @ (chance - y) + (beta - start)
        curvature = (design * (chance * (1 - chance))[:, None]).T @ design
        step = torch.linalg.solve(curvature + torch.eye(2, dtype=torch.float64), gradient)
        length = 1.0
        while length > 1e-6 and not bool(loss(beta - length * step) <= loss(beta)):
            length /= 2  # Newton's full step overshoots where the labels are all but separated
        beta = beta - length * step
        if float(step.abs().max()) < 1e-9:
            break
    # a head that learned nothing may be turned round by chance: never call the better the worse
    return Calibration(max(1e-3, float(beta[0])), float(beta[1]))
