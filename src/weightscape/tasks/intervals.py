"""How far an evaluation's loss and metrics rest on which rows happened to be in it."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from weightscape.tasks.bootstrap import bootstrap_interval
from weightscape.tasks.evaluation import Evaluation
from weightscape.tasks.metrics import METRICS, Answers
from weightscape.tasks.task import Task

# means over rows: scored row by row once instead of in every draw
_MEANS = ("accuracy", "exact_match", "rouge_l")

Interval = tuple[float, float]


def evaluation_intervals(
    evaluation: Evaluation,
    task: Task,
    *,
    split: str = "test",
    level: float = 0.95,
    draws: int = 300,
    seed: int = 0,
) -> dict[str, Interval]:
    """Give bootstrap intervals over rows of "loss" and of every metric.

    A custom kind's own scores, of which only the mean is kept, have none.
    """
    loss = bootstrap_interval(evaluation.losses, level=level, draws=draws, seed=seed)
    found = {"loss": loss}
    target_of = {example.row: example.target for example in task.rows(split)}
    targets = [target_of[row] for row in evaluation.rows.tolist()]
    for name in evaluation.metrics:
        if name == "loss" or name not in task.metrics or not len(evaluation.predictions):
            continue
        values = _draws(name, evaluation.predictions, targets, len(task.labels), draws, seed)
        rest = (1 - level) / 2
        if np.isfinite(values).any():
            low, high = np.nanquantile(values, [rest, 1 - rest])
            found[name] = float(low), float(high)
    return found


def _draws(
    name: str,
    predictions: Sequence[Any],
    targets: Sequence[Any],
    label_count: int,
    draws: int,
    seed: int,
) -> np.ndarray[Any, np.dtype[np.float64]]:
    metric, rows = METRICS[name], len(targets)
    drawn = np.random.default_rng(seed).integers(rows, size=(draws, rows))
    if name in _MEANS:
        pairs = zip(predictions, targets, strict=True)
        each = np.array([metric(Answers([p], [t], None, label_count)) for p, t in pairs])
        return each[drawn].mean(-1)  # type: ignore[no-any-return]

    def score(at: Sequence[int]) -> float:
        chosen: Mapping[str, Any] = {
            "predictions": [predictions[i] for i in at],
            "targets": [targets[i] for i in at],
        }
        return metric(Answers(**chosen, label_count=label_count))

    return np.array([score(at) for at in drawn.tolist()])
