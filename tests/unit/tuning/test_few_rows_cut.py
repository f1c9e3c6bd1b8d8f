from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weightscape.tasks.task import Example, Task
from weightscape.tuning.few_rows import few_rows_fine_tuning, hold_out
from weightscape.tuning.selection import ENOUGH_VALIDATION, dev_rows


def task_of(targets, validation=0):
    rows = tuple(Example(f"text {row}", target, row) for row, target in enumerate(targets))
    more = tuple(Example(f"more {row}", row % 2, row) for row in range(validation))
    labels = tuple("abcdef")[: max(targets) + 1]
    return Task("few", "any", labels, {"train": rows, "validation": more, "test": rows[:3]})


@settings(deadline=None, max_examples=30)
@given(st.lists(st.integers(0, 3), min_size=44, max_size=120))
def test_rows_are_kept_apart_once_and_no_label_is_lost(targets):
    task = task_of(targets)
    cut, told = hold_out(task)
    parts = [*cut.rows("train"), *cut.rows("validation")]
    assert sorted(row.row for row in parts) == list(range(len(targets)))
    assert {row.target for row in cut.rows("train")} == set(targets)
    assert len(cut.rows("validation")) >= ENOUGH_VALIDATION and "kept apart" in told
    assert cut.splits["test"] == task.splits["test"]
    assert dev_rows(cut)[0] == cut.rows("validation")
    assert hold_out(cut) == (cut, "")
    assert hold_out(task_of(targets))[0] == cut


def test_each_label_gives_its_share():
    cut, _ = hold_out(task_of([0] * 60 + [1] * 30 + [2] * 10))
    shares = Counter(row.target for row in cut.rows("validation"))
    assert shares[0] == pytest.approx(24, abs=2) and shares[1] == pytest.approx(12, abs=2)
    assert shares[2] == pytest.approx(4, abs=1)


def test_a_split_of_ones_own_is_used_and_filled_up():
    enough = task_of([0, 1] * 30, validation=20)
    assert hold_out(enough) == (enough, "")
    cut, told = hold_out(task_of([0, 1] * 30, validation=6))
    assert len(cut.rows("validation")) == 26 and "20 of the 60" in told


def test_too_few_rows_stay_together():
    task = task_of([0, 1] * 15)
    cut, told = hold_out(task)
    assert cut is task and "too few" in told


def test_few_rows_recipes_are_whole_models():
    assert few_rows_fine_tuning("lora").merge and not few_rows_fine_tuning("lora").writes_adapter
    assert few_rows_fine_tuning("full", lr=1.0, steps=3).steps == 3
