import dataclasses

import numpy as np
import pytest
from blended_lookers import largest

from weightscape.errors import BadInput
from weightscape.tuning.records import Trial
from weightscape.tuning.selection import compare, dev_rows, finalists, part_rows, warn_of_few

TASK = largest(60)


def trial(number, loss, *weights, state="complete"):
    return Trial(number, np.array(weights), loss, 10, state, 0.0)


def test_development_rows_are_never_test_rows():
    rows, told = dev_rows(TASK)
    assert rows == TASK.rows("train") and "validation" in told
    validated = dataclasses.replace(
        TASK, splits={**TASK.splits, "validation": largest(30, seed=1).rows("train")}
    )
    rows, told = dev_rows(validated)
    assert rows == validated.rows("validation") and not told


def test_rows_are_cut_so_that_each_is_the_choice_once():
    parts = part_rows(TASK, TASK.rows("train"))
    assert len(parts) == 3
    chosen = [row.row for part in parts for row in part.choice]
    assert sorted(chosen) == sorted(row.row for row in TASK.rows("train"))
    for part in parts:
        assert not {row.row for row in part.search} & {row.row for row in part.choice}
        assert {row.target for row in part.choice} == {0, 1, 2}


def test_finalists_are_the_best_that_were_read_in_full_and_differ():
    trials = [
        trial(0, 0.5, 0.5, 0.5),
        trial(1, 0.1, 0.9, 0.1, state="raced"),
        trial(2, 0.2, 0.2, 0.8),
        trial(3, 0.21, 0.21, 0.79),
        trial(4, np.inf, 0.0, 1.0, state="failed"),
    ]
    assert [it.tolist() for it in finalists(trials)] == [[0.2, 0.8], [0.5, 0.5]]
    with pytest.raises(BadInput, match="in full"):
        finalists(trials[1:2])


def test_the_rows_that_would_do_are_about_right():
    """Draw that many rows many times: four of five times the two are told apart."""
    generator = np.random.default_rng(0)
    steps = generator.normal(0.1, 0.6, 200_000)
    exact = compare(np.zeros(len(steps)), steps)
    needed = exact.needed
    assert 200 < needed < 400
    apart = [
        compare(np.zeros(needed), generator.normal(0.1, 0.6, needed)).apart for _ in range(100)
    ]
    assert 0.65 < np.mean(apart) < 0.95


def test_a_warning_says_how_many_rows_would_do():
    generator = np.random.default_rng(0)
    unclear = compare(np.zeros(30), generator.normal(0.05, 1.0, 30))
    told = warn_of_few(unclear, 30, "the uniform soup")
    assert "30 rows do not tell" in told and "uniform soup" in told and "rows would" in told
    clear = compare(np.zeros(30), generator.normal(2.0, 0.1, 30))
    assert warn_of_few(clear, 30, "the uniform soup") == ""
    same = compare(np.ones(5), np.ones(5))
    assert same.needed is None and "rows would" not in warn_of_few(same, 5, "itself")
    with pytest.raises(BadInput, match="same rows"):
        compare(np.ones(5), np.ones(4))
