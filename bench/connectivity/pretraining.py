"""Question 2: how does connectivity change while a model is pre-trained?

    python -m bench.connectivity.pretraining --work DIR [--workers 2]

A small masked language model is pre-trained on the packaged texts and kept at several steps;
from each, models are fine-tuned with different seeds and on different tasks, and connected.
"""

import argparse
import time
from collections.abc import Sequence
from dataclasses import asdict
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import torch
from bench import report
from bench.connectivity.barriers import Array, draw_statistic
from bench.connectivity.masked_language import Pretraining, pretrain
from bench.connectivity.measure import CURVES, Measuring, Pair, measure, rises_of, run_all
from bench.connectivity.models import Recipe, make, recipes_of, task_named
from bench.connectivity.tables import COLOURS, WORDS, interval, save, summary

from weightscape.tasks.fine_tuning import FineTuning
from weightscape.tasks.models import load_model
from weightscape.tasks.probe import linear_probe

HOW = FineTuning(lr=1e-3, steps=200)
TASK, OTHER = "trec6", "20ng_sci"
GROUPS = {"same task": f"{TASK}, all seeds differ", "other task": f"{TASK} and {OTHER}"}


def pairs_from(start: str) -> dict[str, list[Pair]]:
    """Plan the pairs of one pre-training step: runs of one task, and of two."""
    runs = [Recipe(TASK, HOW, start).seeds(seed) for seed in range(3)]
    others = [Recipe(OTHER, HOW, start).seeds(seed) for seed in range(3)]
    return {
        "same task": [Pair(one, other, TASK) for one, other in combinations(runs, 2)],
        "other task": [Pair(one, other, TASK) for one, other in zip(runs, others, strict=True)],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="where models and pairs are kept")
    parser.add_argument("--workers", type=int, default=1 if torch.cuda.is_available() else 2)
    options = parser.parse_args()
    began = time.perf_counter()
    pretraining, how = Pretraining(), Measuring()
    kept = pretrain(options.work / "pretrained", pretraining)
    probes = {step: probed(folder) for step, folder in kept.items()}
    planned = {step: pairs_from(str(folder)) for step, folder in kept.items()}
    pairs = [pair for groups in planned.values() for group in groups.values() for pair in group]
    recipes = recipes_of((pair.one, pair.other) for pair in pairs)
    run_all(make, [(recipe, options.work) for recipe in recipes], options.workers, "models")
    jobs = [(pair, how, options.work) for pair in pairs]
    measured = dict(zip(pairs, run_all(measure, jobs, options.workers, "pairs"), strict=True))
    found = {
        group: {
            step: [measured[pair] for pair in groups[group]] for step, groups in planned.items()
        }
        for group in GROUPS
    }
    rows = [
        {"step": step, "probe_accuracy": probes[step], "group": group, **summary(cell, ())}
        for group, by_step in found.items()
        for step, cell in by_step.items()
    ]
    trends = {group: trends_of(by_step) for group, by_step in found.items()}
    picture = draw(rows)
    path = report.keep(
        "connectivity-pretraining",
        {
            "rows": rows,
            "trends": trends,
            "groups": GROUPS,
            "pretraining": asdict(pretraining),
            "fine_tuning": asdict(HOW),
            "measuring": asdict(how),
            "models": len(recipes),
            "pair_seconds": sum(it["seconds"] for it in measured.values()),
            "seconds_of_this_run": time.perf_counter() - began,
        },
        module="bench.connectivity.pretraining",
    )
    show(rows, trends)
    print(f"wrote {path} and {picture}")


def probed(folder: Path) -> float:
    """Measure what pre-training has taught without fine-tuning: a linear probe's accuracy."""
    task = task_named(TASK)
    probe = linear_probe(load_model(folder, task), task, train_limit=1024, limit=256)
    return float(probe.evaluation.metrics["accuracy"])


def trends_of(by_step: dict[int, list[dict[str, Any]]]) -> dict[str, dict[str, float]]:
    """Rank barriers against pre-training steps: Spearman over all pairs, in nats and of the gap."""
    steps = np.array(list(by_step), dtype=np.float64)
    trends = {}
    for curve in CURVES:
        groups = [[rises_of(pair, curve) for pair in pairs] for pairs in by_step.values()]
        gaps = np.array([summary(pairs, ())["gap"] for pairs in by_step.values()])
        trends[curve] = draw_statistic(groups, lambda it: spearman(steps, it)).as_json()
        trends[f"{curve}, of the gap"] = draw_statistic(
            groups, lambda it, gaps=gaps: spearman(steps, it / gaps[:, None])
        ).as_json()
    return trends


def spearman(steps: Array, barriers: Array) -> float:
    """Correlate the ranks of steps [groups] and of their barriers [groups, pairs]."""
    from scipy.stats import rankdata

    along = rankdata(np.repeat(steps, barriers.shape[1]))
    high = rankdata(barriers.ravel())
    return float(np.corrcoef(along, high)[0, 1]) if np.ptp(high) else float("nan")


def draw(rows: Sequence[dict[str, Any]]) -> Path:
    """Draw the barriers of both curves against the pre-training step, a panel a group."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 3.2), dpi=90, layout="constrained")
    for axes, group in zip(figure.subplots(1, len(GROUPS)), GROUPS, strict=True):
        cells = [row for row in rows if row["group"] == group]
        steps = [row["step"] for row in cells]
        for curve in CURVES:
            found = [row[curve]["barrier"] for row in cells]
            axes.plot(
                steps, [it["value"] for it in found], "o-", color=COLOURS[curve], label=WORDS[curve]
            )
            axes.fill_between(
                steps,
                [it["low"] for it in found],
                [it["high"] for it in found],
                color=COLOURS[curve],
                alpha=0.2,
            )
        axes.set_xscale("symlog", linthresh=30)
        axes.set_xticks(steps, [f"{it // 1000}k" if it >= 1000 else str(it) for it in steps])
        axes.set_title(GROUPS[group], fontsize=10)
        axes.set_xlabel("steps of pre-training")
        axes.axhline(0, color="#999999", linewidth=0.8)
    figure.axes[0].set_ylabel("barrier, nats")
    figure.axes[0].legend(frameon=False)
    return save(figure, "connectivity-pretraining.png")


def show(rows: Sequence[dict[str, Any]], trends: dict[str, dict[str, Any]]) -> None:
    report.show(
        ["ends", "step", "probe", "accuracy", "line", "of the gap", "Bezier", "verdicts"],
        [
            (
                it["group"],
                it["step"],
                f"{it['probe_accuracy']:.3f}",
                f"{it['end_accuracy']:.3f}",
                interval(it["line"]["barrier"]),
                f"{it['line']['of_gap']:.3f}",
                interval(it["bezier"]["barrier"]),
                f"{it['line']['verdicts']} {it['bezier']['verdicts']}",
            )
            for it in rows
        ],
    )
    for group, trend in trends.items():
        for name, it in trend.items():
            print(f"Spearman of step and barrier, {group}, {name}: {interval(it)}")


if __name__ == "__main__":
    main()
