"""Linear probes: what the frozen backbone knows, whatever became of the head."""

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from weightscape.errors import BadInput
from weightscape.progress import Progress, silent
from weightscape.tasks.batches import sample_rows
from weightscape.tasks.bootstrap import bootstrap_interval
from weightscape.tasks.evaluate import make_evaluation
from weightscape.tasks.evaluation import Evaluation
from weightscape.tasks.features import features
from weightscape.tasks.live import LiveModel
from weightscape.tasks.logistic import UNSEEN, Part, fit_logistic
from weightscape.tasks.task import Task

Array = NDArray[np.float64]
Rows = tuple[Array, NDArray[Any]]
Head = tuple[Array, Array]
Regularisation = Literal["cv", "validation"] | float

STRENGTHS = (1e4, 1e3, 1e2, 1e1, 1.0, 1e-1)
"""L2 penalties that are tried: strength / 2 * |w|^2 beside the sum of the rows' losses."""

FOLDS = 4
_LEAST = 1e-6  # the probability of a label that no training row has
TRAIN_ROWS = 1000


@dataclass(frozen=True, slots=True)
class FittedProbe:
    """A linear head on features [n, d]: logits = x @ weight.T + bias, for features as they are.

    weight [labels, d] and bias [labels]; of a regression [1, d] and [1]. regularisation: the
    strength that was given or chosen. `train` and `test`: its scores there.
    """

    weight: Array
    bias: Array
    regularisation: float
    train: "ProbeScores"
    test: "ProbeScores"


@dataclass(frozen=True, slots=True)
class ProbeScores:
    """A probe's answers on rows: losses, predictions, gold probabilities (NaN for numbers)."""

    losses: Array
    predictions: NDArray[Any]
    gold_probabilities: Array


@dataclass(frozen=True, slots=True)
class Probe:
    """A model's generalized loss on a task (Gueta et al. 2023, arXiv:2302.04863).

    loss: mean loss on held-out rows of a linear head fitted on the frozen backbone's features of
    training rows. interval: its bootstrap interval over the held-out rows. evaluation and train:
    the probe's answers there. weight [labels, d], bias [labels]: the head itself.
    """

    loss: float
    interval: tuple[float, float]
    evaluation: Evaluation
    train: Evaluation
    regularisation: float
    weight: Array
    bias: Array


def linear_probe(
    model: LiveModel,
    task: Task,
    *,
    split: str = "test",
    train_limit: int | None = TRAIN_ROWS,
    limit: int | None = None,
    batch: int = 64,
    pooling: str = "auto",
    regularisation: Regularisation = "cv",
    seed: int = 0,
    level: float = 0.95,
    draws: int = 1000,
    autocast: torch.dtype | None = None,
    progress: Progress = silent,
) -> Probe:
    """Fit a linear head on the frozen backbone's features and score it on held-out rows.

    A logistic regression, or a ridge regression where targets are numbers, on standardised
    features, each computed once. regularisation: "cv" chooses among `STRENGTHS` by
    cross-validation on the training rows, "validation" by the loss on the validation split; a
    number is taken as it is. `split` is never looked at in choosing.

    Raises BadInput for tasks of texts, and where the training rows have one label only.
    """
    if task.kind not in ("classification", "pair"):
        raise BadInput(f"a linear probe needs labels or numbers; task {task.name!r} is {task.kind}")
    if split == "train" or (split == "validation" and regularisation == "validation"):
        raise BadInput(f"the split {split!r} is what the probe is fitted on; score another one")

    def read(which: str, rows: int | None) -> tuple[Array, Array]:
        found = features(
            model, task, which, limit=rows, batch=batch, pooling=pooling,
            autocast=autocast, progress=progress,
        )  # fmt: skip
        bad = ~torch.isfinite(found).all(1)
        if bad.any():
            row = sample_rows(task, which, rows)[int(bad.nonzero()[0, 0])].row
            raise BadInput(
                f"{model.name}: the features of row {row} of task {task.name!r} are not finite"
            )
        return found.double().numpy(), targets_of(task, which, rows)

    train_x, train_y = read("train", train_limit)
    chosen_on = read("validation", train_limit) if regularisation == "validation" else None
    test_x, test_y = read(split, limit)
    fitted = fit_probe(
        train_x, train_y, test_x, test_y, label_count=len(task.labels),
        regularisation=regularisation, validation=chosen_on, seed=seed,
    )  # fmt: skip
    evaluation = probe_evaluation(task, split, limit, fitted.test)
    return Probe(
        evaluation.loss,
        bootstrap_interval(evaluation.losses, level=level, draws=draws, seed=seed),
        evaluation,
        probe_evaluation(task, "train", train_limit, fitted.train),
        fitted.regularisation,
        fitted.weight,
        fitted.bias,
    )


