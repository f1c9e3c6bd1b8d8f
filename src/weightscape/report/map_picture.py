"""The map drawn on matplotlib axes: regions as soft hulls, one square a tree."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import PathPatch
from matplotlib.path import Path as Outline
from scipy.spatial import ConvexHull

from weightscape.report.data import PageData
from weightscape.report.kinship import Kinship
from weightscape.report.layout import MapLayout, pack_trees
from weightscape.report.scenery import (
    FAINT_INK,
    LINE,
    PANEL,
    SOFT_INK,
    region_colours,
    tree_shapes,
)
from weightscape.report.words import region_title, shorten

Box = tuple[float, float, float, float]
MOST_COVERED = 1
"""How many models a name may cover."""


def draw_map(axes: Axes, data: PageData, kinship: Kinship) -> None:
    """Draw the map of regions on axes of any size."""
    layout = pack_trees(data.models)
    colours = region_colours(data)
    shapes = tree_shapes([box.tree for box in layout.boxes])
    axes.set_aspect("equal")
    axes.axis("off")
    if not layout.points:
        axes.text(0.02, 0.5, "No model has a place on the map.", size=8.5, color=FAINT_INK)
        return
    for child, parent in kinship.parent.items() if len(layout.points) <= 80 else ():
        if child in layout.points and parent in layout.points:
            ends = np.array([layout.points[parent], layout.points[child]]).T
            axes.plot(*ends, color=LINE, linewidth=0.7, zorder=1)
    radius = _draw_hulls(axes, data, layout, colours)
    size = max(14.0, 70 - 6 * np.log2(len(layout.points) + 1))
    for box in layout.boxes:
        inside = [model for model in data.models if model.tree == box.tree]
        here = np.array([layout.points[m.name] for m in inside if m.name in layout.points])
        paint = [colours.get(m.name) for m in inside if m.name in layout.points]
        axes.scatter(
            here[:, 0],
            here[:, 1],
            s=size,
            marker=shapes[box.tree],
            facecolors=[colour or PANEL for colour in paint],
            edgecolors=[PANEL if colour else FAINT_INK for colour in paint],
            linewidths=[0.7 if colour else 1.4 for colour in paint],
            zorder=3,
        )
    _name_map(axes, data, kinship, layout, radius)


def _draw_hulls(axes: Axes, data: PageData, layout: MapLayout, colours: dict[str, str]) -> float:
    reach = max(box.left + box.side for box in layout.boxes)
    radius = float(reach * 0.024)
    turns = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    disc = radius * np.column_stack([np.cos(turns), np.sin(turns)])
    for region in data.regions:
        points = [layout.points[name] for name in region.members if name in layout.points]
        if not points:
            continue
        ring = (np.array(points)[:, None, :] + disc).reshape(-1, 2)
        corners = ring[ConvexHull(ring).vertices]
        outline = Outline(np.vstack([corners, corners[:1]]), closed=True)
        colour = colours[region.members[0]]
        axes.add_patch(PathPatch(outline, facecolor=colour, alpha=0.1, linewidth=0, zorder=0))
        axes.add_patch(
            PathPatch(outline, fill=False, edgecolor=colour, alpha=0.4, linewidth=0.8, zorder=0)
        )
    return radius


def _name_map(
    axes: Axes, data: PageData, kinship: Kinship, layout: MapLayout, radius: float
) -> None:
    """Name trees, roots and regions, largest first; a name without a free place is left out."""
    right = max(box.left + box.side for box in layout.boxes)
    bottom = min(box.bottom for box in layout.boxes)
    axes.set_xlim(0, right)
    axes.set_ylim(bottom, 0)
    names = _Names(axes, (0.0, bottom, right, 0.0), points=list(layout.points.values()))
    several = len(layout.boxes) > 1
    for box in layout.boxes if several else ():
        names.put(box.tree, [(box.left, box.bottom + box.side)], 0.0, FAINT_INK, corner=True)
    for root in kinship.roots if not several else ():
        if root in layout.points and kinship.children[root]:
            names.put(root, [layout.points[root]], radius * 0.6, SOFT_INK)
    colours = region_colours(data)
    tree = {model.name: model.tree for model in data.models}
    for region in sorted(data.regions, key=lambda region: -len(region.members)):
        here = [layout.points[name] for name in region.members if name in layout.points]
        if here:
            home = f"{tree[region.members[0]]}/"
            title = region_title(region.label).removeprefix(home if several else "")
            names.put(title, here, radius * 1.15, colours[region.members[0]])


class _Names:
    """Names put on a map so far, and where they and the models leave no room for more."""

    def __init__(self, axes: Axes, area: Box, points: list[tuple[float, float]]) -> None:
        frame = axes.get_window_extent()
        width, height = frame.width / axes.figure.dpi, frame.height / axes.figure.dpi
        unit = max((area[2] - area[0]) / width, (area[3] - area[1]) / height)  # of data, an inch
        self.axes, self.area, self.points = axes, area, points
        self.high, self.letter = 0.15 * unit, 0.078 * unit
        self.taken: list[Box] = []

    def put(
        self,
        text: str,
        over: list[tuple[float, float]],
        lift: float,
        colour: str,
        *,
        corner: bool = False,
    ) -> None:
        """Write a name above or below some points, or right below a corner."""
        label = shorten(text, 22)
        wide = self.letter * len(label)
        left = (min(x for x, _ in over) + max(x for x, _ in over)) / 2 - (0 if corner else wide / 2)
        left = min(max(left, self.area[0]), self.area[2] - wide)
        above = max(y for _, y in over) + lift
        below = min(y for _, y in over) - lift - self.high
        for base in (below,) if corner else (above, below):
            box = (left, base, left + wide, base + self.high)
            if self._free(box):
                self.taken.append(box)
                self.axes.text(
                    left + wide / 2,
                    base,
                    label,
                    size=8 if corner else 9,
                    color=colour,
                    ha="center",
                    va="bottom",
                    parse_math=False,  # a name may hold dollar signs
                    zorder=4,
                )
                return

    def _free(self, box: Box) -> bool:
        left, bottom, right, top = box
        if bottom < self.area[1] or top > self.area[3]:
            return False
        if any(left < b[2] and b[0] < right and bottom < b[3] and b[1] < top for b in self.taken):
            return False
        return sum(left < x < right and bottom < y < top for x, y in self.points) <= MOST_COVERED
