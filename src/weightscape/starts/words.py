"""What a ranking says, in a sentence."""

from weightscape.starts.halving import Search
from weightscape.starts.ranking import Score, is_better_higher, metric_name
from weightscape.starts.records import Candidate
from weightscape.starts.scoring import ProbeScore
from weightscape.tasks.task import Task

_SHARES = ("accuracy", "macro_f1", "exact_match", "rouge_l")
"""Metrics from 0 to 1 that people read in points of a hundred."""


def explain(
    candidate: Candidate,
    found: Score | None,
    task: Task,
    base: str | None,
    search: Search,
    probe: ProbeScore,
    rivals: int,
) -> str:
    """Say what to start from and why, and how sure that is."""
    named = candidate.name if candidate.kind in ("base", "model") else f"the {candidate.name}"
    start = f"start from {named} ({candidate.why})"
    places = sorted(search.runs.get(candidate.name, {}))
    if found is None or not places:
        few = "too few short runs were" if any(search.runs.values()) else "no short run was"
        return f"{start}: the least probe loss, {probe.loss:.3f}; {few} made"
    counts = ((len(places), "run"), (len({repeat for repeat, _ in places}), "seed"))
    many = (f"{count} {what}{'' if count == 1 else 's'}" for count, what in counts)
    runs = ", ".join(many)
    if candidate.kind == "base":
        found_better = "nothing had a held-out loss that is lower by more than a standard error"
        return f"start from the base, {candidate.name}: {found_better}; {runs}"
    metric = metric_name(task)
    if found.gain is None or found.gain_interval is None:
        value = value_in_words(metric, found.value)
        return f"{start}: the least held-out loss, {metric} {value}; {runs}"
    worse = "" if is_better_higher(task) else " less"
    sure = f"; {_unsure(found.gain_interval, rivals)}"
    if found.beats:  # which is told by the loss, that few rows tell more of than of their labels
        seen = found.gain_interval[0] > 0 or metric == "loss"
        sure = "" if seen else f"; beyond noise in loss, not in {metric}"
    gain = _gain(metric, found.gain, found.gain_interval)
    return f"{start}: {gain}{worse} {metric} over the base {base}; {runs}{sure}"


def _unsure(interval: tuple[float, float], rivals: int) -> str:
    if interval[0] > 0:
        chosen = f"the best of {rivals} by the same rows can look so by chance"
        return f"likely better than the base, by less than that: {chosen}"
    return "not beyond noise, the base may do as well"


def _gain(metric: str, gain: float, interval: tuple[float, float]) -> str:
    low, high = interval
    if metric not in _SHARES:
        return f"{gain:+.3g} [{low:+.3g}, {high:+.3g}]"
    return f"{100 * gain:+.1f} points [{100 * low:+.1f}, {100 * high:+.1f}] of"


def value_in_words(metric: str, value: float) -> str:
    """Write a metric's value as people read it.

    >>> value_in_words("accuracy", 0.731), value_in_words("loss", 0.2)
    ('73.1 %', '0.2')
    """
    return f"{100 * value:.1f} %" if metric in _SHARES else f"{value:.3g}"
