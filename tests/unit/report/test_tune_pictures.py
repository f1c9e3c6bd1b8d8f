"""Pictures of blends: drawn whatever was found, readable, true to the numbers."""

from dataclasses import replace
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from matplotlib.collections import PathCollection
from matplotlib.text import Text

from synthetic_tuning import synthetic_tune
from weightscape.errors import BadInput
from weightscape.report.canvas import new_figure
from weightscape.report.tune_picture import draw_rivals, draw_search, draw_weights, plot_tune
from weightscape.tuning.records import TuneResult

LAYERS = ("bert.embeddings", "bert.encoder.layer.0", "bert.encoder.layer.1", "classifier")
MANY = tuple(f"a model of a very long name $_{i}$" for i in range(40))


@pytest.mark.parametrize(
    "result",
    [
        synthetic_tune(),
        synthetic_tune(groups=LAYERS, best=False, box=True),
        synthetic_tune(MANY, groups=tuple(f"layer.{i}" for i in range(30)), rivals=40),
        synthetic_tune(rivals=0, test=False, trials=3, box=True),
        replace(synthetic_tune(), trials=(), metric="loss"),
    ],
    ids=["plain", "layers", "many", "few", "no trial"],
)
def test_any_blend_can_be_drawn(result: TuneResult, tmp_path: Path) -> None:
    before = dict(matplotlib.rcParams)
    for name in ("blend.png", "blend.svg"):
        assert plot_tune(result, tmp_path / "deep" / name).stat().st_size > 5_000
    assert dict(matplotlib.rcParams) == before


def test_bars_are_as_long_as_the_weights_the_heaviest_first() -> None:
    axes = new_figure(7, 3).add_subplot()
    result = synthetic_tune(box=True)
    draw_weights(axes, result)
    drawn = [bar.get_width() for bar in axes.patches if hasattr(bar, "get_width")]
    assert sorted(result.best.weights.tolist(), reverse=True) == pytest.approx(drawn[:3])
    named = [it.get_text() for it in axes.get_yticklabels()]
    assert named[0] == result.names[int(np.argmax(result.best.weights))]


def test_each_layer_has_a_column_with_its_weights() -> None:
    axes = new_figure(7, 3).add_subplot()
    result = synthetic_tune(groups=LAYERS)
    draw_weights(axes, result)
    assert [it.get_text() for it in axes.get_xticklabels()] == [
        "embeddings", "layer 0", "layer 1", "classifier",
    ]  # fmt: skip
    texts = {it.get_text() for it in axes.findobj(Text)}
    assert {f"{it:.2f}" for it in result.best.weights.ravel()} <= texts
    sizes = [it.get_fontsize() for it in axes.findobj(Text) if it.get_text()]
    assert min(sizes) >= 8


def test_candidates_are_dots_and_the_best_so_far_a_line() -> None:
    axes = new_figure(7, 3).add_subplot()
    result = synthetic_tune(trials=40)
    draw_search(axes, result)
    dots = [len(it.get_offsets()) for it in axes.collections if isinstance(it, PathCollection)]
    states = [it.state for it in result.trials]
    assert dots == [states.count("complete"), states.count("raced")]
    (line,) = (it for it in axes.lines if it.get_label() == "best so far")
    assert line.get_ydata()[-1] == min(it.loss for it in result.trials if it.state == "complete")


def test_the_blend_stands_among_the_other_ways_by_its_score() -> None:
    axes = new_figure(7, 3).add_subplot()
    draw_rivals(axes, synthetic_tune(best=False))
    named = [it.get_text() for it in axes.get_yticklabels()]
    assert named[0] == "fine-tuned base" and named[-1] == "the blend"


def test_a_blend_s_picture_of_no_known_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"must end in \.png"):
        plot_tune(synthetic_tune(), tmp_path / "blend.gif")
