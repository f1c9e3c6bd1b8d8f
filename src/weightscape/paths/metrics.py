"""Metrics at the points of a path, and their bootstrap with the same rows at every point."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

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
    names = [name for name in task.metrics if name != "loss" and name in first.metrics]
    target_of = {example.row: example.target for example in task.rows("test")}
    values, drawn = {}, {}
    for name in names:
        if name in _MEANS_OF_CORRECT and not np.isnan(first.correct).any():
            shares = draw_shares(len(first.rows), draws, seed)
            drawn[name] = shares @ np.stack([found.correct for found in evaluations]).T
        elif name in METRICS and len(first.predictions):
            targets = [target_of[int(row)] for row in first.rows]
            drawn[name] = _scored_anew(name, task, evaluations, targets, draws, seed)
        else:
            continue
        values[name] = np.array([found.metrics[name] for found in evaluations])
    return Metrics(values, drawn)


def _scored_anew(
    name: str,
    task: Task,
    evaluations: Sequence[Evaluation],
    targets: Sequence[object],
    draws: int,
    seed: int,
) -> Array:
    rows = len(targets)
    picks = np.random.default_rng(seed).integers(0, rows, (min(draws, MOST_SLOW_DRAWS), rows))
    metric = METRICS[name]
    right = _as_array(targets)
    given = [_as_array(found.predictions) for found in evaluations]
    return np.array(
        [
            [
                metric(
                    Answers(answers[pick].tolist(), right[pick].tolist(), None, len(task.labels))
                )
                for answers in given
            ]
            for pick in picks
        ]
    )


def _as_array(items: Sequence[object]) -> NDArray[np.object_]:
    array = np.empty(len(items), dtype=object)
    array[:] = list(items)
    return array
