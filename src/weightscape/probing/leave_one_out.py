"""ProbeX learned through ridge regression, each model left out in turn: our way to train it.

Hundreds of models are few for the millions of numbers in ProbeX's encoders: descent on all of them
fits the training models by heart. Here the encoders have a closed form, the ridge regression of
the labels on the probes' answers, and descent moves only the probes, the projection and the
penalty, down the slope of what the regression gets wrong of models it was fitted without. That
error has a closed form too: with A = (K + penalty)^-1 and K the inner products of the answers,
``(A Y)_i / A_ii`` (Allen 1974; Rasmussen and Williams 2006, section 5.4.2).

What comes out is a ProbeX like any other. With kinks, each projection stands there twice with
either sign, so that the encoders can weigh an answer and its size apart:
``relu(z) - relu(-z) = z`` and ``relu(z) + relu(-z) = |z|``.
"""

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

import torch
from torch import Tensor, nn

from weightscape.probing.probex import answers_of
from weightscape.probing.resuming import Fitted, State, read_state, write_state
from weightscape.probing.scores import mean_auc
from weightscape.probing.settings import ProbeTraining
from weightscape.probing.stacks import Stack
from weightscape.progress import Progress, silent

_SAVE_SECONDS = 5.0

_FREE = 10.0
"""What is added to all inner products (of mean 1): the regression has a constant, all but free."""

_MIDDLE = 0.5
"""Labels are 0 and 1; regressed are their differences from this."""


class RidgeProbes(nn.Module):
    """What is learned by descent: probes [in, in], projections [out, out], penalty, kinks.

    They start as the layer's own axes, so that nothing of it is lost.
    """

    def __init__(self, sides: Sequence[tuple[int, int]], relu: bool) -> None:
        super().__init__()
        self.probes = nn.ParameterList([torch.eye(inputs) for _, inputs in sides])
        self.projections = nn.ParameterList([torch.eye(out) for out, _ in sides])
        self.log_penalty = nn.Parameter(torch.tensor(math.log(0.01)))
        # how much the sizes of answers count beside the answers themselves
        self.kinks = nn.Parameter(torch.tensor(0.3)) if relu else None

    @property
    def features(self) -> list[int]:
        """Tell how many of the features are of each layer, in their order."""
        kinds = 1 if self.kinks is None else 2
        return [
            kinds * probes.shape[1] * projection.shape[0]
            for probes, projection in zip(self.probes, self.projections, strict=True)
        ]

    def forward(self, stacks: Sequence[Stack]) -> Tensor:
        """Give what the regression sees of N models, [N, features], one after the other layer."""
        seen = []
        for stack, probes, projection in zip(stacks, self.probes, self.projections, strict=True):
            answers = answers_of(stack, probes, projection).flatten(1) / math.sqrt(
                probes.shape[1] * projection.shape[0]
            )
            seen.append(answers)
            if self.kinks is not None:
                seen.append(self.kinks * answers.abs())
        return torch.cat(seen, 1)


