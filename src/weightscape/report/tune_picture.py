"""A search of weights as a picture: what the blend is made of, how it was found, what rivals it."""

import textwrap
from collections.abc import Callable
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.ticker import MaxNLocator

from weightscape.report.canvas import new_figure, save_picture
from weightscape.report.path_picture import plain_axes
from weightscape.report.scenery import FAINT_INK, INK, LINE, PALETTE, PANEL, SOFT_INK
from weightscape.report.start_words import in_points
from weightscape.report.tune_words import (
    BLEND,
    best_so_far,
    compared,
    group_title,
    judged_on,
    mean_weights,
    verdict_words,
)
from weightscape.report.words import shorten
from weightscape.tuning.records import TuneResult

WIDTH = 7.2
HEAD, LINE_HEIGHT, FOOT, GAP, SEARCH = 1.0, 0.26, 0.5, 0.78, 1.75  # inches
NAMES, RIGHT = 2.15, 0.25
CHOSEN, OTHER, AGAINST = PALETTE[2], PALETTE[0], PALETTE[1]
LETTERS = 30  # of a name, that fit into NAMES
MOST = 20  # models, and other ways
WRITTEN = 12  # layer groups whose weights there is room to write

_SIGNED = LinearSegmentedColormap.from_list("signed", [AGAINST, PANEL, OTHER])


def plot_tune(result: TuneResult, path: str | Path) -> Path:
    """Draw a search of weights; the path's extension says PNG, SVG or PDF.

    From top to bottom: the weight of each model (of each layer group, where these have their own),
    the losses of the candidates with the best so far, and the blend beside the other ways.
    """
    models, rivals = min(len(result.names), MOST), min(len(compared(result)), MOST)
    panels: list[tuple[float, Callable[[Axes, TuneResult], None]]] = [
        (LINE_HEIGHT * max(2, models), draw_weights),
        (SEARCH, draw_search),
    ]
    if result.baselines:
        panels.append((LINE_HEIGHT * max(3, rivals), draw_rivals))
    total = HEAD + sum(height for height, _ in panels) + GAP * (len(panels) - 1) + FOOT
    figure = new_figure(WIDTH, total)
    title = f"Best weights of {len(result.names)} models for {shorten(result.task, 44)}"
    figure.text(
        0.025, 1 - 0.28 / total, title, size=11.5, weight="bold", color=INK, parse_math=False
    )
    for line, words in enumerate(textwrap.wrap(verdict_words(result), 108)[:2]):
        at = 1 - (0.49 + 0.18 * line) / total
        figure.text(0.025, at, words, size=9, color=SOFT_INK, parse_math=False)
    top = HEAD
    for height, draw in panels:
        left, wide = NAMES / WIDTH, (WIDTH - NAMES - RIGHT) / WIDTH
        draw(figure.add_axes((left, 1 - (top + height) / total, wide, height / total)), result)
        top += height + GAP
    return save_picture(figure, path)


def draw_weights(axes: Axes, result: TuneResult) -> None:
    """Draw the weight of each model as a bar, or as a row of a heat map over layer groups."""
    plain_axes(axes)
    mean = mean_weights(result)
    order = np.argsort(-mean, kind="stable")[:MOST]
    if np.ndim(result.best.weights) == 2:
        _heat(axes, result, order)
    else:
        colours = [OTHER if mean[i] >= 0 else AGAINST for i in order]
        axes.barh(range(len(order)), mean[order], height=0.62, color=colours, zorder=3)
        for row, i in enumerate(order):
            side = 3 if mean[i] >= 0 else -3
            axes.annotate(
                f"{mean[i]:.2f}", (max(mean[i], 0) if side > 0 else mean[i], row), (side, 0),
                textcoords="offset points", va="center", ha="left" if side > 0 else "right",
                size=8, color=SOFT_INK,
            )  # fmt: skip
        axes.axvline(0, color=LINE, linewidth=1)
        low, high = min(0.0, float(mean.min())), max(0.1, float(mean.max()))
        room = 0.09 * (high - low)
        axes.set_xlim(low - (room if low < 0 else 0), high + room)
        axes.set_xlabel("weight in the blend", size=8.5, color=SOFT_INK)
    _name_rows(axes, [result.names[i] for i in order], len(order), 2)


