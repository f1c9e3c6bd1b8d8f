"""Colours and shapes of the static pictures: the page's light theme, in matplotlib's words."""

from collections import Counter

from weightscape.report.data import PageData

# told apart by people who confuse red and green; the same values as in templates/tokens.css
PALETTE = (
    "#0072b2",
    "#d55e00",
    "#009e73",
    "#b8578f",
    "#c98a00",
    "#46a6d9",
    "#7a2a5c",
    "#7f7f1e",
    "#4b3ba0",
    "#a33b32",
)
SHAPES = ("o", "s", "D", "^", "P", "v", "h", "*")
PANEL, LINE, INK, SOFT_INK, FAINT_INK, ACCENT = (
    "#fdfdfc",
    "#d9d8d2",
    "#1b1d21",
    "#484c54",
    "#6a6e77",
    "#14598a",
)
UNSURE = 0.7
"""Edges below this confidence are dashed."""


def region_hues(data: PageData) -> tuple[int, ...]:
    """Give each region a number for its colour, in the order of `data.regions`.

    Tree by tree, largest region first: regions of one tree share a colour (modulo the palette)
    only when the tree has more regions than the palette has colours.
    """
    tree = {model.name: model.tree for model in data.models}
    size = Counter(tree.values())

    def home(place: int) -> str:
        return next((tree[name] for name in data.regions[place].members if name in tree), "")

    order = sorted(
        range(len(data.regions)),
        key=lambda place: (-size[home(place)], home(place), -len(data.regions[place].members)),
    )
    hues = [0] * len(order)
    for rank, place in enumerate(order):
        hues[place] = rank
    return tuple(hues)


def region_colours(data: PageData) -> dict[str, str]:
    """Tell each model's colour by its region; models in no region are not in it."""
    return {
        name: PALETTE[hue % len(PALETTE)]
        for region, hue in zip(data.regions, region_hues(data), strict=True)
        for name in region.members
    }


def tree_shapes(trees: list[str]) -> dict[str, str]:
    """Tell each tree's marker."""
    return {tree: SHAPES[place % len(SHAPES)] for place, tree in enumerate(trees)}
