"""How much a start is better than the base: paired by target and seed."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from bench.connectivity.barriers import Array, Estimate
from bench.connectivity.tables import save

from weightscape.paths.resampling import percentiles

DRAWS = 4000
TIE = 0.5  # points: less is neither a win nor a loss, as accuracy on 400 rows moves by more
STARTS = ("centroid", "right region", "start", "hindsight")
COLOURS = dict(zip(STARTS, ("#2c6fb0", "#d98c21", "#3a8f4d", "#8a5fb0"), strict=True))


def summary(way: Mapping[str, Any], runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Sum up the runs of one way of judging: gains over the base by target, and over all."""
    table = accuracies(runs)
    starts = {}
    for start in STARTS:
        gains = gains_of(table, start, "base")
        if gains:
            starts[start] = over_targets(gains)
    behind = gains_of(table, "start", "hindsight")
    return {
        "way": dict(way),
        "base": {target: float(np.mean(list(it["base"].values()))) for target, it in table.items()},
        "starts": starts,
        "start_behind_hindsight": over_targets(behind) if behind else None,
    }


def accuracies(runs: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, dict[int, float]]]:
    """Give the accuracy of each target, start and seed, in per cent; and the best in hindsight."""
    table: dict[str, dict[str, dict[int, float]]] = {}
    answers: dict[str, dict[str, dict[int, Array]]] = {}
    for it in runs:
        table.setdefault(it["target"], {}).setdefault(it["start"], {})[it["seed"]] = (
            100 * it["accuracy"]
        )
        if "right" in it:
            right = np.array([float(one) for one in it["right"]])
            answers.setdefault(it["target"], {}).setdefault(it["start"], {})[it["seed"]] = right
    for target, starts in answers.items():
        table[target]["hindsight"] = best_in_hindsight(starts)
    return {target: starts for target, starts in table.items() if "base" in starts}


def best_in_hindsight(starts: Mapping[str, Mapping[int, Array]]) -> dict[int, float]:
    """Give the accuracy, seed by seed, of the start that is best on test rows.

    One half of the test rows chooses, over all seeds that all starts have, and the other half
    tells, and the reverse: the best of many on the same rows would be too good by chance alone.
    """
    shared = sorted(set.intersection(*(set(seeds) for seeds in starts.values())))
    told: dict[int, list[float]] = {seed: [] for seed in shared}
    for half in (0, 1) if len(starts) > 1 else ():
        best = max(
            starts.values(),
            key=lambda them: float(np.mean([them[seed][half::2].mean() for seed in shared])),
        )
        for seed in shared:
            told[seed].append(100 * float(best[seed][1 - half :: 2].mean()))
    return {seed: float(np.mean(them)) for seed, them in told.items() if them}


def gains_of(
    table: Mapping[str, Mapping[str, Mapping[int, float]]], start: str, over: str
) -> dict[str, list[float]]:
    """Give the gains of a start over another, target by target, a number for each seed."""
    gains = {}
    for target, starts in table.items():
        one, other = starts.get(start, {}), starts.get(over, {})
        both = sorted(set(one) & set(other))
        if both:
            gains[target] = [one[seed] - other[seed] for seed in both]
    return gains


def over_targets(gains: Mapping[str, Sequence[float]]) -> dict[str, Any]:
    """Sum up gains: wins, ties and losses by a target's mean, and the mean with its interval.

    The interval is a bootstrap over targets and over the seeds of each.
    """
    each = {target: float(np.mean(them)) for target, them in gains.items()}
    mean = mean_gain([np.array(them) for them in gains.values()])
    return {
        "targets": each,
        "errors": {
            target: float(np.std(them, ddof=1) / np.sqrt(len(them))) if len(them) > 1 else None
            for target, them in gains.items()
        },
        "seeds": [min(map(len, gains.values())), max(map(len, gains.values()))],
        "wins": sum(it > 0 for it in each.values()),
        "ties": sum(it == 0 for it in each.values()),
        "clear_wins": sum(it > TIE for it in each.values()),
        "clear_losses": sum(it < -TIE for it in each.values()),
        "mean": mean.as_json(),
    }


def mean_gain(gains: Sequence[Array], seed: int = 0) -> Estimate:
    """Estimate the mean over targets of the mean over seeds."""
    generator = np.random.default_rng(seed)
    drawn = np.stack(
        [them[generator.integers(0, len(them), (DRAWS, len(them)))].mean(axis=1) for them in gains]
    )
    picks = generator.integers(0, len(gains), (DRAWS, len(gains)))
    means = np.take_along_axis(drawn.T, picks, axis=1).mean(axis=1)
    low, high = percentiles(means, 0.95)
    return Estimate(float(np.mean([them.mean() for them in gains])), float(low), float(high))


def line(it: Mapping[str, Any], start: str) -> list[Any]:
    """Write one start's line of the table."""
    found, way = it["starts"][start], it["way"]
    seeds = "-".join(str(n) for n in dict.fromkeys(found["seeds"]))
    mean = found["mean"]
    gain = f"{mean['value']:+.2f} [{mean['low']:+.2f}, {mean['high']:+.2f}]"
    wins = f"{found['wins']} ({found['clear_wins']} by {TIE}, {found['clear_losses']} lost by it)"
    head = f"{way['head']}, {way['lr']:g}"
    names = (way["rows"] or "all", head, start, len(found["targets"]), seeds)
    return [*names, wins, gain]


def draw(summaries: Sequence[Mapping[str, Any]]) -> Path:
    """Draw each target's gain over the base, start by start, for every way of judging."""
    from matplotlib.figure import Figure

    shown = [it for it in summaries if it["starts"]]
    figure = Figure(figsize=(4.6 * len(shown) + 1.6, 5), dpi=90, layout="constrained")
    panels = figure.subplots(1, len(shown), squeeze=False)[0]
    for axes, it in zip(panels, shown, strict=True):
        targets = sorted(it["base"], key=lambda target: it["base"][target])
        for number, start in enumerate(STARTS[:3]):
            found = it["starts"].get(start, {"targets": {}, "errors": {}})
            for place, target in enumerate(targets):
                if target not in found["targets"]:
                    continue
                value, error = found["targets"][target], found["errors"][target] or 0.0
                at = place + 0.2 * (number - 1)
                axes.plot([value - error, value + error], [at, at], color=COLOURS[start])
                axes.plot([value], [at], "o", markersize=4, color=COLOURS[start])
            axes.plot([], [], "o", color=COLOURS[start], label=start)
        axes.axvline(0, color="#999999", linewidth=0.8)
        words = [f"{target} ({it['base'][target]:.0f})" for target in targets]
        axes.set_yticks(range(len(targets)), words, fontsize=8)
        rows = it["way"]["rows"] or "all"
        way = f"head {it['way']['head']}, rate {it['way']['lr']:g}"
        axes.set_title(f"{rows} rows, {way}", fontsize=10)
        axes.set_xlabel("points above the base (its accuracy in brackets)")
        axes.grid(axis="x", color="#e5e5e5")
    panels[0].legend(frameon=False, fontsize=8)
    return save(figure, "regions-centroid.png")