def _heat(axes: Axes, result: TuneResult, order: np.ndarray) -> None:
    weights = result.best.weights[:, order]
    groups = len(weights)
    span = max(float(np.abs(weights).max()), 1e-9)
    axes.imshow(
        weights.T, aspect="auto", cmap=_SIGNED, vmin=-span, vmax=span, interpolation="nearest"
    )
    if groups <= WRITTEN:
        for group, row in np.ndindex(weights.shape):
            value = weights[group, row]
            ink = PANEL if abs(value) > 0.6 * span else INK
            axes.text(group, row, f"{value:.2f}", ha="center", va="center", size=8, color=ink)
    named = [group_title(it) for it in result.groups or map(str, range(groups))]
    every = max(1, -(-groups // WRITTEN))
    room = max(4, 82 // min(groups, WRITTEN))
    axes.set_xticks(range(0, groups, every), [shorten(it, room) for it in named[::every]])
    for label in axes.get_xticklabels():
        label.set_parse_math(False)
    axes.set_xlabel("weight in the blend, by layer group", size=8.5, color=SOFT_INK)


def draw_search(axes: Axes, result: TuneResult) -> None:
    """Draw every candidate's loss, and the best so far; few very bad ones are left above."""
    plain_axes(axes)
    losses = np.array([it.loss for it in result.trials], dtype=np.float64)
    raced = np.array([it.state == "raced" for it in result.trials], dtype=bool)
    at = np.arange(1, len(losses) + 1)
    known = np.isfinite(losses)
    if known.any():
        low, high = losses[known].min(), np.quantile(losses[known], 0.95)
        room = max(high - low, 1e-6, 0.01 * abs(low))
        axes.set_ylim(low - 0.08 * room, high + 0.12 * room)
    for some, face, label in (
        (known & ~raced, OTHER, "candidate"),
        (known & raced, "none", "stopped early"),
    ):
        if some.any():
            axes.scatter(
                at[some], losses[some], s=14, facecolor=face, edgecolor=OTHER, linewidths=0.9,
                alpha=0.75, label=label, zorder=3,
            )  # fmt: skip
    if known.any():
        axes.step(
            at, best_so_far(result.trials), where="post", color=CHOSEN, linewidth=1.8,
            label="best so far", zorder=4,
        )  # fmt: skip
        axes.legend(
            loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=3, frameon=False, fontsize=8,
            labelcolor=SOFT_INK, borderaxespad=0.2, handlelength=1.6,
        )  # fmt: skip
    axes.set_xlim(0.5, max(1, len(losses)) + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))
    axes.set_xlabel("candidate", size=8.5, color=SOFT_INK)
    axes.set_ylabel("loss while searching", size=8.5, color=SOFT_INK)


def draw_rivals(axes: Axes, result: TuneResult) -> None:
    """Draw the scores of the blend and of the other ways with their intervals, best first."""
    plain_axes(axes)
    shown = compared(result)[:MOST]
    factor = 100 if in_points(result.metric) else 1
    for row, (name, value, interval) in enumerate(shown):
        colour = CHOSEN if name == BLEND else OTHER
        if name == BLEND:
            axes.axvline(factor * value, color=FAINT_INK, linewidth=1, linestyle=(0, (4, 3)))
        if interval is not None:
            ends = [factor * it for it in interval]
            axes.plot(ends, [row, row], color=colour, linewidth=1.8, zorder=4)
        axes.plot(factor * value, row, "o", markersize=5.5, color=colour, zorder=5)
    unit = " (points)" if factor == 100 else ""
    named = f"{result.metric.replace('_', ' ')}{unit} on the {judged_on(result)}; bar: 95 %"
    axes.set_xlabel(named, size=8.5, color=SOFT_INK)
    _name_rows(axes, [name for name, _, _ in shown], len(shown), 3)
    for label, (name, _, _) in zip(axes.get_yticklabels(), shown, strict=True):
        if name == BLEND:
            label.set_color(CHOSEN)
            label.set_fontweight("bold")


def _name_rows(axes: Axes, names: list[str], rows: int, least: int) -> None:
    axes.set_yticks(range(rows), [shorten(it, LETTERS) for it in names])
    for label in axes.get_yticklabels():
        label.set_parse_math(False)
    axes.set_ylim(max(least, rows) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    for row in range(0, rows, 2):
        axes.axhspan(row - 0.5, row + 0.5, color=LINE, alpha=0.22, linewidth=0, zorder=0)
