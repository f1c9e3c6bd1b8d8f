"""From what was found along a path to the answers that are printed, kept and drawn."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from weightscape import answers
from weightscape.paths.records import (
    BendsTrained,
    Forgetting,
    Interval,
    Knowledge,
    PathPoint,
    PathResult,
    PlaneResult,
    Series,
    Traits,
)
from weightscape.report import path_words

Known = tuple[float | None, float | None]


def path(result: PathResult, folder: Path | None = None) -> answers.PathAnswer:
    """Turn a path into its answer; numbers that are not finite become null."""
    first, *rest = (_series(it, result) for it in result.series)
    ends = result.ends
    return answers.PathAnswer(
        **first,
        a=ends.names[0],
        b=ends.names[1],
        curve=result.curve,
        bends=result.bends,
        head=result.head,
        head_reason=result.head_reason,
        space=result.space,
        distance=ends.l2,
        distance_per_parameter=ends.l2_per_parameter,
        cosine=_known(ends.cosine),
        delta_cosine=_known(ends.delta_cosine),
        base=ends.base,
        parameters=ends.parameters,
        moving_parameters=ends.moving_parameters,
        length=result.length,
        also=[answers.SeriesAnswer(**it) for it in rest],
        training=None if result.training is None else _bends(result.training),
        seconds=round(result.seconds, 1),
        folder=None if folder is None else str(folder),
    )


def plane(result: PlaneResult, folder: Path | None = None) -> answers.PlaneAnswer:
    """Turn a plane into its answer; numbers that are not finite become null."""
    return answers.PlaneAnswer(
        models=list(result.names),
        task=result.task,
        head=result.head,
        head_reason=result.head_reason,
        loss_unit=result.loss_unit,
        space=result.space,
        summary=path_words.plane_words(result),
        x=result.x.tolist(),
        y=result.y.tolist(),
        positions=[(float(x), float(y)) for x, y in result.positions],
        losses=_grid(result.losses),
        train_losses=_grid(result.train_losses),
        metrics={name: _grid(it) for name, it in result.metrics.items()},
        train_metrics={name: _grid(it) for name, it in result.train_metrics.items()},
        ends_loss=[_known(it) for it in result.ends_loss],
        ends_metrics={k: [_known(it) for it in v] for k, v in result.ends_metrics.items()},
        chance_loss=_known(result.chance_loss),
        rows=result.loss_rows,
        train_rows=result.train_rows,
        seconds=round(result.seconds, 1),
        folder=None if folder is None else str(folder),
    )


def _series(series: Series, result: PathResult) -> dict[str, Any]:
    barrier, best, drop = series.barrier, series.best, series.metric_drop
    return {
        "task": series.task,
        "labels": list(series.labels),
        "summary": path_words.series_words(series, result),
        "points": [_point(it) for it in series.points],
        "barrier": _known(barrier.height),
        "barrier_interval": _interval(barrier.interval),
        "barrier_at": barrier.at,
        "verdict": barrier.verdict,
        "threshold": _known(barrier.threshold),
        "threshold_rule": barrier.threshold_rule,
        "metric_drop": None
        if drop is None
        else answers.MetricDropAnswer(
            metric=drop.metric,
            height=_known(drop.height),
            interval=_interval(drop.interval),
            at=drop.at,
        ),
        "best": answers.BestPointAnswer(
            t=best.t,
            chosen_on=best.chosen_on,
            loss=_known(best.loss),
            metrics=_all_known(best.metrics),
            gain=_known(best.gain),
            gain_interval=_interval(best.gain_interval),
            metric_gain=_known(best.metric_gain),
            metric_gain_interval=_interval(best.metric_gain_interval),
            beats_both=best.beats_both,
        ),
        "forgotten": [list(it) for it in series.train.forgotten],
        "gained": [list(it) for it in series.train.gained],
        "knowledge": answers.KnowledgeTablesAnswer(
            train=_knowledge(series.train), held_out=_knowledge(series.held_out)
        ),
        "forgetting": None if series.forgetting is None else _forgetting(series.forgetting),
        "chance_loss": _known(series.chance_loss),
        "chance_ends": list(series.chance_ends),
        "rows": series.loss_rows,
        "train_rows": series.train_rows,
    }


def _point(point: PathPoint) -> answers.PathPointAnswer:
    return answers.PathPointAnswer(
        t=point.t,
        loss=_known(point.loss),
        loss_interval=_interval(point.loss_interval),
        train_loss=_known(point.train_loss),
        train_loss_interval=_interval(point.train_loss_interval),
        validation_loss=_known(point.validation_loss),
        metrics=_all_known(point.metrics),
        metric_intervals={k: _interval(it) for k, it in point.metric_intervals.items()},
        train_metrics=_all_known(point.train_metrics),
        chord=_known(point.chord),
        length=point.length,
        weights=list(point.weights),
    )


def _knowledge(table: Knowledge) -> answers.KnowledgeAnswer:
    return answers.KnowledgeAnswer(
        rows=[int(it) for it in table.rows],
        correct=[
            "".join("?" if math.isnan(it) else "1" if it > 0.5 else "0" for it in line)
            for line in table.correct
        ],
        forgotten=[list(it) for it in table.forgotten],
        gained=[list(it) for it in table.gained],
    )


def _forgetting(found: Forgetting) -> answers.ForgettingAnswer:
    return answers.ForgettingAnswer(
        forgotten=[_traits(it) for it in found.forgotten],
        rest=_traits(found.rest),
        auc=_known(found.auc),
        auc_interval=_interval(found.auc_interval),
        dynamics=found.dynamics,
    )


def _traits(traits: Traits) -> answers.TraitsAnswer:
    return answers.TraitsAnswer(
        examples=traits.examples,
        confidence=_known(traits.confidence),
        variability=_known(traits.variability),
        flips=_known(traits.flips),
    )


def _bends(training: BendsTrained) -> answers.BendsAnswer:
    return answers.BendsAnswer(
        chosen_step=training.chosen_step,
        validation=[(step, _known(loss)) for step, loss in training.validation],
        losses=[_known(float(it)) for it in training.losses],
        folders=list(training.folders),
        arguments=dict(training.arguments),
    )


def _known(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else float(value)


def _interval(interval: Interval) -> Known:
    return _known(interval[0]), _known(interval[1])


def _all_known(values: Mapping[str, float]) -> dict[str, float | None]:
    return {name: _known(value) for name, value in values.items()}


def _grid(values: NDArray[np.float64]) -> list[list[float | None]]:
    rows: Sequence[Sequence[float]] = np.asarray(values, dtype=np.float64).tolist()
    return [[_known(it) for it in row] for row in rows]
