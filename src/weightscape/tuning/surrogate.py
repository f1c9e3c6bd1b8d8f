"""A network as a linear function of its models' weights, so that candidates cost microseconds.

Near a centre c the outputs are ``f(c) + sum_i (w_i - c_i) J_i``, with one derivative for every
model but the first (and layer group), made by forward-mode differentiation or by a small step.
Cross-entropy of linear outputs is convex in the weights.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor, nn

from weightscape.errors import BadInput
from weightscape.tasks.evaluate import evaluating
from weightscape.tasks.kinds import logits_of, run_module
from weightscape.tuning.candidates import CandidateLoss
from weightscape.tuning.moving import named_tensors
from weightscape.tuning.records import Weights

Derivative = Literal["jvp", "step"]

STEP = 0.1
"""How far a step moves a weight: the outputs' rounding, 1e-6, is then no part of the slope."""

_PIECE = 1 << 20  # outputs made at once: they stay in a core's cache


@dataclass(frozen=True, slots=True, eq=False)
class Surrogate:
    """A linear model of the outputs on development rows.

    centre [G, N]: where it was made. margins [k]: of every row and wrong label, that label's output
    less the right one's; of a regression each row's error. slopes [D, k]: their derivatives by the
    weights of all models but the first, group by group (D = G (N - 1)). wrong: labels less one;
    0 for a regression. forwards: what its making cost, in passes through the network.
    """

    centre: Float64[np.ndarray, "G N"]
    margins: Float64[np.ndarray, " k"]
    slopes: Float64[np.ndarray, "D k"]
    wrong: int
    forwards: float

    def losses(self, weights: Weights) -> Float64[np.ndarray, " M"]:
        """Estimate the mean loss of many candidates: weights [M, N], or [M, G, N]."""
        steps = self._steps(weights)
        slopes = torch.from_numpy(self.slopes).float()
        base = torch.from_numpy(self.margins).float()
        taken = torch.from_numpy(steps).float()
        each = max(1, _PIECE // max(1, len(base)))
        parts = [
            _row_losses(torch.addmm(base, part, slopes), self.wrong).mean(1)
            for part in torch.split(taken, each)
        ]
        found: Float64[np.ndarray, " M"] = torch.cat(parts).double().numpy()
        return found

    def loss_and_gradient(self, weights: Weights) -> tuple[float, Float64[np.ndarray, "G N"]]:
        """Give the estimate at one candidate and its gradient, the first model's share being 0."""
        margins = self.margins + self._steps(np.asarray(weights)[None])[0] @ self.slopes
        rows = len(margins) // max(1, self.wrong)
        if self.wrong == 0:
            loss, pull = float((margins**2).mean()), 2 * margins / rows
        else:
            cut = margins.reshape(rows, self.wrong)
            top = np.maximum(cut.max(axis=1, keepdims=True), 0.0)
            each = np.exp(cut - top)
            total = np.exp(-top) + each.sum(axis=1, keepdims=True)
            loss = float((np.log(total) + top).mean())
            pull = (each / total).ravel() / rows
        groups, models = self.centre.shape
        slope = (self.slopes @ pull).reshape(groups, models - 1)
        return loss, np.insert(slope, 0, 0.0, axis=1)

    def bent(self, weights: Weights, margins: Float64[np.ndarray, " k"]) -> "Surrogate":
        """Bend the slopes so that a point whose margins were measured is met, too.

        The smallest change that does so (Broyden, "A class of methods for solving nonlinear
        simultaneous equations", 1965).
        """
        step = self._steps(np.asarray(weights)[None])[0]
        length = float(step @ step)
        if length == 0.0:
            return self
        missed = margins - self.margins - step @ self.slopes
        return replace(self, slopes=self.slopes + np.outer(step, missed) / length)

    def updated(self, weights: Weights, margins: Float64[np.ndarray, " k"]) -> "Surrogate":
        """Move the centre to a point whose margins were measured, and bend the slopes as above."""
        centre = np.broadcast_to(weights, self.centre.shape).astype(np.float64)
        return replace(self.bent(weights, margins), centre=centre, margins=margins)

    def _steps(self, weights: Weights) -> Float64[np.ndarray, "M D"]:
        given = np.asarray(weights, dtype=np.float64)
        groups, models = self.centre.shape
        if given.ndim == 2 and given.shape[1] == models:
            given = given[:, None, :]
        if given.ndim != 3 or given.shape[1] not in (1, groups) or given.shape[2] != models:
            raise BadInput(
                f"the surrogate takes weights [m, {groups}, {models}], got {list(given.shape)}"
            )
        steps: Float64[np.ndarray, "M D"] = (given - self.centre)[:, :, 1:].reshape(len(given), -1)
        return steps


def linearise(
    loss: CandidateLoss, centre: Weights, *, derivative: Derivative = "step", step: float = STEP
) -> Surrogate:
    """Make the surrogate at a centre.

    derivative: "step" moves each weight by `step`, a pass for each model but the first; "jvp" is
    exact and takes three. Between fine-tuned models both rank candidates alike.

    Raises BadInput for tasks without labels or numbers, and where outputs are not finite.
    """
    rows = np.atleast_2d(np.asarray(centre, dtype=np.float64))
    rows = np.broadcast_to(rows, (loss.mover.groups, loss.mover.models)).copy()
    before = loss.read
    outputs = loss.outputs(centre)
    made = _by_jvp(loss, rows) if derivative == "jvp" else _by_steps(loss, rows, outputs, step)
    slopes = np.stack([_margins_of(loss, it, slope=True) for it in made])
    forwards = (loss.read - before) / len(loss.dev)
    wrong = 0 if loss.task.is_regression else outputs.shape[1] - 1
    return Surrogate(rows, margins_at(loss, centre), slopes, wrong, forwards)


def margins_at(loss: CandidateLoss, weights: Weights) -> Float64[np.ndarray, " k"]:
    """Measure the margins at a point on the network itself (see `Surrogate`)."""
    return _margins_of(loss, loss.outputs(weights), slope=False)


def _margins_of(
    loss: CandidateLoss, outputs: Float64[np.ndarray, "n L"], *, slope: bool
) -> Float64[np.ndarray, " k"]:
    targets = loss.dev.targets
    if targets is None:
        raise BadInput(f"task {loss.task.name!r} is answered in texts; a surrogate needs labels")
    if loss.task.is_regression:
        errors: Float64[np.ndarray, " k"] = outputs[:, 0] - (0.0 if slope else targets.numpy())
        return errors
    right = targets.numpy().astype(np.int64)[:, None]
    wrong = np.ones(outputs.shape, dtype=bool)
    np.put_along_axis(wrong, right, False, axis=1)
    apart: Float64[np.ndarray, "n L"] = outputs - np.take_along_axis(outputs, right, axis=1)
    return apart[wrong]


def _row_losses(margins: Tensor, wrong: int) -> Tensor:
    if wrong == 0:
        return margins.square_()
    if wrong > 1:
        margins = margins.view(len(margins), -1, wrong).logsumexp(-1)
    return nn.functional.softplus(margins)


def _by_steps(
    loss: CandidateLoss,
    centre: Float64[np.ndarray, "G N"],
    outputs: Float64[np.ndarray, "n L"],
    step: float,
) -> Iterator[Float64[np.ndarray, "n L"]]:
    for group in range(centre.shape[0]):
        for place in range(1, centre.shape[1]):
            moved = centre.copy()
            moved[group, place] += step
            moved[group, 0] -= step
            yield (loss.outputs(moved) - outputs) / step


class _Outputs(nn.Module):
    """A module's logits as a function of its tensors."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        logits = logits_of(run_module(self.module, inputs), self.module)
        return logits[:, None] if logits.ndim == 1 else logits


def _by_jvp(
    loss: CandidateLoss, centre: Float64[np.ndarray, "G N"]
) -> Iterator[Float64[np.ndarray, "n L"]]:
    """Differentiate forwards, one direction after the other: a second one costs as much again."""
    loss.mover.write(centre)
    model = loss.spanned.model
    for group in range(centre.shape[0]):
        for place in range(1, centre.shape[1]):
            step = loss.mover.directions(place, group)
            tangents = {f"module.{name}": it for name, it in step.items()}
            out: Float64[np.ndarray, "n L"] | None = None
            with evaluating(model.module), differentiable_attention(), torch.no_grad():
                for batch in loss.dev.batches:
                    part = _pushed(model.module, dict(batch.to(model.device).inputs), tangents)
                    if out is None:
                        out = np.empty((len(loss.dev), part.shape[1]))
                    out[batch.order.numpy()] = part
            loss.read += JVP_PASSES * len(loss.dev)
            assert out is not None
            yield out


JVP_PASSES = 3
"""What a forward-mode pass costs beside a plain one, for a transformer on a processor."""


def _pushed(
    module: nn.Module, inputs: dict[str, Tensor], tangents: dict[str, Tensor]
) -> Float64[np.ndarray, "b L"]:
    whole = _Outputs(module)
    theirs = named_tensors(whole)
    at = {name: theirs[name].detach() for name in tangents}

    def answer(tensors: dict[str, Tensor]) -> Tensor:
        found: Tensor = torch.func.functional_call(whole, tensors, (inputs,))
        return found

    with warnings.catch_warnings():
        # torch's first derivative forwards loads scripts of a kind that torch itself deprecates
        warnings.filterwarnings("ignore", "`torch.jit", DeprecationWarning)
        pushed: Tensor = torch.func.jvp(answer, (at,), (tangents,))[1]
    made: Float64[np.ndarray, "b L"] = pushed.detach().double().cpu().numpy()
    return made


@contextmanager
def differentiable_attention() -> Iterator[None]:
    """Use the one attention kernel that has forward-mode derivatives."""
    from torch.nn.attention import SDPBackend, sdpa_kernel

    with sdpa_kernel(SDPBackend.MATH):
        yield
