"""From measured pairs to a cell's line of the table, and to pictures."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from bench import report
from bench.connectivity.barriers import Array, cell_barrier, difference
from bench.connectivity.measure import CURVES, rises_of

IMAGES = Path(report.__file__).resolve().parent.parent / "docs" / "images"
COLOURS = {"line": "#b5432f", "bezier": "#2c6fb0"}
WORDS = {"line": "straight line", "bezier": "Bézier curve"}


def summary(pairs: Sequence[dict[str, Any]], beside: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Sum up a cell's pairs; `beside` are those that it is compared with, on the same rows."""
    whole: dict[str, Any] = {
        "pairs": len(pairs),
        "end_accuracy": float(np.mean([_ends(pair, "accuracy") for pair in pairs])),
        "gap": float(np.mean([_gap(pair) for pair in pairs])),
        "l2": float(np.mean([pair["line"]["l2"] for pair in pairs])),
        "delta_cosine": _mean([pair["line"]["delta_cosine"] for pair in pairs]),
        "head": sorted({pair["line"]["head"] for pair in pairs}),
    }
    for curve in CURVES:
        rises = [rises_of(pair, curve) for pair in pairs]
        found = cell_barrier(rises)
        whole[curve] = {
            "barrier": found.as_json(),
            "of_gap": found.value / whole["gap"],
            "height": float(np.mean([pair[curve]["height"] for pair in pairs])),
            "heights": [pair[curve]["height"] for pair in pairs],
            "drop": float(np.mean([_drop(pair[curve]) for pair in pairs])),
            "train_height": float(np.mean([_train_height(pair[curve]) for pair in pairs])),
            "verdicts": dict(Counter(pair[curve]["verdict"] for pair in pairs)),
        }
        if beside:
            against = difference(rises, [rises_of(pair, curve) for pair in beside])
            whole[curve]["above_reference"] = against.as_json()
    return whole


def interval(found: dict[str, float]) -> str:
    """Write an estimate with its interval."""
    return f"{found['value']:.3f} [{found['low']:.3f}, {found['high']:.3f}]"


def draw_barriers(file: str, names: Sequence[str], found: Sequence[dict[str, Any]]) -> Path:
    """Draw each cell's two barriers with their intervals, one cell a line."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 0.32 * len(names) + 1.1), dpi=90, layout="constrained")
    axes = figure.add_subplot()
    for curve, shift in zip(CURVES, (-0.16, 0.16), strict=True):
        estimates = [cell[curve]["barrier"] for cell in found]
        for place, it in enumerate(estimates):
            axes.plot([it["low"], it["high"]], [place + shift] * 2, color=COLOURS[curve])
        axes.plot(
            [it["value"] for it in estimates],
            [place + shift for place in range(len(names))],
            "o",
            markersize=4,
            color=COLOURS[curve],
            label=WORDS[curve],
        )
    axes.axvline(0, color="#999999", linewidth=0.8)
    axes.set_xscale("symlog", linthresh=0.05)
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.set_xlabel("barrier, nats above the chord on held-out rows")
    axes.grid(axis="x", color="#e5e5e5")
    axes.legend(frameon=False)
    return save(figure, file)


def save(figure: Any, file: str) -> Path:
    """Write a picture under docs/images."""
    IMAGES.mkdir(parents=True, exist_ok=True)
    figure.savefig(IMAGES / file, metadata={"Software": None})
    return IMAGES / file


def _ends(pair: dict[str, Any], metric: str) -> float:
    points = pair["line"]["metrics"]
    return float((points[0][metric] + points[-1][metric]) / 2)


def _gap(pair: dict[str, Any]) -> float:
    """Measure what the ends have learned: the loss at chance, less their mean loss."""
    losses: Array = np.array(pair["line"]["losses"])
    return float(pair["line"]["chance_loss"] - (losses[0].mean() + losses[-1].mean()) / 2)


def _drop(kept: dict[str, Any]) -> float:
    """Measure how far accuracy falls below the worse end."""
    accuracy = [point["accuracy"] for point in kept["metrics"]]
    return float(min(accuracy[0], accuracy[-1]) - min(accuracy))


def _train_height(kept: dict[str, Any]) -> float:
    losses, t = np.array(kept["train_loss"]), np.array(kept["t"])
    return float((losses - (1 - t) * losses[0] - t * losses[-1]).max())


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None
