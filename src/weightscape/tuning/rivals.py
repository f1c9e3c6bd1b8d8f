"""Baselines made and scored on the rows that the blend is scored on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from time import perf_counter

import numpy as np

from weightscape.tasks.evaluate import evaluate
from weightscape.tasks.finite import NonFinite
from weightscape.tasks.intervals import evaluation_intervals
from weightscape.tasks.live import LiveModel
from weightscape.tasks.task import Task
from weightscape.tuning.baselines import BASELINES, NotHad, NotMeant, Rival, Setting
from weightscape.tuning.moving import with_layers
from weightscape.tuning.part_folders import PartProgress
from weightscape.tuning.records import Baseline, Interval
from weightscape.tuning.searching import Searching
from weightscape.tuning.space_choice import weights_by_name


@dataclass(frozen=True, slots=True)
class SplitScores:
    """A model's metrics and "loss" on the rows of a split, and how far they rest on them."""

    metrics: Mapping[str, float]
    intervals: Mapping[str, Interval]


NOTHING = SplitScores({}, {})


def split_scores(model: LiveModel, task: Task, split: str, how: Searching) -> SplitScores:
    """Score a model on a split; nothing where the task has no such rows.

    Intervals are of the loss and the task's first metric.
    """
    if not task.splits.get(split):
        return NOTHING
    found = evaluate(model, task, split=split, batch=how.batch, autocast=how.autocast)
    # some metrics take milliseconds, and are drawn hundreds of times for each of ten rivals
    first = replace(task, metrics=task.metrics[:1])
    intervals = evaluation_intervals(found, first, split=split, seed=how.seed)
    return SplitScores({**found.metrics, "loss": found.loss}, intervals)


def make_baselines(
    given: Setting, names: Sequence[str] | None = None
) -> tuple[tuple[Baseline, ...], tuple[str, ...]]:
    """Make and score baselines, by default all; also say why some cannot be had.

    Raises UnknownName for a name that is not registered.
    """
    chosen = BASELINES.names() if names is None else tuple(dict.fromkeys(names))
    makers = {name: BASELINES[name] for name in chosen}
    made: list[Baseline] = []
    lacking: dict[str, list[str]] = {}
    for name, make in makers.items():
        began = perf_counter()
        part = replace(given, progress=PartProgress(given.progress, name))
        try:
            rival = make(part)
            made.append(_scored(name, rival, given, began))
        except (NotHad, NonFinite) as problem:
            if names is None and isinstance(problem, NotMeant):
                continue
            lacking.setdefault(str(problem), []).append(repr(name))
            given.progress.note(f"no baseline {name!r}: {problem}")
    notes = (f"no baseline {', '.join(names)}: {why}" for why, names in lacking.items())
    return tuple(made), tuple(notes)


def _scored(name: str, rival: Rival, given: Setting, began: float) -> Baseline:
    model = _brought_up(rival, given)
    seconds = perf_counter() - began
    dev = NOTHING if rival.saw_dev else split_scores(model, given.scored, "dev", given.how)
    test = split_scores(model, given.scored, "test", given.how)
    weights = None
    if rival.weights is not None and np.ndim(rival.weights) == 1:
        weights = weights_by_name(given.spanned.names, rival.weights.tolist())
    return Baseline(
        name=name,
        loss=dev.metrics.get("loss"),
        metrics={it: value for it, value in dev.metrics.items() if it != "loss"},
        held_out=test.metrics,
        seconds=seconds,
        why=rival.why,
        intervals=dev.intervals,
        held_out_intervals=test.intervals,
        weights=weights,
    )


def _brought_up(rival: Rival, given: Setting) -> LiveModel:
    """Make the span's one module what a baseline is, unless that is a model of its own."""
    if rival.model is not None:
        return rival.model
    spanned = given.spanned
    if rival.tensors is not None:
        spanned = spanned.with_model("baseline", rival.tensors)
        point: np.ndarray = np.array(spanned.span.vertex(spanned.span.size))
    else:
        assert rival.weights is not None
        if rival.layers is not None:
            spanned = with_layers(spanned, rival.layers)
        point = rival.weights[..., 1:]
    spanned.span.write(point, spanned.model.module)
    return spanned.model
