import numpy as np
import pytest

from weightscape.starts.halving import Search
from weightscape.starts.outcome import Outcome
from weightscape.starts.ranking import Score
from weightscape.starts.records import Candidate
from weightscape.starts.scoring import ProbeScore
from weightscape.starts.words import explain
from weightscape.tasks.task import Task

TASK = Task("mine", "classification", ("a", "b"), {}, metrics=("accuracy",))
SOUP = Candidate("soup", "nearest", {}, "of two")
NOTHING = np.zeros(1)
RUNS = Search({"soup": {(0, 0): Outcome(NOTHING, np.zeros((1, 2)), NOTHING, NOTHING, NOTHING)}})
PROBE = ProbeScore(0.5, (0.4, 0.6), NOTHING)


@pytest.mark.parametrize(
    ("interval", "beats", "sure"),
    [
        ((0.1, 0.3), True, "1 run, 1 seed"),
        ((0.1, 0.3), False, "likely better than the base, by less than that: the best of 7"),
        ((0.0, 0.3), True, "1 run, 1 seed; beyond noise in loss, not in accuracy"),
        ((-0.1, 0.3), False, "not beyond noise, the base may do as well"),
    ],
)
def test_a_gain_is_told_with_how_sure_it_is(interval, beats, sure):
    found = Score(0.8, (0.7, 0.9), 0.2, interval, beats)
    said = explain(SOUP, found, TASK, "bert", RUNS, PROBE, 7)
    assert said.startswith("start from the soup (of two): +20.0 points")
    assert sure in said
    assert said.endswith("1 run, 1 seed") == (beats and interval[0] > 0)
