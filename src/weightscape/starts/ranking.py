"""From runs to a ranking: scores, gains over the base, and whether they are beyond noise.

Everything is paired: candidates are compared on rows that all of them were scored on in the same
repeats, and intervals are bootstraps over those rows.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from weightscape.starts.halving import Place, Search
from weightscape.starts.outcome import Outcome, metric_of
from weightscape.starts.records import Interval, RankedStart, Run
from weightscape.starts.scoring import ProbeScore
from weightscape.tasks.metrics import METRICS
from weightscape.tasks.task import Task

Array = Float64[np.ndarray, "..."]


@dataclass(frozen=True, slots=True)
class Judging:
    """How sure is sure: the level of intervals, and the draws of the bootstrap."""

    level: float = 0.95
    draws: int = 500
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Score:
    """A candidate's first metric over its runs, and its gain over the base, higher is better.

    beats: whether its loss is lower than the base's beyond noise.
    """

    value: float
    interval: Interval
    gain: float | None = None
    gain_interval: Interval | None = None
    beats: bool = False


def is_better_higher(task: Task) -> bool:
    """Tell which way the task's first metric goes."""
    return METRICS[metric_name(task)].higher_is_better


def metric_name(task: Task) -> str:
    """Name a task's first metric, the loss where it has none."""
    return task.metrics[0] if task.metrics else "loss"


def score(
    search: Search, name: str, base: str | None, task: Task, judging: Judging, rivals: int
) -> Score | None:
    """Score a candidate on its own runs, and against the base on the cells both have.

    rivals: how many candidates are compared with the base; the best of many beats it by chance
    more often than one does, so that `beats` asks for a level as much higher (Bonferroni).
    """
    mine = search.runs.get(name, {})
    if not mine:
        return None
    places = sorted(mine)
    drawn = _draws(mine, places, judging)
    value, values = _metric(mine, places, task, drawn)
    interval = _interval(values, judging.level)
    if base is None or base == name or not (shared := search.common([name, base])):
        return Score(value, interval)
    theirs = search.runs[base]
    drawn = _draws(theirs, shared, judging)
    ours, base_s = _metric(mine, shared, task, drawn), _metric(theirs, shared, task, drawn)
    sign = 1.0 if is_better_higher(task) else -1.0
    gain = sign * (ours[0] - base_s[0])
    gain_interval = _interval(sign * (ours[1] - base_s[1]), judging.level)
    folds = max(sum(place[0] == repeat for place in shared) for repeat, _ in shared)
    with np.errstate(invalid="ignore"):  # two infinite losses do not differ, nor can it be said
        lower = search.row_losses(base, shared) - search.row_losses(name, shared)
    return Score(value, interval, gain, gain_interval, _beyond_noise(lower, judging, rivals, folds))


def runs_of(search: Search, name: str, task: Task, steps: int) -> tuple[Run, ...]:
    """Tell a candidate's runs."""
    return tuple(
        Run(place[0], place[1], steps, found.loss, found.metrics(task))
        for place, found in sorted(search.runs.get(name, {}).items())
    )


def order(
    ranked: Sequence[RankedStart],
    search: Search,
    probes: Mapping[str, ProbeScore],
    first: str | None = None,
) -> list[RankedStart]:
    """Put `first` first, those that were left, then those dropped last; the lower loss in each.

    Candidates without runs come last, by their probe.
    """
    left = [it.candidate.name for it in ranked if it.runs and it.dropped_in is None]
    shared = search.common(left) if left else []

    def key(it: RankedStart) -> tuple[int, float, float]:
        name = it.candidate.name
        probe = probes[name].loss
        if name == first:
            return (-1, 0.0, probe)
        if not it.runs:
            return (2**31, 0.0, probe)
        if it.dropped_in is None:
            return (0, search.loss(name, shared) if shared else probe, probe)
        return (2**30 - it.dropped_in, search.loss(name, sorted(search.runs[name])), probe)

    return sorted(ranked, key=key)


def _numbers(mine: Mapping[Place, Outcome], places: Sequence[Place]) -> list[int]:
    """List the numbers of all rows that were scored, in order."""
    return sorted({row for place in places for row in mine[place].rows.tolist()})


def _draws(mine: Mapping[Place, Outcome], places: Sequence[Place], judging: Judging) -> Array:
    """Draw how often each scored row counts [draws, rows], by its place among sorted numbers."""
    count = len(_numbers(mine, places))
    generator = np.random.default_rng(judging.seed)
    return generator.multinomial(count, np.full(count, 1 / count), size=judging.draws)


def _metric(
    mine: Mapping[Place, Outcome], places: Sequence[Place], task: Task, drawn: Array
) -> tuple[float, Array]:
    """Give the first metric over all held-out rows of a repeat, mean over repeats; and its draws.

    Rows are put together first, so that a metric that is no mean (F1, a correlation) is of all of
    them and not of folds of a few rows.
    """
    numbers = np.array(_numbers(mine, places))
    repeats = sorted({repeat for repeat, _ in places})
    total, totals = 0.0, np.zeros(len(drawn))
    for repeat in repeats:
        parts = [mine[place] for place in places if place[0] == repeat]
        at = np.searchsorted(numbers, np.concatenate([part.rows for part in parts]))
        total += metric_of(metric_name(task), parts, task)
        for i, times in enumerate(drawn[:, at]):
            some = times.any()
            totals[i] += metric_of(metric_name(task), parts, task, times) if some else np.nan
    return total / len(repeats), totals / len(repeats)


def _interval(values: Array, level: float) -> Interval:
    known = values[np.isfinite(values)]
    if not len(known):
        return (float("nan"), float("nan"))
    rest = (1 - level) / 2
    low, high = np.quantile(known, [rest, 1 - rest])
    return float(low), float(high)


def _beyond_noise(lower: Array, judging: Judging, rivals: int, folds: int) -> bool:
    """Tell whether the mean of paired differences is above zero, for the best of some rivals.

    Folds are fitted on one another's rows, so that their scores go together; the variance is
    corrected for that (Nadeau and Bengio 2003, doi:10.1023/A:1024068626366).
    """
    from scipy.stats import t

    if len(lower) < 3 or not np.isfinite(lower).all():
        return False
    together = 1.0 + folds / (folds - 1) if folds > 1 else 1.0
    error = float(lower.std(ddof=1)) * np.sqrt(together / len(lower))
    tail = (1 - judging.level) / 2 / max(rivals, 1)
    return bool(lower.mean() > t.ppf(1 - tail, len(lower) - 1) * error)
