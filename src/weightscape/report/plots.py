"""Static pictures of forest and map, as PNG or SVG by the name they are given."""

from collections.abc import Callable
from pathlib import Path

from weightscape.report.canvas import new_figure, save_picture
from weightscape.report.data import PageData
from weightscape.report.forest_picture import draw_forest
from weightscape.report.kinship import trace_kinship
from weightscape.report.map_picture import draw_map
from weightscape.report.scenery import INK, SOFT_INK
from weightscape.report.words import summary

ROW = 0.21  # inches a model in the forest
MOST_ROWS = 400
OVERVIEW_ROWS = 34


def plot_forest(data: PageData, path: str | Path) -> Path:
    """Draw who was fine-tuned from whom; the path's extension says PNG, SVG or PDF."""
    kinship = trace_kinship(data)
    rows = kinship.outline(MOST_ROWS)[:MOST_ROWS]
    figure = new_figure(7.2, max(1.6, len(rows) * ROW + 0.5))
    draw_forest(figure.add_axes((0.01, 0.01, 0.98, 0.98)), data, kinship, rows)
    return save_picture(figure, path)


def plot_map(data: PageData, path: str | Path) -> Path:
    """Draw the map of regions; the path's extension says PNG, SVG or PDF."""
    figure = new_figure(7.2, 6.4)
    draw_map(figure.add_axes((0.01, 0.01, 0.98, 0.98)), data, trace_kinship(data))
    return save_picture(figure, path)


def plot_overview(data: PageData, path: str | Path) -> Path:
    """Draw the forest and the map side by side under the words that say what was found."""
    kinship = trace_kinship(data)
    rows = kinship.outline(OVERVIEW_ROWS)[:OVERVIEW_ROWS]
    height = max(5.6, len(rows) * ROW + 1.1)
    figure = new_figure(10.4, height)
    top = 1 - 0.8 / height
    figure.text(0.025, 1 - 0.34 / height, data.title, size=15, weight="bold", color=INK)
    figure.text(0.025, 1 - 0.62 / height, summary(data, kinship), size=10.5, color=SOFT_INK)
    draw_forest(figure.add_axes((0.02, 0.015, 0.46, top - 0.02)), data, kinship, rows)
    side = min(top - 0.02, 5.3 / height)
    draw_map(figure.add_axes((0.5, top - side, 0.49, side)), data, kinship)
    return save_picture(figure, path)


PLOTS: dict[str, Callable[[PageData, str | Path], Path]] = {
    "forest": plot_forest,
    "map": plot_map,
    "overview": plot_overview,
}
"""The pictures by name."""
