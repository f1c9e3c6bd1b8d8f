"""What was found of starting points, in sentences that terminal, page and pictures share."""

from weightscape.report.words import count, shorten
from weightscape.starts.records import Interval, RankedStart, StartResult

SHARES = ("accuracy", "macro_f1", "exact_match", "rouge_l")
"""Metrics from 0 to 1 that people read in points of a hundred."""


def points(value: float, *, signed: bool = False) -> str:
    """Write a share in points (hundredths), as people speak of accuracies.

    >>> points(0.8312), points(0.031, signed=True)
    ('83.1', '+3.1')
    """
    return f"{100 * value:{'+' if signed else ''}.1f}"


def in_points(metric: str) -> bool:
    """Tell whether a metric is a share, best read in points."""
    return metric in SHARES


def score_words(value: float | None, interval: Interval | None, metric: str) -> str:
    """Write a score with its interval."""
    if value is None:
        return ""
    write = points if in_points(metric) else "{:.4g}".format
    spread = "" if interval is None else f" ({write(interval[0])} to {write(interval[1])})"
    return f"{write(value)}{spread}"


def gain_words(start: RankedStart, metric: str) -> str:
    """Write a gain over the base with its interval."""
    if start.gain is None:
        return ""
    signed = (lambda it: points(it, signed=True)) if in_points(metric) else "{:+.4g}".format
    low_high = start.gain_interval
    spread = "" if low_high is None else f" ({signed(low_high[0])} to {signed(low_high[1])})"
    return f"{signed(start.gain)}{spread}"


def fate_words(start: RankedStart, result: StartResult) -> str:
    """Say what became of a candidate."""
    if start.candidate.name == result.recommended:
        return "recommended"
    if not start.runs:
        return "probe only"
    if start.dropped_in is not None:
        return f"dropped in round {start.dropped_in}"
    return ""


def base_of(result: StartResult) -> RankedStart | None:
    """Find the base among the candidates."""
    return next((it for it in result.ranked if it.candidate.kind == "base"), None)


def held_out_words(result: StartResult) -> str | None:
    """Say what came of it on rows that nothing was chosen on, where the task has such rows."""
    shown = [it for it in result.ranked if it.held_out.get(result.metric) is not None]
    if not shown:
        return None
    each = ", ".join(
        f"{shorten(it.candidate.name, 40)} "
        f"{score_words(it.held_out[result.metric], None, result.metric)}"
        for it in shown
    )
    return f"after training on all {count(result.train_rows, 'row')}, on the test split: {each}"


def start_words(result: StartResult) -> list[str]:
    """Say all that was found, the recommendation first."""
    tried = sum(bool(it.runs) for it in result.ranked)
    said = [
        result.why,
        held_out_words(result),
        f"{count(len(result.ranked), 'candidate')} scored by a linear probe, {tried} of them by "
        f"{count(result.runs, 'short fine-tuning')} ({result.method}) in "
        f"{count(result.rounds, 'round')}; always on rows that they were not fitted on",
    ]
    return [it for it in said if it] + list(result.notes)
