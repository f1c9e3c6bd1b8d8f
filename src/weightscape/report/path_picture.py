"""A path as a picture: its loss with the chord and the barrier, its metric, what is known where."""

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke

from weightscape.paths.records import Knowledge, PathResult, Series
from weightscape.report.canvas import new_figure, save_picture
from weightscape.report.knowledge_order import told_rows
from weightscape.report.knowledge_picture import draw_knowledge
from weightscape.report.path_words import (
    curve_words,
    head_tag,
    number,
    told_table,
    verdict_words,
)
from weightscape.report.scenery import FAINT_INK, INK, LINE, PALETTE, PANEL, SOFT_INK
from weightscape.report.words import shorten
from weightscape.tasks.metrics import METRICS

WIDTH = 7.2
HEAD, LOSS, METRIC, TABLE, GAP = 0.5, 2.5, 1.35, 2.1, 0.6  # inches
LEFT, RIGHT = 0.72, 0.2
LINE_OF_WORDS = 0.2
SIGNS_OF_WORDS = 108  # that fit into a line of small words
SIGNS_OF_TITLE = 62  # that there is room for beside "From", "to" and a colon
BESIDE = 0.018  # of t, between the arrows of two tasks
LABELLED = 0.08  # share of the axis that a barrier must take for an arrow to show it


def plot_path(result: PathResult, path: str | Path) -> Path:
    """Draw a path; the path's extension says PNG, SVG or PDF.

    From top to bottom: the loss (band: 95 % bootstrap interval; dotted: the chord; dashed: on
    training rows), the first metric, and for each task which training rows (with a probe, which
    was fitted on those: which held-out rows) are right where.
    """
    shown = list(result.series)
    tables = [it for it in shown if _has_table(told_table(it, result.head))]
    metric = next((name for name in shown[0].points[0].metrics if name != "loss"), None)
    heads = "" if result.head == "own" else head_tag(result)
    lines = len(shown) + bool(heads)
    head = HEAD + LINE_OF_WORDS * lines + (LINE_OF_WORDS if len(shown) > 1 else 0)
    heights = [LOSS] + ([METRIC] if metric else []) + ([TABLE] if tables else [])
    total = head + sum(heights) + GAP * len(heights) + 0.22
    figure = new_figure(WIDTH, total)
    curve = curve_words(result)
    room_of_name = (SIGNS_OF_TITLE - len(curve)) // 2
    first, second = (shorten(name, room_of_name) for name in result.ends.names)
    title = f"From {first} to {second}: {curve}"
    figure.text(
        0.025, 1 - 0.3 / total, title, size=11.5, weight="bold", color=INK, parse_math=False
    )
    for place, series in enumerate(shown):
        figure.text(
            0.025,
            1 - (0.53 + LINE_OF_WORDS * place) / total,
            f"{shorten(series.task, 28)}: {verdict_words(series)}",
            size=9,
            color=SOFT_INK if len(shown) == 1 else PALETTE[place % len(PALETTE)],
            parse_math=False,
        )
    if heads:
        at = 1 - (0.53 + LINE_OF_WORDS * len(shown)) / total
        words = shorten(heads, SIGNS_OF_WORDS)
        figure.text(0.025, at, words, size=9, color=SOFT_INK, parse_math=False)
    tops = [head + 0.22 + sum(heights[:i]) + GAP * i for i in range(len(heights))]

    def room(i: int, left: float = LEFT, width: float = WIDTH - LEFT - RIGHT) -> Axes:
        bottom = total - tops[i] - heights[i]
        return figure.add_axes((left / WIDTH, bottom / total, width / WIDTH, heights[i] / total))

    draw_loss(room(0), result)
    if metric:
        draw_metric(room(1), result, metric)
    wide = (WIDTH - LEFT - RIGHT) / max(1, len(tables)) - 0.35 * (len(tables) > 1)
    for place, series in enumerate(tables):
        left = LEFT + place * (wide + 0.7)
        draw_knowledge(
            room(len(heights) - 1, left, wide),
            series,
            first=place == 0,
            named=len(tables) > 1,
            split=told_table(series, result.head).split,
        )
    return save_picture(figure, path)


def _has_table(table: Knowledge) -> bool:
    """Tell whether there is a row whose answer can be shown to be wrong somewhere."""
    correct = table.correct
    return bool(np.isfinite(correct).any()) and len(told_rows(correct)[0]) > 0