def targets_of(task: Task, split: str, limit: int | None) -> Array:
    """Give the targets [n] of the sampled rows of a split, in the order of `features`."""
    return np.array([float(example.target) for example in sample_rows(task, split, limit)])


def probe_evaluation(task: Task, split: str, limit: int | None, scores: ProbeScores) -> Evaluation:
    """Put a probe's scores on the sampled rows of a split as an evaluation."""
    examples = sample_rows(task, split, limit)
    right = scores.predictions == np.array([example.target for example in examples])
    nothing = np.full(len(examples), np.nan)
    return make_evaluation(
        task,
        examples,
        losses=scores.losses,
        predictions=scores.predictions.tolist(),
        gold_probabilities=scores.gold_probabilities,
        correct=nothing if task.is_regression else right.astype(np.float64),
    )


def fit_probe(
    train_x: ArrayLike,
    train_y: ArrayLike,
    test_x: ArrayLike,
    test_y: ArrayLike,
    *,
    label_count: int,
    regularisation: Regularisation = "cv",
    validation: tuple[ArrayLike, ArrayLike] | None = None,
    folds: int = FOLDS,
    seed: int = 0,
) -> FittedProbe:
    """Fit a linear head on features [n, d] and targets [n], and score it on others.

    label_count: 0 for numbers to be predicted. The test rows have no part in choosing. A label
    that no training row has gets the probability 1e-6, so that losses stay finite.

    Raises BadInput where the training rows have one label only, or for a strength that is no
    positive number.
    """
    x, y = _double(train_x), np.asarray(train_y)
    if label_count and len(np.unique(y)) < 2:
        raise BadInput(f"all {len(y)} training rows have one label; a probe needs two or more")
    if regularisation == "validation":
        if validation is None:
            raise BadInput("choosing the regularisation by validation needs validation rows")
        rated = [(_double(validation[0]), np.asarray(validation[1]))]
        strength = _best([(x, y)], rated, label_count)
    elif regularisation == "cv":
        strength = _cross_validated(x, y, label_count, folds, seed)
    else:
        strength = _checked(regularisation)
    (((weight, bias),),) = _fit([(x, y)], (strength,), label_count)
    tx, ty = _double(test_x), np.asarray(test_y)
    return FittedProbe(
        weight,
        bias,
        strength,
        _score(weight, bias, x, y, label_count),
        _score(weight, bias, tx, ty, label_count),
    )


