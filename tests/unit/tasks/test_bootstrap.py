import numpy as np
import pytest

from weightscape.errors import BadInput
from weightscape.tasks.bootstrap import bootstrap_interval


def test_intervals_hold_the_truth_as_often_as_they_say():
    generator = np.random.default_rng(0)
    held = 0
    for seed in range(200):
        low, high = bootstrap_interval(
            generator.normal(1.0, 2.0, 80), level=0.9, draws=200, seed=seed
        )
        held += low <= 1.0 <= high
    assert 0.82 < held / 200 < 0.96


def test_the_seed_decides_and_nothing_else():
    values = np.arange(30.0)
    assert bootstrap_interval(values, seed=1) == bootstrap_interval(values, seed=1)
    assert bootstrap_interval(values, seed=1) != bootstrap_interval(values, seed=2)


def test_any_statistic_of_the_last_axis():
    low, high = bootstrap_interval([1.0] * 50 + [100.0], np.median)
    assert (low, high) == (1, 1)


def test_many_rows_are_drawn_in_pieces(monkeypatch):
    monkeypatch.setattr("weightscape.tasks.bootstrap._PIECE", 100)
    low, high = bootstrap_interval(np.arange(40.0), draws=7)
    assert 10 < low < high < 30


def test_one_row_and_none():
    assert bootstrap_interval([3.0]) == (3, 3)
    with pytest.raises(BadInput, match="n > 0"):
        bootstrap_interval([])
    with pytest.raises(BadInput, match="level"):
        bootstrap_interval([1.0], level=95)
