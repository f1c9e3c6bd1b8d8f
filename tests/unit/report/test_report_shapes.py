"""Forest, map layout, words and pictures."""

from pathlib import Path
from typing import Any

import matplotlib as mpl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weightscape.errors import BadInput
from weightscape.report.data import PageData, PageEdge, PageModel, PageRegion, PageSkipped
from weightscape.report.kinship import trace_kinship
from weightscape.report.layout import pack_trees
from weightscape.report.plots import PLOTS, plot_forest
from weightscape.report.scenery import PALETTE, region_colours, region_hues
from weightscape.report.words import shorten, summary


def model(name: str, tree: str = "tree", **more: Any) -> PageModel:
    return PageModel(name, name, "family", tree, **more)


def page(models: list[PageModel], edges: list[tuple[str, str]], **more: Any) -> PageData:
    drawn = tuple(PageEdge(parent, child, "full", 0.9) for parent, child in edges)
    return PageData("t", "now", "0", "chart t", tuple(models), drawn, **more)


def test_forest_puts_the_largest_branch_first() -> None:
    data = page(
        [model(name) for name in ("c", "a", "b", "root", "b1")],
        [("root", "a"), ("root", "b"), ("root", "c"), ("b", "b1")],
    )
    kinship = trace_kinship(data)
    assert kinship.roots == ("root",)
    assert kinship.children["root"] == ("b", "a", "c")
    assert kinship.size["root"] == 5
    assert kinship.depth == {"root": 0, "a": 1, "b": 1, "c": 1, "b1": 2}


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=25), st.integers(1, 14))
def test_any_edges_make_a_forest_with_every_model_once(
    pairs: list[tuple[int, int]], most: int
) -> None:
    data = page([model(str(i)) for i in range(10)], [(str(a), str(b)) for a, b in pairs])
    kinship = trace_kinship(data)
    assert sorted(name for name, _, _ in kinship.outline(100)) == sorted(map(str, range(10)))  # type: ignore[type-var]
    assert sum(kinship.size[root] for root in kinship.roots) == 10
    short = kinship.outline(most)
    shown = {name for name, _, _ in short if name is not None}
    left = [row for row in short if row[0] is None]
    assert len(shown) == 10 or left  # what is not shown is said to be left out


def test_a_merge_hangs_below_its_first_parent_that_is_there() -> None:
    data = page([model("a"), model("m")], [("absent", "m"), ("a", "m")])
    kinship = trace_kinship(data)
    assert kinship.parent == {"m": "a"}
    assert [edge.parent for edge in kinship.edges["m"]] == ["absent", "a"]


@settings(deadline=None, max_examples=40)
@given(
    st.lists(
        st.tuples(st.sampled_from("abc"), st.floats(-1e6, 1e6), st.floats(-1e6, 1e6)), min_size=1
    )
)
def test_trees_stand_in_squares_that_do_not_overlap(places: list[tuple[str, float, float]]) -> None:
    layout = pack_trees(
        tuple(model(str(i), tree, x=x, y=y) for i, (tree, x, y) in enumerate(places))
    )
    box = {box.tree: box for box in layout.boxes}
    for i, (tree, _, _) in enumerate(places):
        x, y = layout.points[str(i)]
        assert box[tree].left < x < box[tree].left + box[tree].side
        assert box[tree].bottom < y < box[tree].bottom + box[tree].side
    for one in layout.boxes:
        for other in layout.boxes:
            apart = (
                one.left + one.side <= other.left + 1e-9
                or other.left + other.side <= one.left + 1e-9
                or one.bottom + one.side <= other.bottom + 1e-9
                or other.bottom + other.side <= one.bottom + 1e-9
            )
            assert one is other or apart


def test_layout_is_moved_and_scaled_but_not_stretched() -> None:
    corners = [(0.0, 0.0), (4.0, 0.0), (4.0, 1.0)]
    layout = pack_trees(tuple(model(str(i), x=x, y=y) for i, (x, y) in enumerate(corners)))
    (x0, y0), (x1, y1), (x2, y2) = (layout.points[str(i)] for i in range(3))
    assert y0 == pytest.approx(y1)
    assert x1 == pytest.approx(x2)
    assert (x1 - x0) / (y2 - y1) == pytest.approx(4.0)


def test_models_without_a_place_are_left_off_the_map() -> None:
    assert pack_trees((model("a"), model("b", x=float("nan"), y=0.0))).points == {}


def test_regions_of_one_tree_differ_in_colour() -> None:
    models = [model(f"{tree}{i}", tree) for tree in "pq" for i in range(10)]
    regions = tuple(PageRegion(m.name, (m.name,), m.name) for m in models)
    data = page(models, [], regions=regions)
    assert sorted(region_hues(data)) == list(range(20))
    colours = region_colours(data)
    for tree in "pq":
        assert len({colours[f"{tree}{i}"] for i in range(10)}) == len(PALETTE)


def test_summary_counts_in_words() -> None:
    models = [model("a"), model("b"), model("c", "other")]
    data = page(models, [("a", "b")], skipped=(PageSkipped("x", "broken"),))
    said = summary(data, trace_kinship(data))
    assert said == "3 models, 1 family, 1 tree of depth 1, 1 without kin, 0 regions, 1 skipped"


@given(st.text(), st.integers(2, 40))
def test_shortened_names_fit(text: str, room: int) -> None:
    assert len(shorten(text, room)) <= max(room, 1)


@pytest.mark.parametrize("kind", sorted(PLOTS))
@pytest.mark.parametrize("extension", ["png", "svg"])
def test_pictures_are_drawn_and_change_no_setting(
    tmp_path: Path, kind: str, extension: str
) -> None:
    before = dict(mpl.rcParams)
    names = ["root", "$x_1^{$", "</svg><script>alert(1)</script>", "b" * 200]
    models = [model(name, x=float(i), y=float(i * i)) for i, name in enumerate(names)]
    data = page(
        models,
        [("root", name) for name in names[1:]],
        regions=(PageRegion(f"region:{names[2]}", tuple(names[1:]), names[2]),),
    )
    written = PLOTS[kind](data, tmp_path / f"picture.{extension}").read_bytes()
    assert written.startswith(b"\x89PNG" if extension == "png" else b"<?xml")
    assert b"<script>" not in written
    assert dict(mpl.rcParams) == before


@pytest.mark.parametrize("kind", sorted(PLOTS))
def test_pictures_of_an_empty_atlas(tmp_path: Path, kind: str) -> None:
    assert PLOTS[kind](page([], []), tmp_path / "empty.png").stat().st_size > 0


def test_picture_format_must_be_known(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"must end in \.png, \.svg, \.pdf; got 'forest\.bmp'"):
        plot_forest(page([], []), tmp_path / "forest.bmp")