@dataclass(frozen=True, slots=True)
class Regression:
    """The closed form at one moment, for the training models.

    duals: [N, labels], which the models' inner products weigh. left_out: predictions [N, labels]
    of each model by the others. mean: of the features; size: mean square of their lengths.
    inverse: of the inner products with the penalty, [N, N].
    """

    features: Tensor
    mean: Tensor
    size: Tensor
    duals: Tensor
    left_out: Tensor
    inverse: Tensor

    def predict(self, features: Tensor) -> Tensor:
        """Predict the labels [M, labels] of other models by their features."""
        inner = (features - self.mean) @ self.features.T / self.size + _FREE
        return (inner.double() @ self.duals).float() + _MIDDLE

    def weights(self, sizes: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Give the regression as weights [features, labels] and constants [layers, labels].

        sizes: of the features of each layer. The mean over layers of what is a constant for one,
        and of as many times what its weights give, is the prediction.
        """
        weights = self.features.T @ self.duals.float() / self.size
        parts = zip(
            torch.split(self.mean, list(sizes)), torch.split(weights, list(sizes)), strict=True
        )
        free = _FREE * self.duals.sum(0).float() + _MIDDLE
        return weights, torch.stack([free - len(sizes) * (mean @ own) for mean, own in parts])

    def left_out_by_layer(self, sizes: Sequence[int]) -> list[Tensor]:
        """Part the left-out predictions by layers: [N, labels] each, whose mean they are.

        Without model i, model j's dual is ``a_j - A_ji a_i / A_ii``, and i's is nought.
        """
        own = self.duals / self.inverse.diagonal()[:, None]
        free = _FREE * (self.duals.sum(0) - self.inverse.sum(0)[:, None] * own) + _MIDDLE
        found = []
        for features in torch.split(self.features, list(sizes), 1):
            inner = (features @ features.T / self.size).double()
            told = inner @ self.duals - (inner * self.inverse).sum(1)[:, None] * own
            found.append((len(sizes) * told + free).float())
        return found


def regress(probes: RidgeProbes, stacks: Sequence[Stack], members: Tensor) -> Regression:
    """Solve for the labels [N, labels] of N models."""
    features = probes(stacks)
    mean = features.mean(0)
    features = features - mean
    inner = features @ features.T
    size = inner.diagonal().mean()
    # in float64: the constant is thousands of times the penalty
    kernel = (inner / size).double() + _FREE
    kernel = kernel + probes.log_penalty.double().exp() * torch.eye(len(kernel))
    inverse = torch.linalg.inv(kernel)
    wanted = members.double() - _MIDDLE
    duals = inverse @ wanted
    wrong = duals / inverse.diagonal()[:, None]
    left_out = (wanted - wrong).float() + _MIDDLE
    return Regression(features, mean, size, duals, left_out, inverse)


def learn_probes(
    train: Sequence[Stack],
    members: Tensor,
    valid: Sequence[Stack],
    valid_members: Tensor,
    how: ProbeTraining,
    *,
    place: Path | None = None,
    identity: str = "",
    progress: Progress = silent,
) -> tuple[RidgeProbes, Fitted]:
    """Learn probes on training models; the best by the validation models' area under ROC is kept.

    members, valid_members: [N, labels]. place: where the state is kept, see `resuming`.
    """
    sides = [(it.shape.out, it.shape.inputs) for it in train]
    probes = RidgeProbes(sides, how.relu)
    best = copy.deepcopy(probes)
    # a penalty moves by factors, the probes by small parts of what they are
    scalars = [it for name, it in probes.named_parameters() if name in ("log_penalty", "kinks")]
    optimizer = torch.optim.Adam(
        [
            {"params": [*probes.probes, *probes.projections], "lr": how.probe_rate},
            {"params": scalars, "lr": 10 * how.probe_rate},
        ]
    )
    state = State(probes, probes, best, optimizer)
    fitted = Fitted()
    if place is not None:
        fitted = read_state(place, identity, state) or fitted
    saved = monotonic()
    with progress.stage("training the probes", total=how.steps, unit="steps") as advance:
        advance(fitted.epoch)
        while fitted.epoch <= how.steps and not _is_over(fitted, how):
            solved = regress(probes, train, members)
            if fitted.epoch % _LOOK == 0:
                _look(probes, best, solved, valid, valid_members, fitted)
            loss = (solved.left_out - members).square().mean()
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            fitted.epoch += 1
            advance(1)
            if place is not None and monotonic() - saved > _SAVE_SECONDS:
                write_state(place, identity, state, fitted)
                saved = monotonic()
    if place is not None:
        write_state(place, identity, state, fitted)
    return best, fitted


_LOOK = 2
"""Steps between two looks at the validation models; a look costs little."""


def _is_over(fitted: Fitted, how: ProbeTraining) -> bool:
    return fitted.epoch - fitted.best_epoch > how.step_patience


@torch.no_grad()
def _look(
    probes: RidgeProbes,
    best: RidgeProbes,
    solved: Regression,
    valid: Sequence[Stack],
    members: Tensor,
    fitted: Fitted,
) -> None:
    score = mean_auc(solved.predict(probes(valid)), members)
    score = 0.0 if math.isnan(score) else score
    fitted.history.append((fitted.epoch, score))
    if score > fitted.best:
        fitted.best, fitted.best_epoch = score, fitted.epoch
        best.load_state_dict(probes.state_dict())
