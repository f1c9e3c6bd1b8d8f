from collections import Counter

import pytest
from halves_of_a_skill import largest

from weightscape.errors import BadInput
from weightscape.starts.folds import check_labels, cut, scored_rows, whole
from weightscape.tasks.task import Example, Task


def task_of(*targets, labels=("a", "b"), validation=0):
    rows = tuple(Example(f"text {i}", target, i) for i, target in enumerate(targets))
    more = tuple(Example(f"other {i}", i % 2, i) for i in range(validation))
    splits = {"train": rows, "test": (Example("held out", 0, 0),)}
    return Task("t", "d", labels, {**splits, "validation": more} if more else splits)


def test_every_row_is_scored_once_and_never_fitted_on_where_it_is_scored():
    task = largest(rows=31)
    cells = cut(task, 4, repeat=0, seed=7)
    scored = Counter(row.row for cell in cells for row in cell.task.rows("test"))
    assert scored == Counter(row.row for row in task.rows("train"))
    for cell in cells:
        fitted = {id(row) for row in cell.task.rows("train")}
        assert not fitted & {id(row) for row in cell.task.rows("test")}
        assert len(fitted) + len(cell.task.rows("test")) == 31
        # 31 rows of three labels in four parts: two or three of each label in each
        assert set(Counter(row.target for row in cell.task.rows("test")).values()) <= {2, 3}


def test_a_repeat_shuffles_anew_and_a_seed_repeats():
    def parts(repeat, seed):
        return [
            [row.row for row in cell.task.rows("test")] for cell in cut(largest(), 3, repeat, seed)
        ]

    assert parts(0, 1) == parts(0, 1) != parts(1, 1)
    assert parts(0, 1) != parts(0, 2)


def test_validation_rows_are_scored_instead_if_there_are_enough():
    few, enough = task_of(*[0, 1] * 4, validation=49), task_of(*[0, 1] * 4, validation=50)
    assert len(cut(few, 2, 0, 0)) == 2 and scored_rows(few) is few.rows("train")
    (cell,) = cut(enough, 2, 0, 0)
    assert cell.task.rows("test") is enough.splits["validation"] is scored_rows(enough)
    assert cell.task.rows("train") is enough.rows("train")


def test_the_test_split_is_in_no_cell_but_the_last_reports():
    task = task_of(*[0, 1] * 4)
    assert all("held out" not in str(cell.task.splits) for cell in cut(task, 2, 0, 0))
    assert whole(task, 3).task.splits == {"train": task.rows("train"), "test": task.rows("test")}


def test_too_few_rows_are_refused_in_a_line():
    with pytest.raises(BadInput, match="5 training rows of task 't' cannot be cut into 3 folds"):
        cut(task_of(0, 1, 0, 1, 0), 3, 0, 0)
    with pytest.raises(BadInput, match="one label only"):
        cut(task_of(0, 0, 0, 0, 0, 1), 3, 0, 0)
    with pytest.raises(BadInput, match="all 3 training rows of task 't' have the label 'b'"):
        check_labels(task_of(1, 1, 1))
    with pytest.raises(BadInput, match="no training row has the label 'c'"):
        check_labels(task_of(0, 1, labels=("a", "b", "c")))
    check_labels(task_of(0.5, 0.25, labels=()))
