"""One task followed along a path: from evaluations to intervals, barrier, best point, knowledge."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from weightscape.errors import BadInput
from weightscape.paths.barrier import Threshold, default_threshold, find_barrier, given_threshold
from weightscape.paths.knowledge import Cartography, table, who_is_forgotten
from weightscape.paths.metrics import Metrics, draw_metrics
from weightscape.paths.records import BestPoint, Interval, MetricDrop, PathPoint, Series
from weightscape.paths.resampling import (
    draw_shares,
    interval_of_highest,
    interval_of_mean,
    percentiles,
)
from weightscape.tasks.evaluation import Evaluation
from weightscape.tasks.metrics import METRICS, chance_level
from weightscape.tasks.objective import PointEvaluation
from weightscape.tasks.task import Task

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a point lies: t, weights of the control points, length of the path up to it."""

    t: float
    weights: tuple[float, ...]
    length: float


@dataclass(frozen=True, slots=True)
class Judging:
    """How a path is judged: threshold (None: by what the ends have learned), and the bootstrap."""

    threshold: float | None = None
    level: float = 0.95
    draws: int = 1000
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0.5 <= self.level < 1:
            raise BadInput(f"the level of an interval lies between 0.5 and 1, not {self.level}")
        if self.draws < 20:
            raise BadInput(f"a bootstrap needs 20 draws or more, not {self.draws}")


def follow(
    task: Task,
    places: Sequence[Place],
    evaluations: Sequence[PointEvaluation],
    names: tuple[str, str],
    judging: Judging,
    dynamics: tuple[str, Cartography] | None,
) -> Series:
    """Put together what a task's evaluations at the points of a path say."""
    tests = [found.test for found in evaluations]
    losses = np.stack([test.losses for test in tests])
    t = np.array([place.t for place in places])
    shares = draw_shares(losses.shape[1], judging.draws, judging.seed)
    metrics = draw_metrics(task, tests, judging.draws, judging.seed)
    chance = chance_loss(task)
    threshold = _threshold(losses, chance, judging)
    train = table("train", [found.train for found in evaluations])
    return Series(
        task=task.name,
        labels=task.labels,
        points=_points(task, places, evaluations, shares, metrics, judging),
        barrier=find_barrier(
            losses,
            t,
            threshold,
            level=judging.level,
            draws=judging.draws,
            seed=judging.seed,
        ),
        metric_drop=_drop(task, t, metrics, judging.level),
        best=_best(task, t, evaluations, losses, shares, metrics, judging.level),
        held_out=table("test", tests),
        train=train,
        forgetting=None
        if dynamics is None
        else who_is_forgotten(
            train,
            t,
            dynamics[1],
            dynamics[0],
            level=judging.level,
            draws=judging.draws,
            seed=judging.seed,
        ),
        chance_loss=chance,
        chance_ends=ends_at_chance(task, names, (evaluations[0], evaluations[-1]), judging),
        loss_rows=losses.shape[1],
        train_rows=len(train.rows),
        rows_there=len(task.rows("test")),
    )


def chance_loss(task: Task) -> float | None:
    """Give the loss of answering by the training rows' label shares (their mean, for numbers)."""
    if task.kind not in ("classification", "pair"):
        return None
    targets = [example.target for example in task.rows("train")]
    return chance_level("loss", targets, len(task.labels))


def loss_unit(task: Task) -> str:
    """Name what a task's loss is counted in; nothing where only its function knows."""
    if task.kind == "custom":
        return ""
    return "squared" if task.is_regression else "nats"


def ends_at_chance(
    task: Task,
    names: tuple[str, str],
    ends: tuple[PointEvaluation, PointEvaluation],
    judging: Judging,
) -> tuple[str, ...]:
    """Name the ends of which neither loss nor first metric is better than chance beyond noise."""
    return tuple(
        name
        for name, end in zip(names, ends, strict=True)
        if not _has_learned(task, end.test, judging)
    )


def _has_learned(task: Task, found: Evaluation, judging: Judging) -> bool:
    chance = chance_loss(task)
    if chance is None:
        return True  # nobody can tell
    shares = draw_shares(len(found.losses), judging.draws, judging.seed)
    if interval_of_mean(found.losses, shares, judging.level)[1] < chance:
        return True
    metrics = draw_metrics(task, [found], judging.draws, judging.seed)
    name = next(iter(metrics.values), None)
    if name is None or not METRICS[name].higher_is_better:
        return False
    target_of = {example.row: example.target for example in task.rows("test")}
    targets = [target_of[int(row)] for row in found.rows]
    level = chance_level(name, targets, len(task.labels))
    low = percentiles(metrics.drawn[name], judging.level)[0]
    return level is not None and bool(low[0] > level)


