from dataclasses import replace

import numpy as np
import pytest

from weightscape.errors import BadInput
from weightscape.probing.layer_set import select
from weightscape.probing.oddness import odd_scores, oddness_of
from weightscape.probing.training import train_expert


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


def test_models_of_a_tree_are_seldom_odd_among_themselves_whatever_they_were_used_for(
    planted, small
):
    expert = train_expert(planted.set, planted.labels, how=small)
    known = expert.known
    shares = np.array(
        [
            oddness_of(expert, vector, name)[0].shares[0]
            for vector, name in zip(known.vectors, known.names, strict=True)
        ]
    )
    assert (shares[~known.held_out] <= 0.05).mean() < 0.15
    assert (shares[known.held_out] <= 0.05).mean() < 0.25
    far, why = oddness_of(expert, known.vectors[0] + 100)
    assert far.shares[0] <= 2 / 161 and far.far[0] and not why


def test_a_model_is_not_compared_with_itself(planted, small):
    expert = train_expert(planted.set, planted.labels, how=replace(small, steps=2))
    name, vector = expert.known.names[5], expert.known.vectors[5]
    assert oddness_of(expert, vector, name)[0].scores[0] > oddness_of(expert, vector)[0].scores[0]


def test_too_few_models_cannot_tell_who_is_odd(planted, small):
    few = select(planted.set, planted.set.names[:38])
    expert = train_expert(few, planted.labels[:38], how=replace(small, steps=2))
    found, why = oddness_of(expert, expert.known.vectors[0] + 1e6)
    assert found is None and "cannot be told by 38 models; it takes 39" in why
    one_more = select(planted.set, planted.set.names[:39])
    expert = train_expert(one_more, planted.labels[:39], how=replace(small, steps=2))
    found, _ = oddness_of(expert, expert.known.vectors[0] + 1e6)
    assert found.shares[0] <= 0.05


def test_what_was_learned_by_heart_is_no_measure(planted, descent):
    expert = train_expert(planted.set, planted.labels, how=replace(descent, epochs=4))
    training = expert.known.names[int(np.flatnonzero(~expert.known.held_out)[0])]
    assert "by heart" in oddness_of(expert, expert.known.vectors[0], training)[1]
    assert "24 models" in oddness_of(expert, expert.known.vectors[0])[1]


def test_models_drawn_like_the_known_ones_are_odd_no_more_often_than_said():
    # a few tight groups: by the others alone, new models would seem too near
    draw = np.random.default_rng(3)
    centres = draw.normal(size=(30, 5)) * 10
    flagged = []
    for _ in range(60):
        vectors = (centres[draw.integers(30, size=45)] + draw.normal(size=(45, 5))).astype("f4")
        found = odd_scores(vectors[:40], vectors[40:])
        flagged.append((found.shares <= 0.05).mean())
    assert np.mean(flagged) < 0.08
