"""Metrics at the points of a path, and their bootstrap with the same rows at every point."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from weightscape.paths.resampling import draw_shares
from weightscape.tasks.evaluation import Evaluation
from weightscape.tasks.metrics import METRICS, Answers
from weightscape.tasks.task import Task

Array = NDArray[np.float64]

_MEANS_OF_CORRECT = ("accuracy", "exact_match")

MOST_SLOW_DRAWS = 100
"""Draws of metrics that are no mean over rows: each is a call for every point."""


@dataclass(frozen=True, slots=True)
class Metrics:
    """By metric, in the task's order: values [points] and bootstrap draws [draws, points]."""

    values: Mapping[str, Array]
    drawn: Mapping[str, Array]


def draw_metrics(task: Task, evaluations: Sequence[Evaluation], draws: int, seed: int) -> Metrics:
    """Resample the held-out rows of evaluations and score them anew, the same at all points.

    Metrics that a custom task computes by itself, and those without predictions to be scored
    again, are left out; the loss is no metric here.
    """
    first = evaluations[0]
    target_of = {example.row: example.target for example in task.rows("test")}
    targets = [target_of[int(row)] for row in first.rows]
    shares = draw_shares(len(targets), draws, seed)
    values, drawn = {}, {}
    for name in task.metrics:
        if name == "loss" or name not in first.metrics:
            continue
        if name in _MEANS_OF_CORRECT and not np.isnan(first.correct).any():
            drawn[name] = shares @ np.stack([found.correct for found in evaluations]).T
        elif name in METRICS and len(first.predictions):
            given = [found.predictions for found in evaluations]
            if name == "macro_f1":
                drawn[name] = np.stack([_macro_f1(one, targets, shares) for one in given], axis=1)
            else:
                drawn[name] = _scored_anew(name, task, given, targets, draws, seed)
        else:
            continue
        values[name] = np.array([found.metrics[name] for found in evaluations])
    return Metrics(values, drawn)


def _macro_f1(given: Sequence[object], targets: Sequence[object], shares: Array) -> Array:
    """Compute macro F1 [draws] for all draws at once; it is among every classification's metrics.

    Of a label's answers `a`, targets `t` and agreements `b`, each a share of the draw's rows,
    F1 is 2 b / (a + t); labels that a draw has neither of do not count.
    """
    answers, right = np.asarray(given), np.asarray(targets)
    labels = np.union1d(answers, right)[:, None]
    is_answer, is_target = labels == answers, labels == right
    either = shares @ (is_answer.astype(np.float64) + is_target).T
    both = shares @ (is_answer & is_target).astype(np.float64).T
    scores = np.divide(2 * both, either, out=np.zeros_like(both), where=either > 0)
    found: Array = scores.sum(axis=1) / (either > 0).sum(axis=1)
    return found


def _scored_anew(
    name: str,
    task: Task,
    given: Sequence[Sequence[object]],
    targets: Sequence[object],
    draws: int,
    seed: int,
) -> Array:
    rows = len(targets)
    picks = np.random.default_rng(seed).integers(0, rows, (min(draws, MOST_SLOW_DRAWS), rows))
    metric, count = METRICS[name], len(task.labels)
    right = _as_array(targets)
    answers = [_as_array(one) for one in given]

    def score(one: NDArray[Any], pick: NDArray[np.int64]) -> float:
        return metric(Answers(one[pick].tolist(), right[pick].tolist(), None, count))

    return np.array([[score(one, pick) for one in answers] for pick in picks])


def _as_array(items: Sequence[object]) -> NDArray[Any]:
    array = np.empty(len(items), dtype=object)
    array[:] = list(items)
    return array
