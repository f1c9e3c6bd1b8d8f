"""What every metric keeps to: the built-in ones, and one that another package brings."""

import math
from importlib.metadata import EntryPoint

import numpy as np
import pytest

from weightscape.errors import BadInput
from weightscape.tasks import metrics as module
from weightscape.tasks.metrics import (
    METRICS,
    Answers,
    Metric,
    chance_level,
    check_metrics,
    is_better,
)

RIGHT = {
    "labels": [0, 1, 2, 1, 0, 1, 2, 1],
    "numbers": [0.5, -1.0, 2.0, 3.5, 7.0, 0.0, 1.0, 9.0],
    "texts": ["a b c", "b c d", "one two", "x", "yes it is", "no", "on and on", "a"],
}
WRONG = {
    "labels": [1, 1, 0, 1, 2, 0, 2, 1],
    "numbers": [0.0, 1.0, 1.5, 2.0, 0.5, 0.2, 4.0, 3.0],
    "texts": ["a b", "x y", "one two", "y", "yes", "it is", "on", "b a"],
}


def right_share(answers):
    return float(
        np.mean([a == b for a, b in zip(answers.predictions, answers.targets, strict=True)])
    )


class MetricContract:
    """Inherit, and give `metric`, to hold a metric of your own to the same rules."""

    def answers(self, suits, predictions, order=None):
        targets, losses = (
            RIGHT[suits],
            [0.0 if a == b else 1.5 for a, b in zip(predictions, RIGHT[suits], strict=True)],
        )
        order = range(len(targets)) if order is None else order
        return Answers(
            [predictions[i] for i in order],
            [targets[i] for i in order],
            np.array([losses[i] for i in order]),
            3 if suits == "labels" else 0,
        )

    def test_perfect_answers_score_best_and_others_worse(self, metric):
        for suits in metric.suits:
            assert metric(self.answers(suits, RIGHT[suits])) == pytest.approx(metric.best)
            score = metric(self.answers(suits, WRONG[suits]))
            assert math.isfinite(score)
            assert score < metric.best if metric.higher_is_better else score > metric.best

    def test_the_order_of_rows_does_not_matter(self, metric):
        for suits in metric.suits:
            shuffled = self.answers(suits, WRONG[suits], [3, 1, 7, 5, 0, 2, 6, 4])
            assert metric(shuffled) == pytest.approx(metric(self.answers(suits, WRONG[suits])))

    def test_constant_answers_have_a_score_and_raise_no_warning(self, metric):
        for suits in metric.suits:
            constant = self.answers(suits, [RIGHT[suits][1]] * len(RIGHT[suits]))
            assert math.isfinite(metric(constant))

    def test_arrays_are_as_good_as_lists(self, metric):
        for suits in set(metric.suits) - {"texts"}:
            lists = self.answers(suits, WRONG[suits])
            arrays = Answers(
                np.array(lists.predictions),
                np.array(lists.targets),
                lists.losses,
                lists.label_count,
            )
            assert metric(arrays) == pytest.approx(metric(lists))

    def test_chance_is_worse_than_perfect(self, metric):
        for suits in metric.suits:
            if metric.chance is None:
                continue
            level = metric.chance(RIGHT[suits], 3 if suits == "labels" else 0)
            if math.isfinite(level):
                assert (level < metric.best) is metric.higher_is_better

    def test_no_answers_are_refused(self, metric):
        with pytest.raises(BadInput, match="no answers"):
            metric(Answers([], []))


class TestBuiltIn(MetricContract):
    @pytest.fixture(params=METRICS.names())
    def metric(self, request):
        return METRICS[request.param]


class TestOfAnotherPackage(MetricContract):
    @pytest.fixture
    def metric(self, monkeypatch):
        offered = {
            "right_share": Metric(right_share, ("labels", "texts")),
            "no_metric": right_share,
        }
        points = [EntryPoint(name, f"other:{name}", "weightscape.metrics") for name in offered]
        monkeypatch.setattr(EntryPoint, "load", lambda self: offered[self.name])
        monkeypatch.setattr("weightscape.registry.entry_points", lambda group: points)
        registry = type(METRICS)("metric")
        for name in METRICS:
            registry.add(name, METRICS[name])
        monkeypatch.setattr(module, "METRICS", registry)
        return registry["right_share"]

    def test_it_is_found_by_name_and_checked(self, metric):
        assert check_metrics(["accuracy", "right_share"], "classification")
        assert is_better("right_share", 0.9, 0.8)
        assert chance_level("right_share", [0, 1], 2) is None
        with pytest.raises(
            BadInput, match=r"'no_metric' should be a .*Metric, .* gives a function"
        ):
            check_metrics(["no_metric"], "classification")
        with pytest.raises(BadInput, match="'right_share' scores labels and texts"):
            check_metrics(["right_share"], "classification", regression=True)
