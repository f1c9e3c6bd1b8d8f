"""What is known where on a path: examples as rows, points as columns."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap

from weightscape.paths.records import Series
from weightscape.report.knowledge_order import told_rows
from weightscape.report.path_words import rows_words
from weightscape.report.scenery import LINE, SOFT_INK
from weightscape.report.words import shorten

# neither is the colour of a task
RIGHT, WRONG = "#d8e4ec", "#3b4f63"


def draw_knowledge(
    axes: Axes, series: Series, *, first: bool = True, named: bool = False, split: str = "train"
) -> None:
    """Draw which rows of a split, beside those known all along, are right at which point."""
    table = series.train if split == "train" else series.held_out
    shown, always = told_rows(table.correct)
    rows = np.asarray(table.correct).T[shown]
    ts = [it.t for it in series.points]
    edges = np.concatenate(([ts[0]], (np.array(ts[1:]) + np.array(ts[:-1])) / 2, [ts[-1]]))
    axes.set_facecolor(LINE)
    axes.pcolormesh(
        edges,
        np.arange(len(rows) + 1),
        np.ma.masked_invalid(rows),
        cmap=ListedColormap([WRONG, RIGHT]),
        vmin=0,
        vmax=1,
        rasterized=True,
    )
    axes.set_xlim(0, 1)
    axes.set_ylim(max(1, len(rows)), 0)
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1])
    axes.set_xticklabels(["0", "0.25", "t = 0.5", "0.75", "1"])
    for side in axes.spines.values():
        side.set_visible(False)
    axes.tick_params(labelsize=8, colors=SOFT_INK, color=LINE, length=3)
    kind = rows_words(split)
    many = f"{len(rows)} of {len(table.rows)}"
    title = (
        f"{shorten(series.task, 11)}: {many} {kind}, dark: wrong"
        if named
        else f"{many} {kind} rows (dark: wrong); the other {always} are right all along"
    )
    axes.set_title(title, size=9, color=SOFT_INK, loc="left", pad=5, parse_math=False)
    if first:
        words = "rows not always right,\nby where they flip"
        axes.set_ylabel(words, size=8.5, color=SOFT_INK)
    axes.set_yticks([])
