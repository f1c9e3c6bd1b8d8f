"""The forest drawn on matplotlib axes: one row a model, as on the page."""

from matplotlib.axes import Axes

from weightscape.report.data import PageData
from weightscape.report.kinship import Kinship, Rows
from weightscape.report.layout import pack_trees
from weightscape.report.scenery import (
    ACCENT,
    FAINT_INK,
    INK,
    LINE,
    PANEL,
    SOFT_INK,
    UNSURE,
    region_colours,
    tree_shapes,
)
from weightscape.report.words import shorten


def draw_forest(axes: Axes, data: PageData, kinship: Kinship, rows: Rows) -> None:
    """Draw one row a model, as the page does: children below and right of their parent."""
    row = {name: place for place, (name, _, _) in enumerate(rows) if name is not None}
    models = {model.name: model for model in data.models}
    colours = region_colours(data)
    shapes = tree_shapes([box.tree for box in pack_trees(data.models).boxes])
    deepest = max((depth for _, depth, _ in rows), default=0)
    step = min(0.05, 0.3 / max(1, deepest))
    for place, (name, depth, left) in enumerate(rows):
        here = (0.02 + depth * step, place)
        if name is None:
            _words(axes, here[0], here[1], f"and {left:,} more", faint=True)
            continue
        above = kinship.parent.get(name)
        if above is not None:
            _branch(axes, here, (here[0] - step, row[above]), kinship, name)
        colour = colours.get(name)
        axes.plot(
            *here,
            marker=shapes.get(models[name].tree, "o"),
            markersize=6,
            markeredgecolor=colour or FAINT_INK,
            markerfacecolor=colour or PANEL,
            markeredgewidth=1.2,
            zorder=3,
        )
        _words(axes, here[0] + 0.018, here[1], shorten(name, 44), bold=above is None)
        _words(axes, 0.99, here[1], _kind(kinship, name), faint=True, right=True)
    axes.set_xlim(0, 1)
    axes.set_ylim(max(len(rows), 1) + 0.2, -0.8)
    axes.axis("off")


def _branch(
    axes: Axes,
    here: tuple[float, float],
    above: tuple[float, float],
    kinship: Kinship,
    name: str,
) -> None:
    edge = kinship.edges[name][0]
    axes.plot([above[0]] * 2, [above[1] + 0.3, here[1]], color=LINE, linewidth=0.9, zorder=1)
    style = (0, (2.5, 1.8)) if edge.confidence < UNSURE else "solid"
    colour = ACCENT if edge.kind == "merge" else SOFT_INK
    same = edge.kind in ("copy", "cast", "quantised")
    width = 3.2 if same else 0.8 if edge.kind in ("lora", "adapter", "pruned", "unknown") else 1.4
    ends = [above[0], here[0] - 0.006], [here[1]] * 2
    axes.plot(*ends, color=colour, linewidth=width, linestyle=style, zorder=2)
    if same:  # a double line, like an equals sign: nothing was learnt in between
        axes.plot(*ends, color=PANEL, linewidth=1.4, zorder=2)


def _kind(kinship: Kinship, name: str) -> str:
    edges = kinship.edges[name]
    if not edges:
        return "root" if kinship.children[name] else "no kin"
    several = f" of {len(edges)}" if len(edges) > 1 else ""
    return f"{edges[0].kind}{several}  {edges[0].confidence:.2f}"


def _words(
    axes: Axes,
    x: float,
    y: float,
    text: str,
    *,
    bold: bool = False,
    faint: bool = False,
    right: bool = False,
) -> None:
    axes.text(
        x,
        y,
        text,
        size=7.5 if faint else 8.5,
        color=FAINT_INK if faint else INK,
        weight="bold" if bold else "normal",
        ha="right" if right else "left",
        va="center_baseline",
        parse_math=False,  # a name may hold dollar signs
    )
