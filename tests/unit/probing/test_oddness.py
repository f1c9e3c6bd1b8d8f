import numpy as np
import pytest

from weightscape.errors import BadInput
from weightscape.probing.oddness import odd_scores


@pytest.fixture(scope="module")
def known():
    draw = np.random.default_rng(0)
    # a flat cloud: one direction varies a lot, the others little
    spread = np.array([10.0, 1.0, 1.0, 1.0])
    return (draw.normal(size=(80, 4)) * spread).astype(np.float32)


@pytest.mark.parametrize("method", ["neighbours", "mahalanobis"])
def test_what_lies_apart_is_odd_and_what_lies_within_is_not(known, method):
    draw = np.random.default_rng(1)
    within = (draw.normal(size=(200, 4)) * [10, 1, 1, 1]).astype(np.float32)
    apart = within + np.array([0, 9, 0, 0], np.float32)
    found = odd_scores(known, np.concatenate([within, apart]), method=method)
    assert (found.shares[200:] < 0.05).mean() > 0.95
    # as a p-value: seldom small for models that are drawn like the known ones
    assert (found.shares[:200] < 0.1).mean() < 0.25
    assert found.shares[:200].mean() > 0.35


def test_mahalanobis_knows_which_directions_vary(known):
    along, across = np.array([[15.0, 0, 0, 0], [0, 8.0, 0, 0]], np.float32)
    found = odd_scores(known, np.stack([along, across]), method="mahalanobis")
    assert found.scores[1] > found.scores[0]


def test_a_yardstick_says_what_is_usual(known):
    away = known + np.array([0, 9, 0, 0], np.float32)
    one = odd_scores(known, away[:1])
    two = odd_scores(known, away[:1], yardstick=away)
    assert two.shares[0] > one.shares[0]
    assert two.scores[0] == one.scores[0]
    assert one.far[0]


def test_what_is_nearer_than_all_others_is_odd_for_that(known):
    away = known + np.array([0, 9, 0, 0], np.float32)
    found = odd_scores(known, known[:1], yardstick=away)
    assert found.shares[0] < 0.05 and not found.far[0]


def test_too_few_models_and_unknown_ways_are_refused(known):
    with pytest.raises(BadInput, match="2 known models are too few"):
        odd_scores(known[:2], known)
    with pytest.raises(BadInput, match="not 'guess'"):
        odd_scores(known, known, method="guess")
