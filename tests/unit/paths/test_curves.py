import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weightscape.errors import BadInput
from weightscape.paths.curves import Bezier, Chain, Line, in_model_order, make_curve, spread

CURVES = [Line(), *(Bezier(n) for n in (1, 2, 5)), *(Chain(n) for n in (1, 2, 5))]


@pytest.mark.parametrize("curve", CURVES, ids=lambda curve: f"{curve.name}-{curve.bends}")
@settings(deadline=None, max_examples=40)
@given(t=st.floats(0, 1))
def test_weights_are_a_share_of_each_control_point(curve, t):
    weights = curve.weights(t)
    assert len(weights) == curve.bends + 2
    assert sum(weights) == pytest.approx(1, abs=1e-12)
    assert min(weights) >= 0


@pytest.mark.parametrize("curve", CURVES, ids=lambda curve: f"{curve.name}-{curve.bends}")
def test_ends_are_exact(curve):
    assert curve.weights(0) == (1, *[0] * curve.bends, 0)
    assert curve.weights(1) == (0, *[0] * curve.bends, 1)


@given(t=st.floats(0, 1), bends=st.integers(1, 6))
@settings(deadline=None, max_examples=60)
def test_evenly_spread_bends_make_a_straight_line_of_even_speed(t, bends):
    control = np.arange(bends + 2) / (bends + 1)
    for curve in (Bezier(bends), Chain(bends)):
        assert np.dot(curve.weights(t), control) == pytest.approx(t, abs=1e-12)


def test_a_chain_passes_through_its_bends():
    assert Chain(3).weights(0.5) == (0, 0, 1, 0, 0)


def test_points_are_spread_from_end_to_end():
    assert spread(26)[0] == 0 and spread(26)[-1] == 1
    assert np.allclose(np.diff(spread(26)), 0.04)


def test_the_order_of_the_span_has_the_bends_last():
    assert in_model_order((1, 2, 3, 4)) == (1, 4, 2, 3)
    assert in_model_order((1, 2)) == (1, 2)


@pytest.mark.parametrize("name, bends", [("spline", 1), ("bezier", 0), ("chain", 17)])
def test_curves_that_make_no_sense_are_refused(name, bends):
    with pytest.raises(BadInput):
        make_curve(name, bends)
    with pytest.raises(BadInput, match="2 to 10000 points"):
        spread(1)
