"""What is known where on a path: examples as rows, points as columns."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap

from weightscape.paths.records import Series
from weightscape.report.knowledge_order import order_rows
from weightscape.report.scenery import LINE, SOFT_INK
from weightscape.report.words import shorten

# neither is the colour of a task
RIGHT, WRONG = "#d8e4ec", "#3b4f63"


def draw_knowledge(
    axes: Axes, series: Series, *, first: bool = True, named: bool = False, split: str = "train"
) -> None:
    """Draw which rows of a split are answered rightly at which point."""
    table = series.train if split == "train" else series.held_out
    rows = np.asarray(table.correct).T[order_rows(table.correct)]
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
    axes.set_ylim(len(rows), 0)
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1])
    axes.set_xticklabels(["0", "0.25", "t = 0.5", "0.75", "1"])
    for side in axes.spines.values():
        side.set_visible(False)
    axes.tick_params(labelsize=8, colors=SOFT_INK, color=LINE, length=3)
    kind = "training " if split == "train" else "held-out "
    what = f"rows of {shorten(series.task, 18)}" if named else f"{kind}rows"
    title = f"{len(rows)} {what} (dark: wrong)"
    axes.set_title(title, size=9, color=SOFT_INK, loc="left", pad=5, parse_math=False)
    if first:
        axes.set_ylabel("rows, by where they flip", size=8.5, color=SOFT_INK)
    axes.set_yticks([])
