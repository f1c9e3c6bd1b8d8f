"""A region as a picture: losses by group, by distance from the centre, and along pairs."""

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from weightscape.regions.records import GroupName, PairProfile, RegionResult
from weightscape.report.canvas import new_figure, save_picture
from weightscape.report.path_picture import plain_axes
from weightscape.report.region_scales import (
    ALPHAS,
    DISTANCES,
    alpha_place,
    distance_place,
)
from weightscape.report.region_words import GROUPS, group_title, group_words, verdict_words
from weightscape.report.scenery import FAINT_INK, INK, LINE, PALETTE, SOFT_INK
from weightscape.report.words import count, shorten

COLOURS: dict[GroupName, str] = {"in": PALETTE[0], "hull": PALETTE[2], "ex": PALETTE[1]}
WIDTH, WIDE = 7.2, 9.8
HEAD, STRIP, PANEL, GAP = 1.06, 1.6, 2.1, 0.74  # inches
SPACING = 0.18  # inches, from line to line of the verdict
LETTERS = 14.5  # of the verdict, that fit into an inch
LEFT, RIGHT, BETWEEN, FOOT = 0.72, 0.2, 0.55, 0.5
SHOWN = 3  # tasks that get panels of their own
SEPARATE = 0.62  # share of the room of a group's strip that its points spread over


def plot_region(result: RegionResult, path: str | Path) -> Path:
    """Draw a region; the path's extension says PNG, SVG or PDF.

    From top to bottom: the losses of the three groups on each task (bar: their mean); the loss
    against the distance from the centroid, with the rays, the threshold and where they cross it;
    the loss on lines through pairs of models, inside and beyond.
    """
    tasks = result.tasks[:SHOWN]
    width = WIDTH if len(tasks) < SHOWN else WIDE
    rows = [STRIP, PANEL] + ([PANEL] if result.pairs else [])
    says = textwrap.wrap(verdict_words(result), int(LETTERS * width))
    head = HEAD + SPACING * max(0, len(says) - 2)
    total = head + sum(rows) + GAP * (len(rows) - 1) + FOOT
    figure = new_figure(width, total)
    _write_head(figure, result, says)
    room = width - LEFT - RIGHT

    def panel(row: int, column: int = 0, columns: int = 1) -> Axes:
        wide = (room - BETWEEN * (columns - 1)) / columns
        left = LEFT + column * (wide + BETWEEN)
        bottom = total - head - sum(rows[: row + 1]) - GAP * row
        axes = figure.add_axes((left / width, bottom / total, wide / width, rows[row] / total))
        plain_axes(axes)
        return axes

    draw_groups(panel(0), result)
    for i, task in enumerate(tasks):
        named = _panel_title(result, task, i)
        axes = panel(1, i, len(tasks))
        draw_distances(axes, result, task)
        axes.set_title(named, size=8.5, color=INK, loc="left", parse_math=False)
        firsts = [axes] if i == 0 else []
        if result.pairs:
            axes = panel(2, i, len(tasks))
            draw_pairs(axes, result.pairs, task, legend=i == 0)
            firsts += [axes] if i == 0 else []
        for first in firsts:
            first.set_ylabel("loss", size=9, color=SOFT_INK)
    return save_picture(figure, path)


def _write_head(figure: Figure, result: RegionResult, says: Sequence[str]) -> None:
    total = figure.get_figheight()
    wide = figure.get_figwidth() > WIDTH
    title = shorten(group_title(result), 100 if wide else 74)
    figure.text(
        0.025, 1 - 0.28 / total, title, size=11.5, weight="bold", color=INK, parse_math=False
    )
    for line, words in enumerate(says):
        at = 1 - (0.49 + SPACING * line) / total
        figure.text(0.025, at, words, size=9, color=SOFT_INK, parse_math=False)


def _panel_title(result: RegionResult, task: str, place: int) -> str:
    if len(result.tasks) == 1:
        return ""
    more = len(result.tasks) - SHOWN
    ending = f"  (and {count(more, 'more task')})" if more > 0 and place == SHOWN - 1 else ""
    return shorten(task, 30) + ending


