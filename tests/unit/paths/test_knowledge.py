import numpy as np
import pytest

from weightscape.paths.knowledge import table, who_is_forgotten
from weightscape.tasks.dynamics import Cartography
from weightscape.tasks.evaluation import Evaluation

NAN = float("nan")


def evaluation(correct, rows):
    correct = np.array(correct, dtype=np.float64)
    return Evaluation(
        0.0, {}, np.zeros(len(correct)), [], 0.25 + correct / 2, correct, np.array(rows)
    )


def test_what_is_forgotten_and_gained_is_told_by_row_number():
    rows = [7, 3, 9]
    found = table(
        "train",
        [evaluation(c, rows) for c in ([1, 1, 0], [0, 1, 1], [1, 0, 1])],
    )
    assert found.forgotten == ((), (7,), (3,))
    assert found.gained == ((), (9,), (7,))
    assert found.correct.shape == found.gold_probabilities.shape == (3, 3)
    assert found.rows.tolist() == rows


def test_answers_that_are_not_right_or_wrong_are_neither_forgotten_nor_gained():
    found = table("test", [evaluation(c, [0, 1]) for c in ([1, NAN], [NAN, 1], [0, 0])])
    assert found.forgotten == ((), (), (1,))
    assert found.gained == ((), (), ())


def cartography(rows, confidence):
    confidence = np.array(confidence)
    flips = np.array([4, 0, 2, 1])[: len(rows)]
    return Cartography(np.array(rows), confidence, confidence / 10, confidence, flips)


def test_examples_that_were_hardly_learned_are_forgotten_early():
    rows, t = [10, 11, 12, 13], np.linspace(0, 1, 4)
    path = [[1, 1, 1, 1], [0, 1, 1, 1], [0, 1, 0, 1], [0, 0, 0, 1]]
    known = table("train", [evaluation(c, rows) for c in path])
    found = who_is_forgotten(known, t, cartography(rows[::-1], [0.9, 0.5, 0.8, 0.1]), "here")
    assert found.auc == 1.0  # row 10 alone is forgotten before half, with confidence 0.1
    assert [traits.examples for traits in found.forgotten] == [0, 1, 1, 1]
    assert found.forgotten[1].confidence == pytest.approx(0.1)
    assert np.isnan(found.forgotten[0].confidence)
    assert (found.rest.examples, found.rest.confidence) == (1, pytest.approx(0.9))
    assert found.rest.flips == 4


def test_confidence_that_says_nothing_has_an_auc_of_one_half():
    generator = np.random.default_rng(0)
    rows, t = np.arange(400), np.linspace(0, 1, 4)
    lost = generator.random(400) < 0.4
    path = [np.ones(400), ~lost, ~lost, ~lost]
    known = table("train", [evaluation(c, rows) for c in path])
    confidence = generator.random(400)
    told = Cartography(rows, confidence, confidence, confidence, np.zeros(400, dtype=np.int64))
    found = who_is_forgotten(known, t, told, "here", draws=200)
    low, high = found.auc_interval
    assert low < 0.5 < high and high - low < 0.2


def test_rows_without_dynamics_are_left_out():
    rows, t = [1, 2, 3], np.array([0, 0.4, 1])
    known = table("train", [evaluation(c, rows) for c in ([1, 1, 1], [0, 0, 1], [0, 0, 1])])
    found = who_is_forgotten(known, t, cartography([2, 3], [0.2, 0.7]), "here", draws=20)
    assert found.forgotten[1].examples == 1
    assert found.auc == 1.0
    nobody = who_is_forgotten(known, t, cartography([3], [0.7]), "here", draws=20)
    assert np.isnan(nobody.auc)
