from dataclasses import replace

import numpy as np
import pytest
import torch

from weightscape.errors import BadInput
from weightscape.tasks.arrays import task_from_arrays
from weightscape.tasks.fingerprint import task_fingerprint
from weightscape.tasks.halves import halves
from weightscape.tasks.task import Example, make_task


@pytest.fixture
def task():
    rows = [(f"text {i}", "abc"[i % 3]) for i in range(90)]
    return make_task("letters", "toy", {"train": rows[:61], "test": rows[61:]})


def test_halves_share_no_training_row_and_hold_out_the_same(task):
    one, two = halves(task, seed=1)
    rows = [{e.row for e in half.rows("train")} for half in (one, two)]
    assert rows[0] | rows[1] == set(range(61)) and not rows[0] & rows[1]
    assert (one.name, two.name) == ("letters-half1", "letters-half2")
    assert one.splits["test"] == two.splits["test"] == task.splits["test"]
    for label in range(3):
        count = [sum(e.target == label for e in half.rows("train")) for half in (one, two)]
        assert abs(count[0] - count[1]) <= 1
    assert halves(task, seed=1) == (one, two)
    assert halves(task, seed=2)[0] != one


def test_a_subset_is_named_by_row_numbers_and_keeps_the_order(task):
    shuffled = replace(task, splits={**task.splits, "train": task.splits["train"][::-1]})
    few = shuffled.subset("train", rows=np.array([3, 17, 5]))
    assert [e.row for e in few.rows("train")] == [17, 5, 3]
    assert few.splits["test"] == task.splits["test"]
    with pytest.raises(BadInput, match="split 'train' of task 'letters' has no row 61"):
        task.subset(rows=[0, 61])


def test_a_fingerprint_changes_with_whatever_changes_an_evaluation(task):
    first = task.splits["train"]
    changed = [
        replace(task, labels=("a", "b", "d")),
        replace(task, kind="causal"),
        replace(task, max_tokens=41),
        replace(task, target_tokens=31),
        replace(task, metrics=("loss",)),
        replace(task, function=len),
        replace(task, splits={"train": first}),
        replace(task, splits={**task.splits, "train": first[::-1]}),
        replace(task, splits={**task.splits, "train": (first[0]._replace(row=99), *first[1:])}),
        replace(task, splits={**task.splits, "train": (first[0]._replace(inputs="x"), *first[1:])}),
        replace(task, splits={**task.splits, "train": (first[0]._replace(target=2), *first[1:])}),
        replace(task, splits={**task.splits, "train": (first[0]._replace(target="0"), *first[1:])}),
    ]
    prints = [task_fingerprint(each) for each in (task, *changed)]
    assert len(set(prints)) == len(prints)
    assert task_fingerprint(replace(task, name="other", domain="other")) == prints[0]
    # pinned, so that what one version cached another one still finds
    assert task_fingerprint(make_task("t", "", {"train": [("x", "a"), ("y", "b")]})) == PINNED


PINNED = "task1:d7291bfbbee879f9e6ea63f3071374cd"


def test_arrays_count_by_dtype_shape_and_bytes():
    inputs = torch.arange(12, dtype=torch.bfloat16).reshape(4, 3)

    def of(inputs):
        return task_fingerprint(task_from_arrays("t", {"train": (inputs, [0, 1, 0, 1])}, "ab"))

    other = inputs.clone()
    other[0, 0] = 7
    prints = {of(inputs), of(inputs.float()), of(other), of(inputs.reshape(4, 3, 1))}
    assert len(prints) == 4
    assert of(inputs.clone()) == of(inputs)


def test_an_image_s_file_counts_by_its_content(task, tmp_path):
    file = tmp_path / "a.png"

    def of():
        return task_fingerprint(replace(task, splits={"train": (Example(file, 0, 0),)}))

    file.write_bytes(b"one")
    before = of()
    file.write_bytes(b"two")
    assert of() != before


def test_records_of_a_custom_task_count_by_key_and_value(task):
    def of(record):
        return task_fingerprint(replace(task, splits={"train": (Example(record, None, 0),)}))

    records = [{"a": 1}, {"a": "1"}, {"a": None}, {"b": 1}, {"a": [1]}, {"a": {"b": 1}}, {"a": 1.0}]
    assert len({of(record) for record in records}) == len(records)


def test_a_task_of_arrays_keeps_order_and_numbers_rows_by_split():
    images = np.random.default_rng(0).normal(size=(6, 2, 2))
    digits = torch.tensor([0, 1, 2, 0, 1, 2])
    task = task_from_arrays(
        "digits", {"train": (images[:4], digits[:4]), "test": (images[4:], digits[4:])}, "xyz"
    )
    assert task.labels == ("x", "y", "z") and task.metrics == ("accuracy", "macro_f1")
    assert [(e.row, e.target) for e in task.rows("test")] == [(0, 1), (1, 2)]
    np.testing.assert_array_equal(task.rows("test")[1].inputs, images[5])
    heights = task_from_arrays("heights", {"train": (images, np.linspace(0, 1, 6))})
    assert heights.is_regression and heights.metrics == ("spearman", "pearson")
    assert heights.rows("train")[5].target == 1.0


@pytest.mark.parametrize(
    ("splits", "labels", "said"),
    [
        ({"train": (np.eye(3), [0, 1])}, "ab", "'train': 3 inputs but 2 targets"),
        ({"train": (np.eye(3), [0, 1, 2])}, "ab", "row 2: target 2 is no number of a label"),
        ({"train": (np.eye(3), [0, 1, -1])}, "ab", "row 2: target -1"),
        ({"train": (np.eye(3), [0, 1, 0.5])}, "ab", "row 2: target 0.5"),
        ({"train": (np.eye(3), np.eye(3))}, "ab", "should be one number, not 3"),
        ({"train": (np.eye(0), [])}, "ab", "'train' has no rows"),
        ({"tran": (np.eye(3), [0, 1, 0])}, "ab", "the splits are train, validation, test"),
        ({"train": (np.eye(2), [0, 0])}, "a", "two labels or more"),
        ({"train": (np.eye(2), [0, float("nan")])}, "", "row 1: target nan is no finite number"),
        ({"train": (np.eye(2), [0, 1]), "test": (np.eye(2), [0, 1])}, "ab", "in splits"),
    ],
)
def test_arrays_that_make_no_task_are_refused(splits, labels, said):
    with pytest.raises(BadInput, match=said):
        task_from_arrays("t", splits, labels)
