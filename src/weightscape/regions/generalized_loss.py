"""The generalized loss: how good a backbone is for a task once its head is fitted anew."""

from collections.abc import Sequence
from math import isfinite

import numpy as np
from jaxtyping import Float64

from weightscape.errors import BadInput
from weightscape.paths.resampling import draw_shares, interval_of_mean
from weightscape.progress import Advance
from weightscape.regions.groups import Group
from weightscape.regions.records import PointLoss
from weightscape.tasks.batches import sample_rows
from weightscape.tasks.evaluation import Evaluation
from weightscape.tasks.finite import NonFinite
from weightscape.tasks.objective import Objective, Scoring
from weightscape.tasks.spanning import SpannedModels
from weightscape.tasks.task import Task

Weights = Float64[np.ndarray, " N"]


class GeneralizedLoss:
    """Tasks at points of a group's span, a linear head fitted at each (Gueta et al. 2023).

    The head is fitted on training rows and scored on held-out ones; see `Objective`, which keeps
    what it has evaluated. Nothing is chosen by these losses, so no validation rows are read. Points
    are given by weights of all models of the span, of sum 1.
    """

    def __init__(self, group: Group, objectives: Sequence[Objective], advance: Advance) -> None:
        self.group = group
        self.objectives = tuple(objectives)
        self.advance = advance
        self._elsewhere = 0

    @property
    def evaluated(self) -> int:
        """Count the points that were evaluated anew, once for each task."""
        return self._elsewhere + sum(objective.evaluated for objective in self.objectives)

    def at(self, weights: Weights, where: str) -> list[Evaluation]:
        """Score a point on the held-out rows of every task."""
        return [self.on(task, weights, where) for task in range(len(self.objectives))]

    def on(self, task: int, weights: Weights, where: str) -> Evaluation:
        """Score a point on the held-out rows of one task."""
        point = self.group.spanned.span.coefficients(weights.tolist())
        found = self.objectives[task].at(point, where, validation=False)
        self.advance(1)
        return found.test

    def beyond(self, task: int, weights: Weights, where: str) -> float | None:
        """Give the loss far outside of the group; None if nothing finite comes out there."""
        try:
            loss = self.on(task, weights, where).loss
        except NonFinite:
            self.advance(1)
            return None
        return loss if isfinite(loss) else None

    def of_last(self, spanned: SpannedModels, where: str) -> list[Evaluation]:
        """Score the last model of an extended span on every task."""
        found = []
        for objective in self.objectives:
            moved = objective.moved_to(spanned)
            point = spanned.span.vertex(spanned.span.size)
            found.append(moved.at(point, where, validation=False).test)
            self._elsewhere += moved.evaluated
            self.advance(1)
        return found


def point_loss(
    evaluation: Evaluation, *, level: float = 0.95, draws: int = 1000, seed: int = 0
) -> PointLoss:
    """Give the loss, metrics, and the loss's bootstrap interval over the held-out rows.

    The same seed draws the same rows for every point of a task.
    """
    shares = draw_shares(len(evaluation.losses), draws, seed)
    interval = interval_of_mean(evaluation.losses, shares, level)
    return PointLoss(evaluation.loss, interval, dict(evaluation.metrics))


def check_probed(task: Task, scoring: Scoring) -> None:
    """Raise BadInput where no head can be fitted for a task on the rows that are drawn.

    That is for texts to be written, for one class, and where held-out rows have labels that no
    training row has.
    """
    if task.kind not in ("classification", "pair"):
        raise BadInput(
            f"a generalized loss needs labels or numbers; task {task.name!r} is {task.kind}"
        )
    if task.is_regression:
        return
    train, held_out = (
        {row.target for row in sample_rows(task, split, limit)}
        for split, limit in (("train", scoring.train_limit), ("test", scoring.limit))
    )
    if len(train) < 2:
        raise BadInput(
            f"all training rows of task {task.name!r} have one label; a head needs two or more"
        )
    missing = sorted(held_out - train)
    if missing:
        labels = ", ".join(repr(task.labels[int(label)]) for label in missing)
        raise BadInput(
            f"no training row of task {task.name!r} that was drawn ({scoring.train_limit or 'all'})"
            f" has the label {labels}; take more training rows, or leave its rows out"
        )
