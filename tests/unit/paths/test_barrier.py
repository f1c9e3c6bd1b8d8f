import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weightscape.errors import BadInput
from weightscape.paths.barrier import (
    LEAST_THRESHOLD,
    default_threshold,
    find_barrier,
    given_threshold,
    judge,
)
from weightscape.paths.resampling import draw_shares, interval_of_highest

T = np.linspace(0, 1, 26)


def test_the_barrier_of_a_hill_is_its_height_above_the_chord():
    hill = (1 - T) * 0.5 + T * 0.1 + 3 * T * (1 - T) ** 2
    found = find_barrier(np.outer(hill, np.ones(30)), T, given_threshold(0.1))
    height = 3 * (T * (1 - T) ** 2).max()
    assert found.height == pytest.approx(height)
    assert found.interval == pytest.approx((height, height))
    assert found.at == pytest.approx(1 / 3, abs=0.02)
    assert found.verdict == "not connected"


def test_a_valley_has_no_barrier():
    valley = 0.5 - T * (1 - T)
    found = find_barrier(np.outer(valley, np.ones(30)), T, given_threshold(0.02))
    assert (found.height, found.at) == (0, 0)
    assert found.interval == pytest.approx((0, 0), abs=1e-12)
    assert found.verdict == "connected"


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 1000), slope=st.floats(-3, 3), offset=st.floats(-3, 3))
def test_what_is_linear_along_the_path_changes_nothing(seed, slope, offset):
    losses = np.random.default_rng(seed).random((26, 20))
    plain = find_barrier(losses, T, given_threshold(0.1), draws=50)
    tilted = find_barrier(losses + (offset + slope * T)[:, None], T, given_threshold(0.1), draws=50)
    assert tilted.height == pytest.approx(plain.height, abs=1e-9)
    assert tilted.interval == pytest.approx(plain.interval, abs=1e-9)


@pytest.mark.parametrize("height", [0.0, 0.3])
def test_the_interval_holds_the_true_barrier_as_often_as_it_says(height):
    """Rows differ in level and in how high their hill is; the ends' noise is shared by paths."""
    generator = np.random.default_rng(0)
    true = 4 * height * T * (1 - T)
    held, trials = 0, 120
    for trial in range(trials):
        hills = generator.normal(1, 1, 80)
        losses = np.outer(true, hills) + generator.normal(0, 0.3, (26, 80))
        low, high = find_barrier(losses, T, given_threshold(0.1), draws=200, seed=trial).interval
        held += low <= height <= high
    assert held >= 0.93 * trials


def test_the_highest_of_many_noisy_values_is_not_taken_at_its_word():
    """All true values are 0: the plain bootstrap of their maximum would exclude that."""
    noise = np.random.default_rng(1).normal(0, 1, (26, 100))
    drawn = draw_shares(100, 500, seed=0) @ noise.T
    naive = np.quantile(drawn.max(axis=1), 0.025)
    low, high = interval_of_highest(noise.mean(axis=1), drawn, 0.95)
    assert naive > 0
    assert low <= 0 <= high


def test_the_threshold_is_a_share_of_what_was_learned():
    assert default_threshold(0.5, 2.5).value == pytest.approx(0.1)
    assert default_threshold(0.68, 0.69).value == LEAST_THRESHOLD
    assert default_threshold(0.9, 0.69).value == LEAST_THRESHOLD
    assert default_threshold(2.0, None).value == pytest.approx(0.1)
    assert "chance" in default_threshold(0.5, 2.5).rule
    with pytest.raises(BadInput):
        given_threshold(float("nan"))


def test_the_verdict_goes_by_the_whole_interval():
    assert judge((0, 0.1), 0.1) == "connected"
    assert judge((0.1, 0.3), 0.1) == "cannot tell"
    assert judge((0.11, 0.3), 0.1) == "not connected"
