import numpy as np
import pytest
from bench.connectivity.barriers import cell_barrier, crosswise, difference, draw_statistic
from bench.connectivity.pretraining import spearman

T = np.linspace(0, 1, 9)
HILL = 4 * T * (1 - T)


def noisy(height, rows=200, seed=0, noise=1.0):
    drawn = np.random.default_rng(seed).normal(size=(len(T), rows)) * noise
    drawn[0] = drawn[-1] = 0
    return height * HILL[:, None] + drawn


def test_a_hill_without_noise_has_its_height():
    assert crosswise(noisy(0.7, noise=0.0))[0] == pytest.approx(0.7)


def test_noise_alone_is_no_barrier_though_it_has_a_highest_point():
    plain = [noisy(0.0, seed=seed).mean(axis=1).max() for seed in range(300)]
    across = [crosswise(noisy(0.0, seed=seed))[0] for seed in range(300)]
    assert np.mean(plain) > 0.08
    assert abs(np.mean(across)) < 0.02


def test_an_interval_over_pairs_and_rows_holds_the_true_height():
    held = 0
    for seed in range(8):
        pairs = [noisy(0.5, seed=3 * seed + pair) for pair in range(3)]
        found = cell_barrier(pairs)
        held += found.low <= 0.5 <= found.high
    assert held >= 6


def test_the_difference_of_a_cell_from_itself_is_none():
    pairs = [noisy(0.5, noise=0.1, seed=seed) for seed in range(3)]
    found = difference(pairs, pairs)
    assert found.value == 0
    assert found.low <= 0 <= found.high


def test_cells_of_different_numbers_of_rows_can_be_summed_up():
    found = cell_barrier([noisy(0.5, rows=60, noise=0.1), noisy(0.5, rows=90, noise=0.1)])
    assert found.value == pytest.approx(0.5, abs=0.1)


def test_barriers_that_fall_with_steps_rank_at_minus_one():
    steps = np.array([0.0, 10, 100, 1000])
    groups = [
        [noisy(height, noise=0.05, seed=seed) for seed in range(3)]
        for height in (2.0, 1.5, 1.0, 0.5)
    ]
    found = draw_statistic(groups, lambda barriers: spearman(steps, barriers))
    assert found.value < -0.9
    assert -1 <= found.low <= found.high < -0.9
