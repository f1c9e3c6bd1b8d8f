"""Pictures of regions and starts: readable, true to the numbers, and never in the way."""

from dataclasses import replace
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure
from matplotlib.text import Text

from synthetic_regions import synthetic_region, synthetic_start, without_finite_losses
from weightscape.errors import BadInput
from weightscape.regions.records import RegionResult
from weightscape.report.canvas import new_figure, save_picture
from weightscape.report.region_picture import draw_distances, draw_groups, plot_region
from weightscape.report.region_scales import alpha_place, distance_place
from weightscape.report.region_words import verdict_words
from weightscape.report.start_picture import draw_scores, plot_start
from weightscape.starts.records import StartResult


@pytest.mark.parametrize(
    "result",
    [
        synthetic_region(),
        synthetic_region(("$a_1$" * 20, "b\n%"), tasks=("x" * 60, "y_$z"), radius=None),
        synthetic_region(tasks=tuple(f"task {i}" for i in range(9)), pairs=0),
        synthetic_region(rays=0, pairs=0, samples=1),
        without_finite_losses(synthetic_region()),
        replace(synthetic_region(), points=()),
    ],
    ids=["one task", "long names", "nine tasks", "no lines", "nothing finite", "no points"],
)
def test_any_region_can_be_drawn(result: RegionResult, tmp_path: Path) -> None:
    before = dict(matplotlib.rcParams)
    for name in ("region.png", "region.svg"):
        assert plot_region(result, tmp_path / "deep" / name).stat().st_size > 5_000
    assert dict(matplotlib.rcParams) == before


@pytest.mark.parametrize(
    "result",
    [
        synthetic_start(),
        synthetic_start(beats=False, models=60, test=False),
        synthetic_start(models=0, finalists=1),
        replace(synthetic_start(), metric="mse"),
        replace(synthetic_start(), ranked=(), why="$x$ " * 200),
    ],
    ids=["found", "many", "few", "another metric", "none"],
)
def test_any_ranking_can_be_drawn(result: StartResult, tmp_path: Path) -> None:
    assert plot_start(result, tmp_path / "start.png").stat().st_size > 5_000


@pytest.mark.parametrize("samples", [1, 10])
def test_the_verdict_is_read_to_its_end(
    samples: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import weightscape.report.region_picture as module

    drawn: list[Figure] = []

    def kept(figure: Figure, path: str | Path) -> Path:
        drawn.append(figure)
        return save_picture(figure, path)

    monkeypatch.setattr(module, "save_picture", kept)
    result = synthetic_region(samples=samples)
    plot_region(result, tmp_path / "region.png")
    (figure,) = drawn
    ends = [text.get_window_extent().x1 for text in figure.texts]
    assert max(ends) <= figure.bbox.x1
    assert verdict_words(result) == " ".join(text.get_text() for text in figure.texts[1:])
    below = min(text.get_window_extent().y0 for text in figure.texts)
    legend = figure.axes[0].get_legend()
    assert legend is not None and legend.get_window_extent().y1 <= below


def test_every_task_and_group_is_named_in_words_that_can_be_read() -> None:
    axes = new_figure(7, 3).add_subplot()
    draw_groups(axes, synthetic_region(tasks=("sst2", "trec")))
    texts = [it for it in axes.findobj(Text) if it.get_text()]
    shown = {it.get_text() for it in texts}
    assert {"sst2", "trec", "the models", "points between them", "outside models"} <= shown
    assert min(it.get_fontsize() for it in texts) >= 8


def test_the_end_of_a_region_is_drawn_where_it_is() -> None:
    axes = new_figure(7, 3).add_subplot()
    result = synthetic_region()
    (radius,) = result.radii
    draw_distances(axes, result, "sst2")
    assert radius.value is not None
    at = float(distance_place(radius.value / radius.unit))
    upright = [
        line for line in axes.lines if len(set(line.get_xdata())) == 1 < len(line.get_xdata())
    ]
    assert [float(line.get_xdata()[0]) for line in upright] == [at]


def test_the_base_is_always_among_the_starts_that_are_drawn() -> None:
    result = synthetic_start(models=60)
    base = next(it for it in result.ranked if it.candidate.kind == "base")
    last = replace(result, ranked=(*(it for it in result.ranked if it is not base), base))
    axes = new_figure(7, 9).add_subplot()
    from weightscape.report.start_picture import _shown

    shown = _shown(last)
    draw_scores(axes, last, shown)
    assert shown[-1] is base and len(shown) == 30
    assert "base" in {it.get_text() for it in axes.get_yticklabels()}


def test_a_region_s_picture_of_no_known_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"must end in \.png"):
        plot_region(synthetic_region(), tmp_path / "region.gif")


@settings(deadline=None, max_examples=40)
@given(st.lists(st.floats(-60, 60), min_size=2, max_size=20))
def test_scales_keep_the_order_and_the_models_in_their_place(values: list[float]) -> None:
    ordered = np.sort(values)
    assert (np.diff(alpha_place(ordered)) >= 0).all()
    assert (np.diff(distance_place(np.abs(ordered)[np.argsort(np.abs(ordered))])) >= 0).all()
    inside = ordered[(ordered >= 0) & (ordered <= 1)]
    np.testing.assert_array_equal(alpha_place(inside), inside)
    np.testing.assert_allclose(alpha_place(1 - ordered), 1 - alpha_place(ordered), atol=1e-9)
