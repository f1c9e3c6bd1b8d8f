import numpy as np
import pytest
from bench.connectivity.knowledge import auc_of, fates, kept_by_third, mean_auc, told


def line(confidence_decides=True, rows=60, seed=0):
    """Rows of low confidence are lost at t = 0.25, middling ones at 0.75; the last is unknown."""
    confidence = np.linspace(0, 1, rows)
    decides = (
        confidence if confidence_decides else np.random.default_rng(seed).permutation(confidence)
    )
    t = np.linspace(0, 1, 5)
    correct = np.ones((5, rows), dtype=int)
    correct[1:, decides < 0.3] = 0
    correct[3:, decides < 0.6] = 0
    correct[:, -1] = 0
    return {
        "from": "a",
        "to": "b",
        "t": t.tolist(),
        "correct": correct.tolist(),
        "confidence": confidence.tolist(),
        "end_probability": confidence.tolist(),
        "auc": [1.0, 1.0, 1.0],
    }


def test_rows_are_told_by_when_they_are_lost():
    known, early, lost = fates(line())
    assert known.sum() == 59
    assert early[known].sum() == 18
    assert lost[known].sum() == 36


def test_confidence_that_decides_has_an_auc_of_one_and_an_unrelated_one_a_half():
    known = np.flatnonzero(fates(line())[0])
    assert auc_of(line(), "confidence", known) == 1.0
    unrelated = [line(False, rows=400, seed=seed) for seed in range(3)]
    found = mean_auc(unrelated, "confidence")
    assert found.low <= 0.5 <= found.high
    assert abs(found.value - 0.5) < 0.1


def test_a_line_on_which_nothing_is_lost_early_has_no_auc():
    still = line()
    still["correct"] = np.ones((5, 60), dtype=int).tolist()
    assert np.isnan(auc_of(still, "confidence", np.arange(60)))


def test_what_is_lost_later_is_surer():
    row = told(line())
    assert row["confidence_lost_early"] < row["confidence_lost_later"]
    assert row["confidence_lost_later"] < row["confidence_never_lost"]
    assert row["order"] == pytest.approx(0.866, abs=0.01)


def test_thirds_are_kept_in_the_order_of_confidence():
    kept = kept_by_third([line()])
    assert kept["hard"][-1] == 0
    assert kept["easy"][-1] == 1
    assert all(share[0] == 1 for share in kept.values())
