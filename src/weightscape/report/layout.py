"""Places on the map: each tree keeps its own layout, trees stand side by side."""

import math
from dataclasses import dataclass

from weightscape.report.data import PageModel


@dataclass(frozen=True, slots=True)
class TreeBox:
    """The square that a tree's models stand in."""

    tree: str
    left: float
    bottom: float
    side: float


@dataclass(frozen=True, slots=True)
class MapLayout:
    """Where every model with a place stands, and the squares of the trees, largest first."""

    points: dict[str, tuple[float, float]]
    boxes: tuple[TreeBox, ...]


def pack_trees(models: tuple[PageModel, ...]) -> MapLayout:
    """Pack the layouts of the trees into one picture, on shelves, the largest tree first.

    A tree's square grows with the square root of its models, so that models are about equally
    dense everywhere; inside its square a layout is only moved and scaled, never stretched.
    """
    trees: dict[str, list[tuple[str, float, float]]] = {}
    for model in models:
        if model.x is None or model.y is None:
            continue
        if math.isfinite(model.x) and math.isfinite(model.y):
            trees.setdefault(model.tree, []).append((model.name, model.x, model.y))
    order = sorted(trees, key=lambda tree: (-len(trees[tree]), tree))
    boxes = _shelve([(tree, math.sqrt(len(trees[tree]) + 3)) for tree in order])
    points: dict[str, tuple[float, float]] = {}
    for box in boxes:
        points.update(_fit(trees[box.tree], box))
    return MapLayout(points, boxes)


def _shelve(sides: list[tuple[str, float]]) -> tuple[TreeBox, ...]:
    # the width that makes the whole about square; shelves run downwards
    width = max(math.sqrt(sum(side * side for _, side in sides)) * 1.1, sides[0][1] if sides else 0)
    boxes: list[TreeBox] = []
    left, top, height = 0.0, 0.0, 0.0
    for tree, side in sides:
        if left > 0 and left + side > width * 1.001:
            left, top, height = 0.0, top - height, 0.0
        boxes.append(TreeBox(tree, left, top - side, side))
        left += side
        height = max(height, side)
    return tuple(boxes)


def _fit(placed: list[tuple[str, float, float]], box: TreeBox) -> dict[str, tuple[float, float]]:
    xs = [x for _, x, _ in placed]
    ys = [y for _, _, y in placed]
    reach = max(max(xs) - min(xs), max(ys) - min(ys))
    # a margin of a seventh on every side leaves room for the regions' hulls and labels
    scale = box.side * 5 / 7 / reach if reach > 0 else 0.0
    middle_x, middle_y = (max(xs) + min(xs)) / 2, (max(ys) + min(ys)) / 2
    centre_x, centre_y = box.left + box.side / 2, box.bottom + box.side / 2
    return {
        name: (centre_x + (x - middle_x) * scale, centre_y + (y - middle_y) * scale)
        for name, x, y in placed
    }