def draw_loss(axes: Axes, result: PathResult) -> None:
    """Draw the loss of every task along the path, with band, chord and barrier."""
    lone = len(result.series) == 1
    for place, series in enumerate(result.series):
        colour = PALETTE[place % len(PALETTE)]
        ts = [it.t for it in series.points]
        low, high = (
            [it.loss_interval[0] for it in series.points],
            [it.loss_interval[1] for it in series.points],
        )
        name = "" if lone else f"{shorten(series.task, 22)}, "
        axes.fill_between(ts, low, high, color=colour, alpha=0.18, linewidth=0)
        axes.plot(
            ts,
            [it.loss for it in series.points],
            color=colour,
            linewidth=1.9,
            marker="o",
            markersize=3 if len(ts) <= 40 else 0,
            label=f"{name}held-out rows",
        )
        axes.plot(
            ts,
            [it.train_loss for it in series.points],
            color=colour,
            linewidth=1.1,
            linestyle=(0, (4, 2)),
            label=f"{name}training rows",
        )
        chord = [it.chord for it in series.points]
        axes.plot(ts, chord, color=colour if not lone else SOFT_INK, linewidth=1, linestyle=":")
    _mark_ts(axes)
    _name_ends(axes, result.ends.names)
    axes.set_ylabel("loss (nats)" if result.series[0].labels else "loss", size=9, color=SOFT_INK)
    axes.margins(y=0.08)
    for place, series in enumerate(result.series):
        _mark_chance(axes, series, place, len(result.series))
    for place, series in enumerate(result.series):
        _mark_barrier(axes, series, place, len(result.series))
    if lone:
        axes.plot([], [], color=SOFT_INK, linewidth=1, linestyle=":", label="chord of the ends")
    axes.legend(
        loc="lower left",
        bbox_to_anchor=(0, 1.0),
        ncols=3 if lone else len(result.series),
        frameon=False,
        fontsize=8,
        labelcolor=SOFT_INK,
        borderaxespad=0.2,
        handlelength=2.2,
    )


def draw_metric(axes: Axes, result: PathResult, metric: str) -> None:
    """Draw a metric of every task along the path, and the level of its worse end."""
    for place, series in enumerate(result.series):
        points = [it for it in series.points if metric in it.metrics]
        if not points:
            continue
        colour = PALETTE[place % len(PALETTE)]
        ts = [it.t for it in points]
        values = [it.metrics[metric] for it in points]
        axes.fill_between(
            ts,
            [it.metric_intervals[metric][0] for it in points],
            [it.metric_intervals[metric][1] for it in points],
            color=colour,
            alpha=0.18,
            linewidth=0,
        )
        axes.plot(ts, values, color=colour, linewidth=1.7)
        for value, at in ((values[0], 0), (values[-1], 1)):
            axes.axhline(value, color=colour, linewidth=0.7, linestyle=":", alpha=0.9, zorder=1)
            axes.plot([at], [value], marker="o", markersize=4.5, color=colour, clip_on=False)
    _mark_ts(axes)
    if metric in METRICS and METRICS[metric].higher_is_better:
        best = METRICS[metric].best
        axes.set_ylim(top=min(axes.get_ylim()[1], best + 0.01))  # nothing is better than that
    axes.set_ylabel(metric.replace("_", " "), size=9, color=SOFT_INK)


def plain_axes(axes: Axes) -> None:
    """Dress axes as the pictures have them: two quiet lines, words no smaller than 8 points."""
    axes.set_facecolor(PANEL)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(LINE)
    axes.tick_params(labelsize=8, colors=SOFT_INK, color=LINE, length=3)


def _mark_ts(axes: Axes) -> None:
    plain_axes(axes)
    axes.set_xlim(0, 1)
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1])
    axes.set_xticklabels(["0", "0.25", "t = 0.5", "0.75", "1"])


def _name_ends(axes: Axes, names: tuple[str, str]) -> None:
    for x, name in enumerate(names):
        axes.annotate(
            shorten(name, 30),
            (x, 0),
            (0, -17),
            xycoords="axes fraction",
            textcoords="offset points",
            ha="right" if x else "left",
            va="top",
            size=8,
            color=INK,
            parse_math=False,
        )


def _mark_chance(axes: Axes, series: Series, place: int, many: int) -> None:
    """Draw the loss of knowing nothing but how common each answer is, at one side for each task."""
    chance = series.chance_loss
    bottom, top = axes.get_ylim()
    if chance is None or not bottom < chance < top:
        return
    colour = FAINT_INK if many == 1 else PALETTE[place % len(PALETTE)]
    axes.axhline(chance, color=colour, linewidth=0.8, linestyle=(0, (1, 3)), zorder=1)
    words = "answering by label shares" if series.labels else "answering by the mean"
    right = place % 2 == 0
    axes.text(
        0.995 if right else 0.005,
        chance,
        words if many == 1 else f"{shorten(series.task, 14)}: {words}",
        size=8,
        color=colour,
        ha="right" if right else "left",
        va="bottom",
        parse_math=False,
        path_effects=[withStroke(linewidth=2, foreground=PANEL)],
    )


def _mark_barrier(axes: Axes, series: Series, place: int, many: int) -> None:
    """Draw the barrier as an arrow; those of several tasks stand beside one another."""
    barrier = series.barrier
    bottom, top = axes.get_ylim()
    if not barrier.height > LABELLED * (top - bottom):
        return
    colour = INK if many == 1 else PALETTE[place % len(PALETTE)]
    point = min(series.points, key=lambda it: abs(it.t - barrier.at))
    x = min(max(point.t + BESIDE * (place - (many - 1) / 2), 0.01), 0.99)
    axes.annotate(
        "",
        (x, point.loss),
        (x, point.chord),
        arrowprops={"arrowstyle": "<->", "color": colour, "linewidth": 1, "shrinkA": 0},
    )
    right = point.t < 0.62 and (many == 1 or place > 0 or point.t < 0.3)
    axes.annotate(
        f"barrier {number(barrier.height)}",
        (x, (point.loss + point.chord) / 2),
        (6 if right else -6, 0),
        textcoords="offset points",
        ha="left" if right else "right",
        va="center",
        size=8.5,
        color=colour,
        path_effects=[withStroke(linewidth=3, foreground=PANEL)],
        zorder=6,
    )
