"""The points of a region's groups, each scored on every task."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float64

from weightscape.regions.generalized_loss import GeneralizedLoss, point_loss
from weightscape.regions.noise import NoiseName, noisy_models
from weightscape.regions.records import GroupName, RegionPoint
from weightscape.tasks.evaluation import Evaluation

GROUPS: tuple[GroupName, ...] = ("in", "hull", "ex")


class ScoredPoints:
    """Scores points of a group's span, and keeps them as records.

    level, draws, seed: of each loss's bootstrap interval over held-out rows.
    """

    def __init__(self, losses: GeneralizedLoss, *, level: float, draws: int, seed: int) -> None:
        self.points: list[RegionPoint] = []
        self._losses = losses
        self._level, self._draws, self._seed = level, draws, seed

    def at(self, group: GroupName, name: str, weights: Float64[np.ndarray, " N"]) -> RegionPoint:
        """Score one point, which is not kept."""
        around = self._losses.group
        scores = self._losses.at(weights, name)
        return self._record(group, name, around.by_name(weights), around.distance(weights), scores)

    def add_models(self, group: GroupName, numbers: Sequence[int]) -> None:
        """Score models of the span, by their positions."""
        around = self._losses.group
        for number in numbers:
            name = around.spanned.names[number]
            self.points.append(self.at(group, name, around.vertex(number)))

    def add_hull(self, sampled: Float64[np.ndarray, "S M"]) -> None:
        """Score points of the members' hull, given by their weights."""
        for number, row in enumerate(sampled, 1):
            weights = np.zeros(len(self._losses.group.spanned.names))
            weights[: len(row)] = row
            self.points.append(self.at("hull", f"hull {number}", weights))

    def add_noise(self, kind: NoiseName, count: int) -> None:
        """Score models that nobody trained (see `noisy_models`) as the group outside."""
        for spanned, name, distance in noisy_models(self._losses.group, kind, count, self._seed):
            scores = self._losses.of_last(spanned, name)
            self.points.append(self._record("ex", name, {}, distance, scores))

    def losses(self) -> dict[GroupName, Float64[np.ndarray, "P T"]]:
        """Give the losses of each group's points on each task."""
        return {
            group: np.array(
                [
                    [score.loss for score in point.scores.values()]
                    for point in self.points
                    if point.group == group
                ]
            )
            for group in GROUPS
        }

    def _record(
        self,
        group: GroupName,
        name: str,
        weights: dict[str, float],
        distance: float,
        evaluations: Sequence[Evaluation],
    ) -> RegionPoint:
        scores = {
            objective.task.name: point_loss(
                found, level=self._level, draws=self._draws, seed=self._seed
            )
            for objective, found in zip(self._losses.objectives, evaluations, strict=True)
        }
        return RegionPoint(name, group, weights, distance, scores)
