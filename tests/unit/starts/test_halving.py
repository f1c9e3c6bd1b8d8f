from itertools import pairwise

import numpy as np
import pytest
from halves_of_a_skill import largest

from weightscape.errors import BadInput
from weightscape.starts.candidates import Proposal
from weightscape.starts.folds import cut
from weightscape.starts.halving import Budget, halve
from weightscape.starts.outcome import Outcome
from weightscape.starts.records import Candidate

TASK = largest(rows=12)
ROUNDS = [cut(TASK, 2, repeat, 0) for repeat in range(3)]


class Runs:
    """Runs that are made up: a candidate's number is its loss, and every run takes a second."""

    def __init__(self, seconds=None):
        self.asked = []
        self.seconds = seconds

    def knows(self, weights, cell):
        return False

    def at(self, weights, cell):
        self.asked.append((float(weights[0]), cell.repeat, cell.fold))
        rows = np.array([row.row for row in cell.task.rows("test")])
        losses = np.full(len(rows), weights[0]) + 0.01 * rows
        return Outcome(losses, np.empty((len(rows), 0)), losses, losses, rows)


def proposals(*losses):
    return [
        Proposal(Candidate(f"of {loss:g}", "model", {}, ""), np.array([loss])) for loss in losses
    ]


def search(runs, *losses, budget=None, keep=()):
    made = proposals(*losses)
    return halve(made, ROUNDS, runs, budget or Budget(), keep=keep)


def test_the_better_half_goes_on_and_the_kept_one_is_never_dropped():
    runs = Runs()
    found = search(runs, 5.0, 1.0, 2.0, 3.0, 4.0, keep=["of 5"])
    assert found.dropped == {"of 3": 1, "of 4": 1, "of 2": 2}
    assert (found.rounds, found.cut_short) == (3, False)
    counts = {name: len(mine) for name, mine in found.runs.items()}
    assert counts == {"of 5": 6, "of 1": 6, "of 2": 4, "of 3": 2, "of 4": 2}
    assert len(runs.asked) == len(set(runs.asked)) == 20


def test_where_time_is_short_fewer_finalists_are_run_and_these_on_all_cells():
    # a round is two cells of a second each: there is time for three finalists, two are the least
    found = search(Runs(1.0), 5.0, 1.0, 2.0, 3.0, budget=Budget(minutes=7 / 60))
    assert list(found.runs) == ["of 5", "of 1", "of 2"] and found.left_out == 1
    assert all(len(mine) >= 2 for mine in found.runs.values())
    least = search(Runs(100.0), 5.0, 1.0, 2.0, 3.0, budget=Budget(minutes=7 / 60))
    assert list(least.runs) == ["of 5", "of 1"] and least.cut_short
    assert search(Runs(1.0), 5.0, 1.0, 2.0).left_out == 0


def test_all_candidates_run_on_the_same_cells_before_the_next_cell_begins():
    runs = Runs()
    search(runs, 1.0, 2.0, 3.0)
    cells = [(repeat, fold) for _, repeat, fold in runs.asked]
    assert all(one <= two for one, two in pairwise(cells))


@pytest.mark.parametrize("most", [1, 2, 5, 7, 11])
def test_a_search_ends_at_its_last_run_and_says_so(most):
    runs, budget = Runs(), Budget(runs=most)
    found = search(runs, 1.0, 2.0, 3.0, 4.0, budget=budget)
    assert len(runs.asked) == budget.spent == most
    assert found.cut_short
    assert found.common(["of 1", "of 2"]) == sorted(found.common(["of 1", "of 2"]))


def test_runs_and_time_are_kept_back_for_the_last_report():
    budget = Budget(runs=7, kept_back=3)
    search(Runs(), 1.0, 2.0, 3.0, 4.0, budget=budget)
    assert budget.spent == 4
    assert budget.allows(None, last=True)
    hurried = Runs(seconds=30.0)
    search(hurried, 1.0, 2.0, budget=Budget(minutes=1.0, kept_back=3))
    assert not hurried.asked  # four more runs would take two minutes
    search(hurried, 1.0, 2.0, budget=Budget(minutes=4.0, kept_back=3))
    assert hurried.asked


def test_budgets_that_are_none_are_refused():
    with pytest.raises(BadInput, match="max_runs must be 1 or more, got 0"):
        Budget(runs=0)
    with pytest.raises(BadInput, match="minutes must be positive, got 0"):
        Budget(minutes=0)


def test_losses_are_by_row_over_the_repeats():
    found = search(Runs(), 1.0, 2.0)
    places = found.common(["of 1", "of 2"])
    rows = sorted(row.row for row in TASK.rows("train"))
    expected = 1.0 + 0.01 * np.array(rows)
    assert found.row_losses("of 1", places) == pytest.approx(expected)
    assert found.loss("of 2", places) == pytest.approx(expected.mean() + 1)
