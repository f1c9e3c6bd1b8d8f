import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weightscape.errors import BadInput, UnknownName
from weightscape.tasks.splits import SHARES, split_rows
from weightscape.tasks.task import clean_rows, make_task

rows_of_any_kind = st.dictionaries(st.text(min_size=1), st.sampled_from("abc"), max_size=60)


@settings(deadline=None, max_examples=40)
@given(rows_of_any_kind, st.integers(0, 9), st.booleans())
def test_every_row_is_on_one_side_whatever_the_order(rows, seed, by_text_alone):
    rows = list(rows.items())
    splits = split_rows(rows, seed=seed, by_text_alone=by_text_alone)
    assert sorted(row for side in splits.values() for row in side) == sorted(rows)
    random.Random(0).shuffle(rows)
    assert split_rows(rows, seed=seed, by_text_alone=by_text_alone) == splits


def test_every_label_is_split_in_the_same_proportions():
    rows = [(f"text {i}", "rare" if i % 50 == 0 else "common") for i in range(1000)]
    splits = split_rows(rows)
    for side, share in SHARES.items():
        count = Counter(label for _, label in splits[side])
        assert count["rare"] == pytest.approx(20 * share, abs=1)
        assert count["common"] == pytest.approx(980 * share, abs=1)


def test_a_text_that_two_tasks_share_is_on_the_same_side_of_both():
    reviews = [(f"Review, number {i}!", "good") for i in range(400)]
    copies = [(f"review number {i}", "fresh") for i in range(100, 300)]
    plots = [(f"plot {i}", "plot") for i in range(500)]
    first = split_rows(reviews, by_text_alone=True)
    second = split_rows(copies + plots, by_text_alone=True)
    number = {text: i for i, (text, _) in enumerate(reviews)}
    for side in SHARES:
        mine = {number[text] for text, _ in first[side]}
        theirs = {int(text.split()[-1]) for text, label in second[side] if label == "fresh"}
        assert theirs == {i for i in mine if 100 <= i < 300}
        assert len(mine) == pytest.approx(400 * SHARES[side], abs=30)


def test_another_seed_holds_out_other_rows():
    rows = [(f"text {i}", "a") for i in range(200)]
    assert set(split_rows(rows, seed=0)["test"]) != set(split_rows(rows, seed=1)["test"])


def test_shares_must_add_up():
    with pytest.raises(BadInput, match="add up to 1"):
        split_rows([("a", "b")], shares={"train": 0.5, "test": 0.4})


def test_rows_are_normalised_and_contradictions_dropped():
    rows = [("a\n b", "x"), (" a b", "x"), ("c", "x"), ("c", "y"), ("\t", "x"), ("d", "y")]
    assert clean_rows(rows) == [("a b", "x"), ("d", "y")]


def test_a_text_on_both_sides_is_refused():
    with pytest.raises(BadInput, match="'same' in splits 'train' and 'test'"):
        make_task("t", "", {"train": [("same", "a"), ("b", "b")], "test": [("same", "a")]})


def test_a_task_needs_two_labels_and_the_split_that_is_asked_for():
    with pytest.raises(BadInput, match="two labels"):
        make_task("t", "", {"train": [("x", "a")]})
    task = make_task("t", "", {"train": [("x", "a"), ("y", "b")], "test": []})
    with pytest.raises(BadInput, match="'test' of task 't' has no rows"):
        task.rows("test")
    with pytest.raises(UnknownName, match="tset"):
        task.rows("tset")
