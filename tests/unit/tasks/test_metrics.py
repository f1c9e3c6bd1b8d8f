import math

import numpy as np
import pytest

from weightscape.errors import BadInput, UnknownName
from weightscape.tasks.metrics import (
    METRICS,
    Answers,
    chance_level,
    check_metrics,
    default_metrics,
    is_better,
    score_answers,
)
from weightscape.tasks.task import Task


def test_scores_that_can_be_worked_out_by_hand():
    labels = Answers([0, 0, 1, 1], [0, 1, 1, 1], np.array([0.0, 2.0, 0.0, 0.0]), 2)
    assert METRICS["accuracy"](labels) == 0.75
    assert METRICS["macro_f1"](labels) == pytest.approx((2 / 3 + 4 / 5) / 2)
    assert METRICS["mcc"](labels) == pytest.approx((1 * 2 - 1 * 0) / math.sqrt(2 * 2 * 1 * 3))
    assert METRICS["loss"](labels) == 0.5
    numbers = Answers([1.0, 4.0, 9.0], [1.0, 2.0, 3.0])
    assert METRICS["spearman"](numbers) == pytest.approx(1.0)
    assert METRICS["pearson"](numbers) == pytest.approx(0.9897, abs=1e-4)
    texts = Answers(["the cat sat", " ok\n"], ["the cat on the mat", "ok"])
    assert METRICS["exact_match"](texts) == 0.5
    assert METRICS["rouge_l"](texts) == pytest.approx(
        (2 * (2 / 3) * (2 / 5) / (2 / 3 + 2 / 5) + 1) / 2
    )


def test_a_label_that_no_row_has_is_no_part_of_macro_f1():
    assert METRICS["macro_f1"](Answers([0, 1], [0, 1], label_count=50)) == 1.0


def test_undefined_correlations():
    for name in ("spearman", "pearson"):
        assert METRICS[name](Answers([2.0, 2.0 + 1e-16, 2.0], [1.0, 2.0, 3.0])) == 0.0
        assert METRICS[name](Answers([0.0, 0.0], [1.0, 2.0])) == 0.0
        assert math.isnan(METRICS[name](Answers([1.0, 2.0], [3.0, 3.0])))
        assert math.isnan(METRICS[name](Answers([1.0], [3.0])))
        assert math.isnan(METRICS[name](Answers([1.0, math.inf], [3.0, 4.0])))
    assert METRICS["mcc"](Answers([1, 1], [1, 1])) == 0.0


def test_chance_is_what_the_commonest_answer_scores():
    targets = [0, 0, 0, 1]
    assert chance_level("accuracy", targets, 2) == 0.75
    assert chance_level("macro_f1", targets, 2) == pytest.approx((6 / 7) / 2)
    assert chance_level("loss", targets, 2) == pytest.approx(
        -0.75 * math.log(0.75) - 0.25 * math.log(0.25)
    )
    assert chance_level("loss", [1.0, 3.0]) == 1.0
    assert chance_level("loss", ["a", "b"]) is None
    assert chance_level("rouge_l", ["a", "b"]) is None
    assert chance_level("mcc", targets, 2) == 0.0


def test_better_knows_the_direction_and_nan_is_never_better():
    assert is_better("accuracy", 0.9, 0.8) and not is_better("accuracy", 0.8, 0.8)
    assert is_better("loss", 0.8, 0.9) and not is_better("loss", 0.9, 0.8)
    for name in ("accuracy", "loss"):
        assert is_better(name, 0.0, math.nan)
        assert not is_better(name, math.nan, 0.0)
        assert not is_better(name, math.nan, math.nan)


def test_metrics_that_do_not_suit_are_refused_with_those_that_do():
    with pytest.raises(
        BadInput, match="'rouge_l' scores texts.*fit: accuracy, macro_f1, mcc, loss"
    ):
        check_metrics(["rouge_l"], "pair")
    with pytest.raises(UnknownName, match="nearest: macro_f1"):
        check_metrics(["macrof1"], "pair")
    with pytest.raises(BadInput, match="twice"):
        check_metrics(["mcc", "mcc"], "pair")
    assert check_metrics(["rouge_l", "mcc"], "custom") == ("rouge_l", "mcc")
    for kind in ("classification", "pair", "seq2seq", "causal", "custom"):
        for regression in (False, kind in ("classification", "pair")):
            names = default_metrics(kind, regression=regression)
            assert check_metrics(names, kind, regression=regression) == names


def test_a_task_s_answers_are_scored_by_each_of_its_metrics():
    task = Task("t", "", ("a", "b"), {}, metrics=("accuracy", "loss"))
    answers = Answers([0, 1], [0, 0], np.array([1.0, 3.0]), 2)
    assert score_answers(task, answers) == {"accuracy": 0.5, "loss": 2.0}
    with pytest.raises(BadInput, match="needs the rows' losses"):
        METRICS["loss"](Answers([0], [0]))
