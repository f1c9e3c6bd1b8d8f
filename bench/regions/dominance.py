"""How often a model of a region, or a point between its models, beats what lies outside.

    python -m bench.regions.dominance --work FOLDER [--tasks 12] [--workers 2]

P_B on the generalized loss at the paper's three levels: models of one data set, of one domain,
and all of them against noise around the base. Killed, it goes on where it was.
"""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from bench import report
from bench.connectivity.barriers import Array, Estimate
from bench.connectivity.measure import run_all
from bench.connectivity.tables import interval, save
from bench.regions.groups import Measuring, file_of, groups_of, measure
from bench.regions.models import TASKS, members

from weightscape.paths.resampling import percentiles

COMPARED = (("in", "ex"), ("hull", "ex"), ("hull", "in"))
WORDS = {"in": "In", "hull": "In'", "ex": "Ex"}
DRAWS = 2000
PAPER = {
    "data set": {"hull over ex": 1.0, "hull over in": 0.88},
    "domain": {"in over ex": 0.753, "hull over ex": 1.0, "hull over in": 0.967},
    "general": {"hull over ex": 1.0, "hull over in": 0.90},
}
"""Gueta et al. 2023: MNLI, NLI, and the General group (arXiv:2302.04863)."""


def main() -> None:
    """Measure every group, sum up by level, and write the table, the picture and the JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--tasks", type=int, default=12)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--only-tell", action="store_true", help="measure nothing")
    asked = parser.parse_args()
    how = Measuring()
    groups = groups_of(members(asked.work), TASKS[: asked.tasks])
    known = [it for it in groups if file_of(it, how, asked.work).is_file()]
    there = known if asked.only_tell else groups
    found = run_all(measure, [(it, how, asked.work) for it in there], asked.workers, "group")
    rows = [summary(it) for it in found]
    levels = {level: by_level(level, found) for level in PAPER}
    left = [f"{it.level}: {it.name}" for it in groups if it not in there]
    result = {"how": asdict(how), "left": left, "levels": levels, "groups": rows, "paper": PAPER}
    report.keep("regions-dominance", result, module="bench.regions.dominance")
    draw(found)
    head = ["level", "groups", *(f"P_B({WORDS[a]} over {WORDS[b]})" for a, b in COMPARED)]
    lines = [
        [level, it["groups"], *(interval(it[f"{a} over {b}"]) for a, b in COMPARED)]
        for level, it in levels.items()
        if it["groups"]
    ]
    report.show(head, lines)


def better(ours: Array, theirs: Array) -> Array:
    """Score each pair of points [ours, theirs], mean over tasks: 1 where ours has less loss."""
    one, other = ours[:, None, :], theirs[None, :, :]
    wins: Array = ((one < other) + 0.5 * (one == other)).mean(axis=2)
    return wins


def dominance(pairs: Sequence[tuple[Array, Array]], seed: int = 0) -> Estimate:
    """Estimate P_B, the mean over groups; losses [points, tasks] of either side of each group.

    The interval is a bootstrap over groups, and over the points of both sides in each.
    """
    wins = [better(ours, theirs) for ours, theirs in pairs]
    generator = np.random.default_rng(seed)
    each = np.stack([_drawn(one, generator) for one in wins])
    picks = generator.integers(0, len(wins), (DRAWS, len(wins)))
    drawn = np.take_along_axis(each.T, picks, axis=1).mean(axis=1)
    low, high = percentiles(drawn, 0.95)
    return Estimate(float(np.mean([one.mean() for one in wins])), float(low), float(high))


def by_level(level: str, found: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Sum up the groups of a level: all of them, and those of tasks that were learned."""
    there = [it for it in found if it["group"]["level"] == level]
    if not there:
        return {"groups": 0}
    learned = [it for it in there if is_learned(it)]
    whole: dict[str, Any] = {
        "groups": len(there),
        "learned": [it["group"]["name"] for it in learned],
        "losses": {kind: _mean(there, kind) for kind in ("in", "hull", "ex", "base", "centroid")},
    }
    for a, b in COMPARED:
        name = f"{a} over {b}"
        whole[name] = dominance([_sides(it, a, b) for it in there]).as_json()
        if learned:
            whole[f"{name}, learned"] = dominance([_sides(it, a, b) for it in learned]).as_json()
    return whole


def summary(it: Mapping[str, Any]) -> dict[str, Any]:
    """Sum up one group."""
    kinds = ("in", "hull", "ex", "base", "centroid")
    return {
        **it["group"],
        "points": {kind: len(it[kind]) for kind in kinds},
        "losses": {kind: _mean([it], kind) for kind in kinds},
        "is_learned": is_learned(it),
        **{f"{a} over {b}": dominance([_sides(it, a, b)]).as_json() for a, b in COMPARED},
    }


def is_learned(it: Mapping[str, Any]) -> bool:
    """Tell whether a group's models are better at its tasks than the base is, on average.

    A group that the base was not scored beside counts as learned.
    """
    return not it["base"] or bool(np.mean(it["in"]) < np.mean(it["base"]))


def draw(found: Sequence[Mapping[str, Any]]) -> Path:
    """Draw every point's loss less the base's or the outside's mean, group by group."""
    from matplotlib.figure import Figure

    shown = [it for it in found if it["ex"]]
    figure = Figure(figsize=(8, 0.42 * len(shown) + 1.2), dpi=90, layout="constrained")
    axes = figure.add_subplot()
    for place, it in enumerate(shown):
        zero = float(np.mean(it["ex"]))
        for kind, colour, shift in (
            ("in", "#2c6fb0", -0.22),
            ("hull", "#d98c21", 0.0),
            ("ex", "#777777", 0.22),
        ):
            losses = np.mean(it[kind], axis=1) - zero
            at = np.full(len(losses), place + shift)
            label = WORDS[kind] if place == 0 else None
            axes.scatter(losses, at, s=14, color=colour, alpha=0.75, label=label)
    axes.axvline(0, color="#999999", linewidth=0.8)
    axes.set_yticks(range(len(shown)), [_title(it) for it in shown], fontsize=8)
    axes.invert_yaxis()
    axes.set_xlabel("generalized loss, less the mean of what lies outside, nats")
    axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    return save(figure, "regions-dominance.png")


def _title(it: Mapping[str, Any]) -> str:
    group = it["group"]
    return group["name"] if group["level"] == "data set" else f"{group['level']}: {group['name']}"


def _sides(it: Mapping[str, Any], a: str, b: str) -> tuple[Array, Array]:
    return np.array(it[a]), np.array(it[b])


def _mean(found: Sequence[Mapping[str, Any]], kind: str) -> float | None:
    values = [float(np.mean(it[kind])) for it in found if it[kind]]
    return float(np.mean(values)) if values else None


def _drawn(wins: Array, generator: np.random.Generator) -> Array:
    rows, columns = (
        generator.multinomial(n, np.full(n, 1 / n), size=DRAWS) / n for n in wins.shape
    )
    return np.asarray(np.einsum("ij,di,dj->d", wins, rows, columns, optimize=True))


if __name__ == "__main__":
    main()
