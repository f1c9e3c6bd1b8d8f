from types import SimpleNamespace

import numpy as np

from weightscape.starts.candidates import Proposal
from weightscape.starts.choice import choose, from_base
from weightscape.starts.halving import Search
from weightscape.starts.outcome import Outcome
from weightscape.starts.records import Candidate

ROWS = np.arange(40)


def pool(base="base"):
    """Three models: the base, one at distance 1 from it and one at distance 3."""
    gram = np.array([[[0.0, 0, 0], [0, 1, 0], [0, 0, 9]]])
    return SimpleNamespace(base=base, tree=SimpleNamespace(gram=gram))


def outcome(losses):
    losses = np.broadcast_to(np.asarray(losses, dtype=float), ROWS.shape).copy()
    nothing = np.zeros(len(losses))
    return Outcome(losses, np.zeros((len(losses), 0)), nothing, nothing, ROWS)


def proposal(name, *weights):
    return Proposal(Candidate(name, "model", {}, ""), np.array(weights))


TRIED = [proposal("base", 1, 0, 0), proposal("near", 0, 1, 0), proposal("far", 0, 0, 1)]
NOISE = np.where(ROWS % 2, 1.0, -1.0)


def chosen(base, near, far, *, pool=pool(), dropped=None, tried=TRIED):
    runs = {
        name: {(0, 0): outcome(it)}
        for name, it in zip(("base", "near", "far"), (base, near, far), strict=True)
    }
    return choose(pool, tried, Search(runs, dropped or {}), None).candidate.name


def test_distance_from_the_base_follows_from_the_products():
    assert from_base(pool(), np.array([0.5, 0.5, 0])) == 0.5
    assert from_base(pool(), np.array([[0, 0, 1.0]])) == 3.0


def test_a_gain_that_is_less_than_its_error_is_not_worth_the_way():
    assert chosen(0.52 + NOISE, 0.51 - NOISE, 0.50) == "base"


def test_of_points_as_good_as_the_best_the_one_nearest_to_the_base_is_taken():
    assert chosen(1.0, 0.51 + NOISE, 0.5) == "near"


def test_a_gain_beyond_its_error_is_taken_however_far_it_is():
    assert chosen(1.0, 0.8 + 0.1 * NOISE, 0.5) == "far"


def test_what_was_dropped_or_is_not_finite_is_not_recommended():
    assert chosen(1.0, 0.5, 0.5, dropped={"near": 1}) == "far"
    assert chosen(np.inf, 0.6 + NOISE, 0.5) == "near"


def test_where_every_run_has_come_to_nothing_the_base_is_what_is_left():
    assert chosen(np.nan, np.nan, np.inf) == "base"


def test_losses_that_are_no_number_are_the_worst_not_the_best():
    assert chosen(np.nan, 0.6 + NOISE, 0.5) == "near"
    assert chosen(np.nan, 0.6, 0.5, pool=pool(base=None)) == "far"


def test_without_a_base_the_least_loss_is_taken():
    assert chosen(1.0, 0.51 + NOISE, 0.5, pool=pool(base=None)) == "far"


def test_differences_of_nearly_nothing_are_not_worth_the_way():
    assert chosen(1.0, 0.0021, 0.0001) == "near"
