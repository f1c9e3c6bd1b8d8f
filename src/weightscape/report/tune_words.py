"""What was found by a search of weights, in sentences that terminal, page and pictures share."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float64

from weightscape.report.path_words import number
from weightscape.report.start_words import score_words
from weightscape.report.words import count, shorten
from weightscape.tasks.metrics import METRICS
from weightscape.tuning.records import Baseline, Interval, Trial, TuneResult

Scores = Mapping[str, float]
Intervals = Mapping[str, Interval]

BLEND = "the blend"
NAMED = 5  # models whose weights are told in a sentence
LEAST = 0.005  # of a weight that is worth its name

_SPACES = {
    "simplex": "weights of 0 or more that sum to one",
    "box": "coefficients of deltas from the base",
}


def judged_on(result: TuneResult) -> str:
    """Say on which rows the blend is compared: the test split, if there is one."""
    return "test split" if result.metric in result.held_out else "development rows"


def scores_of(scored: TuneResult | Baseline, result: TuneResult) -> tuple[Scores, Intervals]:
    """Give metrics and intervals on the rows that all are compared on; empty where unknown."""
    if judged_on(result) == "test split":
        return scored.held_out, scored.held_out_intervals
    own = scored.dev if isinstance(scored, TuneResult) else scored.metrics
    return own, scored.intervals


def better_sign(metric: str) -> float:
    """Give 1 for a metric whose higher values are better, as those of custom kinds are taken to be.

    >>> better_sign("accuracy"), better_sign("loss")
    (1.0, -1.0)
    """
    return -1.0 if metric in METRICS and not METRICS[metric].higher_is_better else 1.0


def compared(result: TuneResult) -> list[tuple[str, float, Interval | None]]:
    """List the blend and all baselines with their scores and intervals, best first."""
    found = []
    ways: list[tuple[str, TuneResult | Baseline]] = [(BLEND, result)]
    ways += [(it.name, it) for it in result.baselines]
    for name, scored in ways:
        scores, intervals = scores_of(scored, result)
        value = scores.get(result.metric)
        if value is not None and np.isfinite(value):
            found.append((name, value, intervals.get(result.metric)))
    sign = better_sign(result.metric)
    return sorted(found, key=lambda it: (-sign * it[1], it[0] != BLEND))


def mean_weights(result: TuneResult) -> Float64[np.ndarray, " N"]:
    """Give one weight a model: the mean over layer groups, where these have their own."""
    weights: Float64[np.ndarray, " N"] = np.atleast_2d(result.best.weights).mean(axis=0)
    return weights


def weight_words(result: TuneResult) -> str:
    """Say what the blend is made of, the heaviest first."""
    weights = mean_weights(result)
    order = np.argsort(-np.abs(weights), kind="stable")
    worth = [int(i) for i in order if abs(weights[i]) >= LEAST]
    said = ", ".join(f"{weights[i]:.2f} {shorten(result.names[i], 40)}" for i in worth[:NAMED])
    rest = len(worth) - NAMED
    several = f", on average over {count(len(result.best.weights), 'layer group')}"
    return (
        f"{said}{f' and {rest} more' if rest > 0 else ''}"
        f"{several if np.ndim(result.best.weights) == 2 else ''}"
    )


def verdict_words(result: TuneResult) -> str:
    """Say how good the blend is, and whether another way is as good."""
    name = result.metric.replace("_", " ")
    scores, intervals = scores_of(result, result)
    told = score_words(scores.get(result.metric), intervals.get(result.metric), result.metric)
    models = f"the best blend of {count(len(result.names), 'model')} for {result.task}"
    said = f"{models}: {name} {told or 'unknown'} on the {judged_on(result)}"
    ranked = compared(result)
    rivals = [it for it in ranked if it[0] != BLEND]
    if not rivals:
        return said
    rival, value, interval = rivals[0]
    worse = score_words(value, None, result.metric)
    if ranked[0][0] == BLEND and value != ranked[0][1]:
        others = "the other way" if len(rivals) == 1 else f"the {len(rivals)} other ways"
        unsure = "; their intervals overlap" if _overlap(ranked[0][2], interval) else ""
        return f"{said}, ahead of {others} (next: {rival} {worse}{unsure})"
    own, spread = scores.get(result.metric), intervals.get(result.metric)
    if value == own:
        return f"{said}; {rival} is as good: {worse}"
    unsure = ", but their intervals overlap" if _overlap(spread, interval) else ""
    return f"{said}; {rival} is better: {worse}{unsure}"


def _overlap(one: Interval | None, other: Interval | None) -> bool:
    return one is not None and other is not None and one[0] <= other[1] and other[0] <= one[1]


def group_title(group: str) -> str:
    """Name a layer group by the end of what its tensors' names begin with.

    >>> group_title("bert.encoder.layer.3"), group_title("bert.embeddings"), group_title("head")
    ('layer 3', 'embeddings', 'head')
    """
    *_, above, last = ["", *group.split(".")]
    if last.isdecimal() and above:
        return f"{above} {last}"
    return f"{above}.{last}" if last in ("dense", "weight", "bias") and above else last


def search_words(result: TuneResult) -> str:
    """Say how it was searched, and what became of the candidates."""
    states = [it.state for it in result.trials]
    raced, failed = states.count("raced"), states.count("failed")
    ended = [f"{raced} stopped early"] if raced else []
    ended += [f"{failed} not finite"] if failed else []
    return (
        f"{count(len(states), 'candidate')} tried in {result.seconds:.0f} s ({result.sampler}; "
        f"{_SPACES.get(result.space, result.space)}){', ' if ended else ''}{', '.join(ended)}"
    )


def tune_words(result: TuneResult) -> list[str]:
    """Say all that was found, the verdict first."""
    loss = f"loss {number(result.best.loss)}" if np.isfinite(result.best.loss) else "no loss"
    return [
        verdict_words(result),
        f"made of {weight_words(result)} ({loss} on the rows searched on)",
        search_words(result),
        *result.notes,
    ]


def best_so_far(trials: tuple[Trial, ...]) -> Float64[np.ndarray, " T"]:
    """Give the least loss of a complete candidate up to each one; NaN before the first.

    >>> best_so_far(())
    array([], dtype=float64)
    """
    losses = [it.loss if it.state == "complete" else np.inf for it in trials]
    least = np.minimum.accumulate(np.array(losses, dtype=np.float64))
    return np.where(np.isfinite(least), least, np.nan)
