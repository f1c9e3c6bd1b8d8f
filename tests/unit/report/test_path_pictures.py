"""Pictures of paths and planes: readable, true to the numbers, and never in the way."""

from dataclasses import replace
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.text import Text

from synthetic_paths import synthetic_path, synthetic_plane
from weightscape.errors import BadInput
from weightscape.paths.records import PathResult, PlaneResult
from weightscape.report.canvas import new_figure
from weightscape.report.knowledge_order import order_rows
from weightscape.report.path_picture import draw_loss, plot_path
from weightscape.report.plane_picture import levels, plot_plane


@pytest.mark.parametrize(
    "result",
    [
        synthetic_path(),
        synthetic_path(("$a_1$" * 20, "b\n%"), tasks=("x" * 60, "y_$z"), curve="bezier"),
        synthetic_path(height=0.0, points=2, rows=2),
    ],
    ids=["one task", "two tasks, long names", "flat"],
)
def test_any_path_can_be_drawn(result: PathResult, tmp_path: Path) -> None:
    before = dict(matplotlib.rcParams)
    for name in ("path.png", "path.svg", "path.pdf"):
        assert plot_path(result, tmp_path / "deep" / name).stat().st_size > 5_000
    assert dict(matplotlib.rcParams) == before


@pytest.mark.parametrize(
    "result",
    [
        synthetic_plane(),
        synthetic_plane(("$a$" * 30, "b", "c"), grid=2),
        synthetic_plane(height=0.0),
        synthetic_plane(holes=True),
        replace(synthetic_plane(), losses=np.full((11, 11), np.nan)),
    ],
    ids=["basins", "smallest grid", "flat", "holes", "nothing finite"],
)
def test_any_plane_can_be_drawn(result: PlaneResult, tmp_path: Path) -> None:
    assert plot_plane(result, tmp_path / "plane.png").stat().st_size > 5_000


def test_a_task_without_right_or_wrong_has_no_table(tmp_path: Path) -> None:
    result = synthetic_path()
    (series,) = result.series
    unknown = replace(series.train, correct=np.full_like(series.train.correct, np.nan))
    points = tuple(replace(it, metrics={}, metric_intervals={}) for it in series.points)
    bare = replace(result, series=(replace(series, train=unknown, points=points),))
    small, whole = tmp_path / "small.png", tmp_path / "whole.png"
    plot_path(bare, small), plot_path(result, whole)
    heights = [int.from_bytes(it.read_bytes()[20:24], "big") for it in (small, whole)]
    assert heights[0] < heights[1] - 300


def test_the_barrier_is_marked_where_it_can_be_seen() -> None:
    def words(result: PathResult) -> list[str]:
        axes = new_figure(6, 4).add_subplot()
        draw_loss(axes, result)
        return [it.get_text() for it in axes.findobj(Text) if it.get_text()]

    assert "barrier 0.587" in words(synthetic_path(height=0.6))
    assert not any(it.startswith("barrier") for it in words(synthetic_path(height=0.001)))


def test_words_are_no_smaller_than_eight_points() -> None:
    axes = new_figure(7, 3).add_subplot()
    draw_loss(axes, synthetic_path(tasks=("a", "b")))
    assert min(it.get_fontsize() for it in axes.findobj(Text) if it.get_text()) >= 8


def test_a_picture_of_no_known_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"must end in \.png"):
        plot_path(synthetic_path(), tmp_path / "path.gif")


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 6), st.integers(1, 9), st.integers(0, 2**32 - 1))
def test_rows_are_ordered_by_where_they_flip(points: int, rows: int, seed: int) -> None:
    correct = np.random.default_rng(seed).integers(0, 2, (points, rows)).astype(float)
    order = order_rows(correct)
    assert sorted(order) == list(range(rows))
    ordered = correct[:, order].astype(bool)
    always = ordered.all(axis=0)
    assert (np.diff(always.astype(int)) <= 0).all()  # those known all along stand first
    never = ~ordered.any(axis=0)
    assert (np.diff(never.astype(int)) >= 0).all()  # and those never known stand last


@settings(deadline=None, max_examples=30)
@given(st.lists(st.floats(-5, 50), min_size=1, max_size=12))
def test_contour_levels_rise_and_hold_all_losses(values: list[float]) -> None:
    losses = np.array([values])
    edges = levels(losses)
    assert (np.diff(edges) > 0).all()
    assert edges[0] <= losses.min() + 1e-9 and edges[-1] >= losses.max() - 1e-9
