import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weightscape.errors import BadInput, UnknownName
from weightscape.tasks.cleaning import clean_examples
from weightscape.tasks.splits import SHARES, all_alike, by_label, split_examples
from weightscape.tasks.task import Example, make_task


def split_rows(rows, *, by_text_alone=False, **options):
    examples = [Example(text, label, row) for row, (text, label) in enumerate(rows)]
    stratum = None if by_text_alone else by_label
    splits = split_examples(examples, stratum=stratum, **options)
    return {side: [(e.inputs, e.target) for e in some] for side, some in splits.items()}


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


def test_empty_repeated_and_contradicting_rows_are_left_out_and_counted():
    rows = [("a\n b", "x"), (" a b", "x"), ("c", "x"), ("c", "y"), ("\t", "x"), ("d", "y")]
    cleaned = clean_examples([Example(*row, i) for i, row in enumerate(rows)])
    assert [e.row for e in cleaned.kept] == [0, 5]
    assert cleaned.told == "1 empty, 1 repeated, 2 with contradicting targets"


def test_several_right_answers_to_one_text_are_no_contradiction_where_texts_are_written():
    rows = [Example("hello", "bonjour", 0), Example("hello", "salut", 1)]
    assert len(clean_examples(rows, one_target=False).kept) == 2


def test_near_copies_are_on_one_side_whatever_their_label():
    rows = [
        Example(text, label, row)
        for row, (text, label) in enumerate(
            (text.format(i), label)
            for i in range(100)
            for text, label in [("Row {}!", "a"), ("row {}", "a"), ("ROW: {}", "b")]
        )
    ]
    for stratum in (None, by_label, all_alike):
        splits = split_examples(rows, stratum=stratum)
        sides = [
            {e.inputs.casefold().strip("!").replace(":", "") for e in s} for s in splits.values()
        ]
        assert sum(map(len, sides)) == len(set().union(*sides)) == 100


def test_the_first_rows_of_a_split_are_a_sample_of_it_also_of_a_sorted_file():
    rows = [Example(f"text {i}", "a" if i < 500 else "b", i) for i in range(1000)]
    first = Counter(e.target for e in split_examples(rows)["train"][:200])
    assert first["a"] == pytest.approx(100, abs=25)


def test_a_text_on_both_sides_is_refused():
    with pytest.raises(BadInput, match=r"'same' in splits 'train' \(row 0\) and 'test' \(row "):
        make_task("t", "", {"train": [("same", "a"), ("b", "b")], "test": [("same", "a")]})


def test_a_task_needs_two_labels_and_the_split_that_is_asked_for():
    with pytest.raises(BadInput, match="two labels"):
        make_task("t", "", {"train": [("x", "a")]})
    task = make_task("t", "", {"train": [("x", "a"), ("y", "b")], "test": []})
    with pytest.raises(BadInput, match="'test' of task 't' has no rows"):
        task.rows("test")
    with pytest.raises(UnknownName, match="tset"):
        task.rows("tset")
