"""Ranked starting points as a picture: scores with intervals, runs as dots, the base as a line."""

import textwrap
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

from weightscape.report.canvas import new_figure, save_picture
from weightscape.report.path_picture import plain_axes
from weightscape.report.scenery import FAINT_INK, INK, LINE, PALETTE, SOFT_INK
from weightscape.report.start_words import base_of, in_points
from weightscape.report.words import shorten
from weightscape.starts.records import RankedStart, StartResult

WIDTH = 7.2
HEAD, LINE_HEIGHT, FOOT, GAP = 1.02, 0.26, 0.5, 0.3  # inches
NAMES, RIGHT, PROBE = 2.15, 0.2, 1.5
CHOSEN, OTHER, BASE = PALETTE[2], PALETTE[0], INK
RUNS_BELOW = 0.26  # of a row, so that the bar does not hide them
LETTERS = 30  # of a name, that fit into NAMES
MOST = 30  # candidates shown; the base is always among them


def plot_start(result: StartResult, path: str | Path) -> Path:
    """Draw ranked starts; the path's extension says PNG, SVG or PDF.

    On the left the score after short fine-tunings (dots: single runs; bar: 95 % interval; line:
    the base; hollow: the test split, which nothing was chosen on), on the right the probe's loss.
    """
    shown = _shown(result)
    body = LINE_HEIGHT * max(3, len(shown))
    total = HEAD + body + FOOT
    figure = new_figure(WIDTH, total)
    title = f"Where to start from for {shorten(result.task, 44)} ({result.method})"
    figure.text(
        0.025, 1 - 0.28 / total, title, size=11.5, weight="bold", color=INK, parse_math=False
    )
    for line, words in enumerate(textwrap.wrap(result.why, 108)[:2]):
        at = 1 - (0.49 + 0.18 * line) / total
        figure.text(0.025, at, words, size=9, color=SOFT_INK, parse_math=False)
    wide = WIDTH - NAMES - RIGHT - PROBE - GAP
    bottom = FOOT / total
    scores = figure.add_axes((NAMES / WIDTH, bottom, wide / WIDTH, body / total))
    probes = figure.add_axes(
        ((NAMES + wide + GAP) / WIDTH, bottom, PROBE / WIDTH, body / total), sharey=scores
    )
    draw_scores(scores, result, shown)
    draw_probes(probes, result, shown)
    return save_picture(figure, path)


def draw_scores(axes: Axes, result: StartResult, shown: list[RankedStart]) -> None:
    """Draw each candidate's runs, its mean and its interval, and the base's mean as a line."""
    plain_axes(axes)
    factor = 100 if in_points(result.metric) else 1
    base = base_of(result)
    if base is not None and base.score is not None:
        axes.axvline(factor * base.score, color=FAINT_INK, linewidth=1, linestyle=(0, (4, 3)))
    for row, start in enumerate(shown):
        colour = _colour(start, result)
        runs = [it.metrics[result.metric] for it in start.runs if result.metric in it.metrics]
        axes.scatter(
            factor * np.array(runs), np.full(len(runs), row + RUNS_BELOW), s=10, color=colour,
            alpha=0.55, linewidths=0, zorder=3,
        )  # fmt: skip
        if start.score is not None:
            axes.plot(factor * start.score, row, "o", markersize=5.5, color=colour, zorder=5)
        if start.score_interval is not None:
            low, high = (factor * it for it in start.score_interval)
            axes.plot([low, high], [row, row], color=colour, linewidth=1.8, zorder=4)
        tested = start.held_out.get(result.metric)
        if tested is not None:
            axes.plot(factor * tested, row, "D", markersize=5, color=colour, markerfacecolor="none")
    _name_rows(axes, result, shown)
    unit = " (points)" if factor == 100 else ""
    named = result.metric.replace("_", " ")
    axes.set_xlabel(f"{named}{unit} on rows not trained on", size=8.5, color=SOFT_INK)
    if any(it.held_out for it in shown):
        axes.plot([], [], "D", color=SOFT_INK, markerfacecolor="none", markersize=5,
                  linestyle="", label="test split")  # fmt: skip
    if base is not None and base.score is not None:
        axes.plot([], [], color=FAINT_INK, linewidth=1, linestyle=(0, (4, 3)), label="the base")
    if axes.get_legend_handles_labels()[1]:
        axes.legend(
            loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=2, frameon=False, fontsize=8,
            labelcolor=SOFT_INK, borderaxespad=0.2, handlelength=1.6,
        )  # fmt: skip


def draw_probes(axes: Axes, result: StartResult, shown: list[RankedStart]) -> None:
    """Draw each candidate's probe loss with its interval; lower is better."""
    plain_axes(axes)
    for row, start in enumerate(shown):
        colour = _colour(start, result)
        axes.plot(start.probe_interval, [row, row], color=colour, linewidth=1.4, alpha=0.6)
        axes.plot(start.probe_loss, row, "o", markersize=4, color=colour)
    axes.tick_params(axis="y", labelleft=False, length=0)
    axes.spines["left"].set_visible(False)
    axes.set_xlabel("probe's loss", size=8.5, color=SOFT_INK)


def _name_rows(axes: Axes, result: StartResult, shown: list[RankedStart]) -> None:
    axes.set_yticks(range(len(shown)), [shorten(it.candidate.name, LETTERS) for it in shown])
    for label, start in zip(axes.get_yticklabels(), shown, strict=True):
        label.set_parse_math(False)
        label.set_color(_colour(start, result) if _marked(start, result) else SOFT_INK)
        label.set_fontweight("bold" if start.candidate.name == result.recommended else "normal")
    axes.set_ylim(max(3, len(shown)) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    for row in range(0, len(shown), 2):
        axes.axhspan(row - 0.5, row + 0.5, color=LINE, alpha=0.22, linewidth=0, zorder=0)


def _marked(start: RankedStart, result: StartResult) -> bool:
    return start.candidate.name == result.recommended or start.candidate.kind == "base"


def _colour(start: RankedStart, result: StartResult) -> str:
    if start.candidate.name == result.recommended:
        return CHOSEN
    return BASE if start.candidate.kind == "base" else OTHER


def _shown(result: StartResult) -> list[RankedStart]:
    """Take the best; the base is always among them."""
    best = list(result.ranked[:MOST])
    base = base_of(result)
    if base is not None and base not in best:
        best[-1] = base
    return best
