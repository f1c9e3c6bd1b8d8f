"""The table and the picture of the transfer bench: what each way gains over the fair measure."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from bench import report
from bench.connectivity.tables import save
from bench.regions.gains import over_targets

BLEND, PLAIN, FAIR = "blend", "fine-tuned base", "fine-tuned base, all rows"
REFITTED = ", refitted"


def summary(runs: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Sum up each way: its mean score, and what it gains over three others; best first.

    Only of targets and seeds that have it: a way that was run on fewer is compared on those.
    """
    rows = []
    for name in dict.fromkeys(name for it in runs for name in it["ways"]):
        had = [it for it in runs if name in it["ways"]]
        rows.append(
            {
                "way": name,
                "accuracy": gains(had, name)["mean"]["value"],
                "by_target": gains(had, name)["targets"],
                "loss": float(np.mean([it["ways"][name]["loss"] for it in had])),
                "targets": len({it["target"] for it in had}),
                "runs": len(had),
                "seconds": float(np.median([it["ways"][name]["seconds"] for it in had])),
                "gain": gains(had, name, FAIR),
                "over_plain": gains(had, name, PLAIN),
                "over_blend": gains(had, name, BLEND),
                "over_control": gains(had, name, f"{FAIR}{REFITTED}"),
                "over_refitted": gains(had, name, f"{BLEND}{REFITTED}"),
            }
        )
    return sorted(rows, key=lambda it: -it["gain"]["mean"]["value"])


def gains(runs: Sequence[Mapping[str, Any]], one: str, other: str | None = None) -> dict[str, Any]:
    """Sum up a way's accuracy in per cent over targets, or what it is above another's."""
    found: dict[str, list[float]] = {}
    for it in runs:
        ways = it["ways"]
        if other is not None and other not in ways:
            continue
        less = 0.0 if other is None else ways[other]["accuracy"]
        found.setdefault(it["target"], []).append(100 * (ways[one]["accuracy"] - less))
    return over_targets(found) if found else {}


def show(rows: Sequence[Mapping[str, Any]]) -> None:
    """Print the table."""
    cells = [
        (
            it["way"],
            f"{it['accuracy']:.1f}",
            f"{it['loss']:.3f}",
            points(it["gain"]["mean"]),
            f"{it['gain']['wins']} of {it['targets']}",
            points(it["over_blend"]["mean"]),
            it["runs"],
            f"{it['seconds']:.0f}",
        )
        for it in rows
    ]
    head = f"way|accuracy, %|loss|over {FAIR}|wins|over {BLEND}|runs|seconds"
    report.show(head.split("|"), cells)


def points(it: Mapping[str, float]) -> str:
    """Write a gain with its interval."""
    return f"{it['value']:+.2f} [{it['low']:+.2f}, {it['high']:+.2f}]"


def draw(rows: Sequence[Mapping[str, Any]]) -> Path:
    """Draw what each way gains over the fair measure: the mean's interval, and every target."""
    from matplotlib.figure import Figure

    shown = [it for it in rows if it["way"] != FAIR]
    figure = Figure(figsize=(8.4, 0.4 * len(shown) + 1.4), dpi=90, layout="constrained")
    axes = figure.add_subplot()
    for place, it in enumerate(shown):
        colour = "#b5432f" if it["way"].startswith(BLEND) else "#2c6fb0"
        each = list(it["gain"]["targets"].values())
        axes.plot(each, [place] * len(each), "o", markersize=4, color=colour, alpha=0.3, mew=0)
        mean = it["gain"]["mean"]
        axes.plot([mean["low"], mean["high"]], [place, place], color=colour, linewidth=2)
        axes.plot([mean["value"]], [place], "o", markersize=7, color=colour)
    axes.axvline(0, color="#999999", linewidth=0.8)
    axes.set_yticks(range(len(shown)), [it["way"] for it in shown])
    axes.invert_yaxis()
    axes.set_xlabel(f"points above “{FAIR}”:\nmean with 95 % interval, and each target (pale)")
    axes.grid(axis="x", color="#e5e5e5")
    return save(figure, "tune-transfer.png")