def draw_groups(axes: Axes, result: RegionResult) -> None:
    """Draw each group's losses on each task as a strip of points, its mean as a bar."""
    named = group_words(result)
    places, labels = [], []
    for i, task in enumerate(result.tasks):
        for j, group in enumerate(GROUPS):
            losses = _losses(result, group, task)
            at = i * (len(GROUPS) + 0.7) + j
            spread = _spread(len(losses))
            axes.scatter(at + spread, losses, s=16, color=COLOURS[group], alpha=0.75, linewidths=0)
            if np.isfinite(losses).any():
                mean = float(np.nanmean(losses))
                axes.plot([at - 0.36, at + 0.36], [mean, mean], color=COLOURS[group], linewidth=2)
        places.append(i * (len(GROUPS) + 0.7) + 1)
        labels.append(shorten(task, max(8, 66 // len(result.tasks))))
    axes.set_xticks(places, labels)
    for label in axes.get_xticklabels():
        label.set_parse_math(False)
    axes.tick_params(axis="x", length=0, labelcolor=INK)
    if len(result.tasks) > 6:
        axes.tick_params(axis="x", labelrotation=30)
    axes.set_xlim(-0.8, places[-1] + 1.8)
    axes.set_ylabel("loss, head refitted", size=9, color=SOFT_INK)
    axes.margins(y=0.1)
    for group in GROUPS:
        axes.plot([], [], "o", markersize=4.5, color=COLOURS[group], label=named[group])
    axes.legend(**_legend(3))


def _spread(count: int) -> np.ndarray:
    """Set points side by side, neighbours in the list far apart: no chance is needed for it."""
    if count < 2:
        return np.zeros(count)
    steps = np.arange(count) * 0.6180339887
    return (steps % 1 - 0.5) * SEPARATE


def draw_distances(axes: Axes, result: RegionResult, task: str) -> None:
    """Draw a task's loss against the distance from the centroid: points, rays, and the end."""
    radius = next((it for it in result.radii if it.task == task), None)
    unit = radius.unit if radius is not None else _unit(result)
    furthest = 1.0
    if radius is not None:
        low, high = radius.interval
        if radius.value is not None:
            ends = [it if it is not None else radius.value for it in (low, high)]
            span = distance_place(np.array(ends) / unit)
            axes.axvspan(span[0], span[1], color=LINE, alpha=0.5, linewidth=0, zorder=0)
            at = float(distance_place(radius.value / unit))
            axes.axvline(at, color=FAINT_INK, linewidth=1, zorder=1)
        axes.axhline(radius.threshold, color=FAINT_INK, linewidth=1, linestyle=(0, (4, 3)))
        for ray in radius.rays:
            times = np.array(ray.distances) / unit
            furthest = max(furthest, float(times.max(initial=0)))
            axes.plot(distance_place(times), ray.losses, color=SOFT_INK, linewidth=0.8, alpha=0.6)
    for point in (*result.points, result.centroid):
        if task not in point.scores:
            continue
        away = point.distance / unit
        furthest = max(furthest, away)
        centre = point is result.centroid
        axes.plot(
            distance_place(away),
            point.scores[task].loss,
            marker="D" if centre else "o",
            markersize=6 if centre else 4.2,
            color=INK if centre else COLOURS[point.group],
            alpha=1 if centre else 0.8,
            markeredgewidth=0,
            linestyle="",
            zorder=5 if centre else 4,
        )
    _mark_distances(axes, furthest * 1.02)
    axes.set_xlabel(
        f"distance from the centre (1: the models' own, {unit:.3g})"
        if len(result.tasks) == 1
        else f"distance (1: the models' own, {unit:.3g})",
        size=8.5,
        color=SOFT_INK,
    )
    axes.margins(y=0.08)
    if radius is not None:
        axes.annotate(
            "threshold",
            (0.008, radius.threshold),
            (0, 2),
            xycoords=("axes fraction", "data"),
            textcoords="offset points",
            size=8,
            color=FAINT_INK,
            va="bottom",
        )


def draw_pairs(axes: Axes, pairs: Sequence[PairProfile], task: str, *, legend: bool = True) -> None:
    """Draw a task's loss on lines through pairs of models; thick: the median of each kind."""
    kinds = {"in": ("both of the group", PALETTE[0]), "across": ("one from outside", PALETTE[1])}
    furthest = 1.0
    for relation, (words, colour) in kinds.items():
        some = [it for it in pairs if it.relation == relation and task in it.losses]
        for pair in some:
            places = alpha_place(pair.alphas)
            furthest = max(furthest, *(abs(a - 0.5) + 0.5 for a in pair.alphas))
            axes.plot(places, pair.losses[task], color=colour, linewidth=0.7, alpha=0.4)
        middle = _median(some, task)
        if middle:
            axes.plot(
                alpha_place(list(middle)), list(middle.values()), color=colour, linewidth=2,
                label=words,
            )  # fmt: skip
    axes.axvspan(0, 1, color=LINE, alpha=0.35, linewidth=0, zorder=0)
    ticks = [it for it in ALPHAS if abs(it - 0.5) + 0.5 <= furthest * 1.01]
    axes.set_xticks(alpha_place(ticks), [f"{it:g}" for it in ticks])
    axes.set_xlabel("step on the line: 0 and 1 are models", size=8.5, color=SOFT_INK)
    axes.margins(x=0.02, y=0.08)
    if legend:
        axes.legend(**_legend(2))


def _median(pairs: Sequence[PairProfile], task: str) -> Mapping[float, float]:
    """Take the median over pairs at every step that all of them have."""
    if not pairs:
        return {}
    common = sorted(set.intersection(*(set(it.alphas) for it in pairs)))
    return {
        alpha: float(np.median([it.losses[task][it.alphas.index(alpha)] for it in pairs]))
        for alpha in common
    }


def _losses(result: RegionResult, group: GroupName, task: str) -> np.ndarray:
    points = [it for it in result.points if it.group == group and task in it.scores]
    return np.array([it.scores[task].loss for it in points], dtype=np.float64)


def _unit(result: RegionResult) -> float:
    own = [it.distance for it in result.points if it.group == "in"]
    return float(np.mean(own)) if own and np.mean(own) > 0 else 1.0


def _mark_distances(axes: Axes, furthest: float) -> None:
    shown = [it for it in DISTANCES if it <= furthest]
    axes.set_xticks(distance_place(shown), [f"{it:g}" for it in shown])
    axes.set_xlim(-0.04, float(distance_place(furthest)) + 0.04)


def _legend(columns: int) -> dict[str, Any]:
    return {
        "loc": "lower left",
        "bbox_to_anchor": (0, 1.0),
        "ncols": columns,
        "frameon": False,
        "fontsize": 8,
        "labelcolor": SOFT_INK,
        "borderaxespad": 0.2,
        "handlelength": 1.6,
    }
