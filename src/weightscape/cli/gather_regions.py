"""From what was found of a region to the answer that is printed, kept and drawn."""

import math
from collections.abc import Mapping
from pathlib import Path

from weightscape import answers_tasks as answers
from weightscape.regions.records import (
    Dominance,
    GroupName,
    HullPlace,
    PairProfile,
    PointLoss,
    Radius,
    RegionPoint,
    RegionResult,
)
from weightscape.report import region_words

Known = tuple[float | None, float | None]


def region(result: RegionResult, folder: Path | None = None) -> answers.RegionResultAnswer:
    """Turn a region into its answer; numbers that are not finite become null."""
    named = region_words.group_words(result)
    return answers.RegionResultAnswer(
        label=result.label,
        models=list(result.models),
        outside=result.outside,
        base=result.base,
        tasks=list(result.tasks),
        sampler=result.sampler,
        summary=region_words.region_words(result),
        groups=[_group(it, named[it], result) for it in region_words.GROUPS],
        centroid=_point(result.centroid),
        p_b=[_dominance(it) for it in result.dominances],
        radii=[_radius(it) for it in result.radii],
        pairs=[_pair(it) for it in result.pairs],
        places=[place(it) for it in result.places],
        rows=result.rows,
        train_rows=result.train_rows,
        evaluated=result.evaluated,
        seconds=round(result.seconds, 1),
        notes=list(result.notes),
        folder=None if folder is None else str(folder),
    )


def place(found: HullPlace) -> answers.PlaceAnswer:
    """Turn where a model lies into its answer."""
    return answers.PlaceAnswer(
        name=found.name,
        place=found.place,
        distance=found.distance,
        typical=found.typical,
        weights=dict(found.weights),
    )


def finite(value: float | None) -> float | None:
    """Keep a number that JSON has; others become null."""
    return None if value is None or not math.isfinite(value) else float(value)


def interval(ends: tuple[float | None, float | None]) -> Known:
    """Keep the ends that JSON has."""
    return finite(ends[0]), finite(ends[1])


def by_name(values: Mapping[str, float]) -> dict[str, float | None]:
    """Keep the numbers that JSON has, by name."""
    return {name: finite(value) for name, value in values.items()}


def _group(name: GroupName, about: str, result: RegionResult) -> answers.RegionGroupAnswer:
    points = [it for it in result.points if it.group == name]
    losses = {
        task: finite(_mean([it.scores[task].loss for it in points if task in it.scores]))
        for task in result.tasks
    }
    return answers.RegionGroupAnswer(
        name=name, about=about, losses=losses, points=[_point(it) for it in points]
    )


def _mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else math.nan


def _point(point: RegionPoint) -> answers.RegionPointAnswer:
    return answers.RegionPointAnswer(
        name=point.name,
        weights=dict(point.weights),
        distance=point.distance,
        scores={task: _score(it) for task, it in point.scores.items()},
    )


def _score(score: PointLoss) -> answers.RegionScoreAnswer:
    return answers.RegionScoreAnswer(
        loss=finite(score.loss), interval=interval(score.interval), metrics=by_name(score.metrics)
    )


def _dominance(found: Dominance) -> answers.DominanceAnswer:
    return answers.DominanceAnswer(
        better=found.better,
        worse=found.worse,
        task=found.task,
        value=finite(found.value),
        interval=interval(found.interval),
    )


def _radius(radius: Radius) -> answers.RadiusAnswer:
    found = finite(radius.value)
    return answers.RadiusAnswer(
        task=radius.task,
        threshold=finite(radius.threshold),
        threshold_rule=radius.threshold_rule,
        value=found,
        interval=interval(radius.interval),
        unit=radius.unit,
        times=found / radius.unit if found is not None and radius.unit > 0 else None,
        rays=[
            answers.RayAnswer(
                towards=ray.towards,
                distances=list(ray.distances),
                losses=[finite(it) for it in ray.losses],
                crosses=finite(ray.crosses),
            )
            for ray in radius.rays
        ],
    )


def _pair(pair: PairProfile) -> answers.PairAnswer:
    return answers.PairAnswer(
        one=pair.one,
        other=pair.other,
        relation=pair.relation,
        alphas=list(pair.alphas),
        losses={task: [finite(it) for it in losses] for task, losses in pair.losses.items()},
    )