def _threshold(losses: Array, chance: float | None, judging: Judging) -> Threshold:
    if judging.threshold is not None:
        return given_threshold(judging.threshold)
    return default_threshold(float((losses[0].mean() + losses[-1].mean()) / 2), chance)


def _points(
    task: Task,
    places: Sequence[Place],
    evaluations: Sequence[PointEvaluation],
    shares: Array,
    metrics: Metrics,
    judging: Judging,
) -> tuple[PathPoint, ...]:
    first, last = evaluations[0].test.loss, evaluations[-1].test.loss
    train_shares = draw_shares(len(evaluations[0].train.rows), judging.draws, judging.seed)
    bands = {name: percentiles(drawn, judging.level) for name, drawn in metrics.drawn.items()}
    return tuple(
        PathPoint(
            t=place.t,
            weights=place.weights,
            loss=found.test.loss,
            loss_interval=interval_of_mean(found.test.losses, shares, judging.level),
            train_loss=found.train.loss,
            train_loss_interval=interval_of_mean(found.train.losses, train_shares, judging.level),
            metrics=dict(found.test.metrics),
            metric_intervals={
                name: (float(band[0, i]), float(band[1, i])) for name, band in bands.items()
            },
            train_metrics=dict(found.train.metrics),
            chord=(1 - place.t) * first + place.t * last,
            validation_loss=None if found.validation is None else found.validation.loss,
            length=place.length,
        )
        for i, (place, found) in enumerate(zip(places, evaluations, strict=True))
    )


def _drop(task: Task, t: Array, metrics: Metrics, level: float) -> MetricDrop | None:
    """Measure how far the first metric falls below the worse end."""
    name = next(iter(metrics.values), None)
    if name is None:
        return None
    sign = 1.0 if METRICS[name].higher_is_better else -1.0
    values, drawn = sign * metrics.values[name], sign * metrics.drawn[name]
    drop = min(values[0], values[-1]) - values
    drops = np.minimum(drawn[:, :1], drawn[:, -1:]) - drawn
    whole = ~np.isnan(drops).any(axis=1)
    if np.isnan(drop).any() or not whole.any():
        return None
    low, high = interval_of_highest(drop, drops[whole], level)
    at = int(drop.argmax())
    return MetricDrop(name, float(drop[at]), (max(0.0, low), max(0.0, high)), float(t[at]))


def _best(
    task: Task,
    t: Array,
    evaluations: Sequence[PointEvaluation],
    losses: Array,
    shares: Array,
    metrics: Metrics,
    level: float,
) -> BestPoint:
    """Choose a point by other rows than the held-out ones, then score it on these."""
    choosing, by = _choosing_losses(evaluations)
    at = int(choosing.argmin())
    end = 0 if choosing[0] <= choosing[-1] else len(t) - 1

    def gain_over(place: int) -> tuple[float, Interval]:
        gains = losses[place] - losses[at]
        return float(gains.mean()), interval_of_mean(gains, shares, level)

    gain, interval = gain_over(end)
    beats = at not in (0, len(t) - 1) and all(gain_over(e)[1][0] > 0 for e in (0, len(t) - 1))
    metric_gain, metric_interval = _metric_gain(metrics, at, end, level)
    return BestPoint(
        t=float(t[at]),
        chosen_on=by,
        loss=evaluations[at].test.loss,
        metrics=dict(evaluations[at].test.metrics),
        gain=gain,
        gain_interval=interval,
        metric_gain=metric_gain,
        metric_gain_interval=metric_interval,
        beats_both=beats,
    )


def _choosing_losses(
    evaluations: Sequence[PointEvaluation],
) -> tuple[Array, Literal["validation", "train"]]:
    """Give what a point is chosen by: points whose validation rows nobody scored are not chosen."""
    if evaluations[0].validation is None or evaluations[-1].validation is None:
        return np.array([found.train.loss for found in evaluations]), "train"
    losses = [np.inf if it.validation is None else it.validation.loss for it in evaluations]
    return np.array(losses), "validation"


def _metric_gain(metrics: Metrics, at: int, end: int, level: float) -> tuple[float, Interval]:
    name = next(iter(metrics.values), None)
    if name is None:
        return float("nan"), (float("nan"), float("nan"))
    sign = 1.0 if METRICS[name].higher_is_better else -1.0
    drawn = sign * (metrics.drawn[name][:, at] - metrics.drawn[name][:, end])
    low, high = percentiles(drawn[~np.isnan(drawn)], level) if len(drawn) else (np.nan, np.nan)
    return float(sign * (metrics.values[name][at] - metrics.values[name][end])), (
        float(low),
        float(high),
    )
