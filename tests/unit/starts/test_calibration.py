import numpy as np
import pytest

from weightscape.starts.calibration import TEMPERATURES, calibrated


def answers(rows, labels, *, skill, sureness, seed=0):
    """Draw log-probabilities that are right by `skill`, their logits times `sureness`."""
    generator = np.random.default_rng(seed)
    targets = generator.integers(0, labels, rows)
    logits = generator.standard_normal((rows, labels))
    logits[np.arange(rows), targets] += skill
    logits *= sureness
    logs = logits - logits.max(axis=1, keepdims=True)
    return logs - np.log(np.exp(logs).sum(axis=1, keepdims=True)), targets


def raw(logs, targets):
    return -logs[np.arange(len(logs)), targets].mean()


def even(logs, targets):
    return calibrated(logs, targets, np.arange(len(logs)) % 2 == 0).mean()


@pytest.mark.parametrize("labels", [2, 6])
def test_how_sure_a_model_is_makes_no_difference(labels):
    calm = answers(400, labels, skill=1.5, sureness=1.0)
    cocky = answers(400, labels, skill=1.5, sureness=6.0)
    assert raw(*cocky) > 1.3 * raw(*calm)
    assert even(*cocky) == pytest.approx(even(*calm), rel=0.03)


def test_skill_shows_through_overconfidence():
    nothing = answers(200, 2, skill=0.0, sureness=0.1)
    skilled = answers(200, 2, skill=0.8, sureness=9.0)
    assert raw(*skilled) > raw(*nothing)
    assert even(*skilled) < even(*nothing)


@pytest.mark.parametrize("labels", [2, 5])
def test_without_skill_no_temperature_does_better_than_chance(labels):
    found = [even(*answers(60, labels, skill=0, sureness=5, seed=i)) for i in range(20)]
    assert np.mean(found) > np.log(labels) - 0.01


def test_no_row_has_a_say_in_its_own_temperature():
    logs, targets = answers(20, 3, skill=1.0, sureness=8.0)
    half = np.arange(20) < 10
    before = calibrated(logs, targets, half)
    changed = targets.copy()
    changed[:10] = (changed[:10] + 1) % 3
    # other answers in the first half: its temperature comes from the second, which is as it was
    first = calibrated(logs, changed, half)[:10]
    for t in TEMPERATURES:
        scaled = logs / t - np.log(np.exp(logs / t).sum(axis=1, keepdims=True))
        if before[:10] == pytest.approx(-scaled[np.arange(10), targets[:10]]):
            assert first == pytest.approx(-scaled[np.arange(10), changed[:10]])
            return
    raise AssertionError("no temperature explains the losses")


def test_losses_that_are_certain_or_hopeless_stay_finite():
    logs = np.array([[0.0, -69.0], [-69.0, 0.0]] * 3)
    found = calibrated(logs, np.array([0, 0, 0, 1, 1, 1]), np.arange(6) % 2 == 0)
    assert np.isfinite(found).all() and (found >= 0).all()


def test_a_lone_row_is_left_as_it_is():
    logs = np.log([[0.9, 0.1]])
    assert calibrated(logs, np.array([0]), np.array([True])) == pytest.approx(-np.log(0.9))
