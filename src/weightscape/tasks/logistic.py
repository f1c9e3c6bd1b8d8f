"""Logistic regression on fewer rows than features, of several parts of the data at once.

Features are rotated onto the principal axes of a part's rows: as many numbers a row as there are
rows, and exact under an L2 penalty, for the optimum lies in the span of the rows. Along these axes
the curvature is nearly diagonal, so that L-BFGS needs few steps when it is scaled by it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_STEPS = 25  # until the scale is taken anew from where the weights are
_ROUNDS = 40  # a weak penalty on separable rows has its optimum far out; it is near enough by then
_HIDDEN = -1e30  # what is added to the logit of a label that a part does not have
UNSEEN = -1e6
"""The bias of a label that no row has, far below all others."""


@dataclass(frozen=True, slots=True)
class Part:
    """Rows that a head is fitted on: features [n, d], n < d, and label numbers [n]."""

    x: Array
    y: NDArray[np.int64]


def fit_logistic(
    parts: Sequence[Part], strengths: Sequence[float], label_count: int, *, tolerance: float
) -> Iterator[list[tuple[Array, Array]]]:
    """Give for each strength every part's head: weight [labels, d] and bias [labels].

    It minimises the sum of the rows' cross-entropies and strength / 2 * |weight|^2, where two
    labels share one weight, as scikit-learn has it; the bias is free. A label that a part lacks
    gets the bias `UNSEEN`. Each strength goes on from where the last one ended. tolerance: on each
    entry of the gradient in units of the curvature; its square is twice what is left to be won
    along that entry, in nats.
    """
    stack = _stack(parts, label_count)
    weights = np.zeros((len(parts), stack.x.shape[2], label_count))
    for strength in strengths:
        for _ in range(_ROUNDS):
            weights, ended = _descend(stack, weights, strength * stack.penalty, tolerance)
            if ended:
                break
        yield [_head(stack, i, weights[i]) for i in range(len(parts))]


def _descend(
    stack: "_Stack", weights: Array, penalty: Array, tolerance: float
) -> tuple[Array, bool]:
    """Take some steps with weights in units of the curvature; tell whether they led to the end."""
    from scipy.optimize import minimize

    scale = 1 / np.sqrt(_curvature(stack, weights, penalty))

    def objective(flat: Array) -> tuple[float, Array]:
        value, slope = _loss(stack, flat.reshape(weights.shape) * scale, penalty)
        return value, (slope * scale).ravel()

    found = minimize(
        objective, (weights / scale).ravel(), jac=True, method="L-BFGS-B",
        options={"maxiter": _STEPS, "gtol": tolerance, "ftol": 0.0},
    )  # fmt: skip
    ended = bool(np.abs(found.jac).max() <= tolerance) or not found.nit
    return found.x.reshape(weights.shape) * scale, ended


@dataclass(frozen=True, slots=True)
class _Stack:
    """Parts f, padded to one size: features x [f, n, r + 1], whose last stands for the bias.

    wanted [f, n, labels]: 1 at each row's label. real [f, n, 1]: 0 for rows that fill up.
    hidden [f, 1, labels]: far below zero for labels that a part lacks. penalty [f, r + 1, 1]: of
    strength 1. squares [f, r + 1, 1]: each feature's, summed over rows. axes: [d, r] each.
    """

    x: Array
    wanted: Array
    real: Array
    hidden: Array
    penalty: Array
    squares: Array
    axes: list[Array]


def _stack(parts: Sequence[Part], label_count: int) -> _Stack:
    turned = [_principal(part.x) for part in parts]
    rows = max(len(part.y) for part in parts)
    width = max(x.shape[1] for x, _ in turned)
    x = np.zeros((len(parts), rows, width + 1))
    wanted = np.zeros((len(parts), rows, label_count))
    real = np.zeros((len(parts), rows, 1))
    hidden = np.full((len(parts), 1, label_count), _HIDDEN)
    penalty = np.ones((len(parts), width + 1, 1))
    penalty[:, -1] = 0
    for i, (part, (features, _)) in enumerate(zip(parts, turned, strict=True)):
        count = len(part.y)
        x[i, :count, : features.shape[1]] = features
        x[i, :count, -1] = 1
        wanted[i, np.arange(count), part.y] = 1
        real[i, :count] = 1
        there = np.unique(part.y)
        hidden[i, 0, there] = 0
        # one weight for two labels is twice each of the two opposite weights that stand for it
        penalty[i] *= 2 if len(there) == 2 else 1
    squares = (x * x).sum(1)[:, :, None]
    return _Stack(x, wanted, real, hidden, penalty, squares, [axes for _, axes in turned])


def _principal(x: Array) -> tuple[Array, Array]:
    """Give rows [n, d] along their principal axes, [n, r], and these axes, [d, r]."""
    squares, left = np.linalg.eigh(x @ x.T)
    kept = squares > squares[-1] * 1e-12
    spread = np.sqrt(squares[kept])
    return left[:, kept] * spread, (x.T @ left[:, kept]) / spread


def _probabilities(stack: _Stack, weights: Array) -> tuple[Array, Array]:
    logits = stack.x @ weights + stack.hidden
    logits -= logits.max(2, keepdims=True)
    each = np.exp(logits)
    total = each.sum(2, keepdims=True)
    logits -= np.log(total)
    return each / total, logits


def _loss(stack: _Stack, weights: Array, penalty: Array) -> tuple[float, Array]:
    probabilities, logs = _probabilities(stack, weights)
    pull = penalty * weights
    value = -(logs * stack.wanted).sum() + 0.5 * (pull * weights).sum()
    wrong = (probabilities - stack.wanted) * stack.real
    return float(value), stack.x.transpose(0, 2, 1) @ wrong + pull


def _curvature(stack: _Stack, weights: Array, penalty: Array) -> Array:
    """Approximate the Hessian's diagonal [f, r + 1, 1] by the rows' mean uncertainty."""
    probabilities, _ = _probabilities(stack, weights)
    unsure = (probabilities * (1 - probabilities) * stack.real).sum((1, 2), keepdims=True)
    counted = stack.real.sum(1, keepdims=True) * (stack.hidden == 0).sum(2, keepdims=True)
    curvature: Array = np.maximum(unsure / counted * stack.squares + penalty, 1e-12)
    return curvature


def _head(stack: _Stack, part: int, weights: Array) -> tuple[Array, Array]:
    axes, there = stack.axes[part], stack.hidden[part, 0] == 0
    bias = np.where(there, weights[-1] - weights[-1, there].mean(), UNSEEN)
    return (axes @ weights[: axes.shape[1]]).T, bias