def _cross_validated(x: Array, y: NDArray[Any], label_count: int, folds: int, seed: int) -> float:
    """Choose a strength by the loss on parts left out in turn, stratified where labels allow."""
    from sklearn.model_selection import KFold, StratifiedKFold

    rarest = int(np.unique(y, return_counts=True)[1].min()) if label_count else 0
    count = min(folds, len(y))
    if count < 2:
        return STRENGTHS[len(STRENGTHS) // 2]
    kind = StratifiedKFold if rarest >= count else KFold
    parts = [
        (fitted, left)
        for fitted, left in kind(count, shuffle=True, random_state=seed).split(x, y)
        if not label_count or len(np.unique(y[fitted])) > 1
    ]
    if not parts:
        return STRENGTHS[len(STRENGTHS) // 2]
    rated = [(x[left], y[left]) for _, left in parts]
    return _best([(x[fitted], y[fitted]) for fitted, _ in parts], rated, label_count)


def _best(parts: Sequence[Rows], rated: Sequence[Rows], label_count: int) -> float:
    """Choose the strength whose heads, fitted on parts, have the least loss on other rows."""
    losses = [
        sum(
            _score(*head, *other, label_count).losses.sum()
            for head, other in zip(heads, rated, strict=True)
        )
        for heads in _fit(parts, STRENGTHS, label_count, rough=True)
    ]
    return STRENGTHS[int(np.argmin(losses))]


def _fit(
    parts: Sequence[Rows], strengths: Sequence[float], label_count: int, *, rough: bool = False
) -> Iterator[list[Head]]:
    """Fit each part on standardised features; give, for each strength, heads for them as they are.

    rough: near enough to compare strengths.
    """
    scales = [_scale(x) for x, _ in parts]
    standard = [
        ((x - mean) / spread, y) for (x, y), (mean, spread) in zip(parts, scales, strict=True)
    ]
    for heads in _fit_standard(standard, strengths, label_count, rough=rough):
        scaled = []
        for (weight, bias), (mean, spread) in zip(heads, scales, strict=True):
            scaled.append((weight / spread, bias - (weight / spread) @ mean))
        yield scaled


def _fit_standard(
    parts: Sequence[Rows], strengths: Sequence[float], label_count: int, *, rough: bool
) -> Iterator[list[Head]]:
    if label_count and all(len(x) < x.shape[1] for x, _ in parts):
        wide = [Part(x, y.astype(np.int64)) for x, y in parts]
        yield from fit_logistic(wide, strengths, label_count, tolerance=3e-3 if rough else 1e-5)
        return
    each: list[Iterator[Head]] = [
        _logistic(x, y.astype(np.int64), strengths, label_count, 1e-4 if rough else 1e-5)
        if label_count
        else _ridge(x, y, strengths)
        for x, y in parts
    ]
    yield from (list(heads) for heads in zip(*each, strict=True))


def _scale(x: Array) -> tuple[Array, Array]:
    mean, spread = x.mean(0), x.std(0)
    spread[spread < 1e-8 * max(1.0, float(np.abs(mean).max()))] = 1.0  # constant: says nothing
    return mean, spread


def _ridge(x: Array, y: NDArray[Any], strengths: Sequence[float]) -> Iterator[Head]:
    from sklearn.linear_model import Ridge

    for strength in strengths:
        fitted = Ridge(alpha=strength).fit(x, y)
        yield np.atleast_2d(fitted.coef_), np.atleast_1d(fitted.intercept_)


def _logistic(
    x: Array, y: NDArray[np.int64], strengths: Sequence[float], label_count: int, tolerance: float
) -> Iterator[Head]:
    """Fit by L-BFGS, each from where the last one ended; as fast as it gets with many rows."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    fitted = LogisticRegression(tol=tolerance, max_iter=500, warm_start=True)
    for strength in strengths:
        with warnings.catch_warnings():
            # a weak penalty on separable rows has its optimum far out; it is near enough by then
            warnings.simplefilter("ignore", ConvergenceWarning)
            fitted.set_params(C=1 / strength).fit(x, y)
        coefficients, intercepts = fitted.coef_, fitted.intercept_
        if len(fitted.classes_) == 2:  # one row, for the second label against the first
            coefficients = np.concatenate([-coefficients / 2, coefficients / 2])
            intercepts = np.concatenate([-intercepts / 2, intercepts / 2])
        weight = np.zeros((label_count, x.shape[1]))
        bias = np.full(label_count, UNSEEN)
        weight[fitted.classes_], bias[fitted.classes_] = coefficients, intercepts
        yield weight, bias


def _score(weight: Array, bias: Array, x: Array, y: NDArray[Any], label_count: int) -> ProbeScores:
    answers = x @ weight.T + bias
    if not label_count:
        numbers = answers[:, 0]
        return ProbeScores((numbers - y) ** 2, numbers, np.full(len(y), np.nan))
    shifted = answers - answers.max(1, keepdims=True)
    logs = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
    gold = logs[np.arange(len(y)), y.astype(np.int64)]
    gold = np.where(bias[y.astype(np.int64)] == UNSEEN, np.log(_LEAST), gold)
    return ProbeScores(-gold, answers.argmax(1), np.exp(gold))


def _checked(strength: Any) -> float:
    number = isinstance(strength, int | float) and not isinstance(strength, bool)
    if not number or not np.isfinite(strength) or strength <= 0:
        raise BadInput(
            f"regularisation must be 'cv', 'validation' or a positive number, got {strength!r}"
        )
    return float(strength)


def _double(values: ArrayLike) -> Array:
    if isinstance(values, torch.Tensor):
        values = values.detach().cpu().double().numpy()
    return np.asarray(values, dtype=np.float64)
