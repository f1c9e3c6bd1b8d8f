"""The loss over the plane through three models, as contours."""

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray

from weightscape.paths.records import PlaneResult
from weightscape.report.canvas import new_figure, save_picture
from weightscape.report.path_picture import plain_axes
from weightscape.report.path_words import head_tag, number
from weightscape.report.scenery import INK, PANEL, SOFT_INK
from weightscape.report.words import shorten

LEVELS = 9
# light where the loss is low; one hue and falling lightness, so it reads without colour as well
HEIGHTS = LinearSegmentedColormap.from_list(
    "heights", ["#f2f7fb", "#c4dcee", "#86b6da", "#3f86bd", "#14598a", "#0a3157"]
)
EDGE = 0.04  # share of the picture at its sides where a number would be cut
BESIDE = np.array([0.12, 0.05])  # shares of width and height that another number takes
SIGNS_OF_WORDS = 96
ROOM = 0.17  # share of the picture about a model that its name takes


def plot_plane(result: PlaneResult, path: str | Path) -> Path:
    """Draw a plane; the path's extension says PNG, SVG or PDF."""
    wide = float(result.x[-1] - result.x[0])
    high = float(result.y[-1] - result.y[0])
    width = 6.4
    body = min(max((width - 1.85) * high / wide, 2.2), 7.0)
    total = body + 1.7
    figure = new_figure(width, total)
    names = ", ".join(shorten(name, 20) for name in result.names)
    figure.text(
        0.025,
        1 - 0.3 / total,
        f"{shorten(result.task, 26)}: loss on the plane through three models",
        size=11.5,
        weight="bold",
        color=INK,
        parse_math=False,
    )
    words = f"{names}; {result.loss_rows} held-out rows"
    figure.text(0.025, 1 - 0.54 / total, words, size=9, color=SOFT_INK, parse_math=False)
    heads = shorten(head_tag(result), SIGNS_OF_WORDS)
    figure.text(0.025, 1 - 0.74 / total, heads, size=9, color=SOFT_INK, parse_math=False)
    axes = figure.add_axes((0.62 / width, 0.55 / total, (width - 1.85) / width, body / total))
    bar = figure.add_axes((1 - 0.98 / width, 0.55 / total, 0.16 / width, body / total))
    draw_plane(axes, result, bar)
    return save_picture(figure, path)


def levels(losses: NDArray[np.float64], count: int = LEVELS) -> NDArray[np.float64]:
    """Space contours evenly in the logarithm of the height above the lowest point.

    Basins are flat and the walls between them steep: even steps would leave basins empty. A
    surface without heights gets two levels about its one value.
    """
    known = losses[np.isfinite(losses)]
    if not known.size:
        return np.array([0.0, 1.0])
    low, high = float(known.min()), float(known.max())
    rise = high - low
    if rise <= 1e-9 * max(1.0, abs(low)):
        return np.array([low - 0.5, low + 0.5])
    steps = np.geomspace(0.02, 1.0, count) * rise
    return np.concatenate(([low], low + steps))


def draw_plane(axes: Axes, result: PlaneResult, bar: Axes) -> None:
    """Draw contours of the loss with the three models on them, and the scale of the loss."""
    from matplotlib.colors import BoundaryNorm

    heights = np.ma.masked_invalid(result.losses)
    edges = levels(result.losses)
    norm = BoundaryNorm(list(edges), HEIGHTS.N, clip=True)
    plain_axes(axes)
    axes.set_facecolor("#e4e2dc")  # where nothing finite was found
    filled = axes.contourf(result.x, result.y, heights, levels=list(edges), cmap=HEIGHTS, norm=norm)
    lines = axes.contour(
        result.x, result.y, heights, levels=list(edges[1:-1]), colors=INK, linewidths=0.5, alpha=0.5
    )
    taken: list[tuple[float, float]] = []
    for label in axes.clabel(lines, fontsize=8, fmt=_level, inline=False):
        label.set_path_effects([withStroke(linewidth=2.2, foreground=PANEL)])
        label.set_color(INK)
        # there is no room for a number where a model's name stands; the scale tells the level
        if _has_room(label.get_position(), result, taken):
            taken.append(label.get_position())
        else:
            label.remove()
    corners = np.vstack((result.positions, result.positions[:1]))
    axes.plot(*corners.T, color=INK, linewidth=0.9, linestyle=(0, (2, 3)))
    for place, (name, (x, y)) in enumerate(zip(result.names, result.positions, strict=True)):
        axes.plot(x, y, "o", markersize=8, color=PANEL, markeredgecolor=INK, markeredgewidth=1.6)
        below = place < 2
        axes.annotate(
            f"{shorten(name, 22)}\n{number(result.ends_loss[place])}",
            (x, y),
            (0, -8 if below else 8),
            textcoords="offset points",
            ha="center",
            va="top" if below else "bottom",
            size=8.5,
            color=INK,
            parse_math=False,
            path_effects=[withStroke(linewidth=3, foreground=PANEL)],
        )
    axes.set_aspect("equal")
    axes.set_xlabel("distance along the first two models (L2)", size=8.5, color=SOFT_INK)
    axes.set_ylabel("distance beside it (L2)", size=8.5, color=SOFT_INK)
    scale = axes.figure.colorbar(filled, cax=bar, spacing="uniform", ticks=list(edges))
    unit = f" ({result.loss_unit})" if result.loss_unit else ""
    scale.set_label(f"held-out loss{unit}", size=8.5, color=SOFT_INK)
    scale.ax.set_yticklabels([_level(it) for it in edges])
    scale.ax.tick_params(labelsize=8, colors=SOFT_INK, length=0)
    scale.outline.set_visible(False)


def _level(value: float) -> str:
    return f"{value:.3g}"


def _has_room(
    position: tuple[float, float], result: PlaneResult, taken: list[tuple[float, float]]
) -> bool:
    """Tell whether a number can stand somewhere: off the edge, the models' names, other numbers."""
    corner = np.array([result.x[0], result.y[0]])
    sides = np.array([result.x[-1], result.y[-1]]) - corner
    here = (np.asarray(position) - corner) / sides
    apart = np.abs((result.positions - corner) / sides - here)
    inside = bool((here > EDGE).all() and (here < 1 - EDGE).all())
    beside = np.abs((np.array(taken).reshape(-1, 2) - corner) / sides - here)
    free = not (beside < BESIDE).all(axis=1).any()
    return inside and free and not (apart < ROOM).all(axis=1).any()
