import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from weightscape.errors import BadInput
from weightscape.probing.fusion import fuse
from weightscape.probing.retrieval import VectorIndex, top

FEW = st.sampled_from([0.0, 0.5, 1.0, -1.0, float("nan"), float("inf"), float("-inf")])


@settings(deadline=None, max_examples=60)
@given(arrays(np.float32, st.integers(0, 30), elements=FEW), st.integers(0, 40))
def test_the_top_is_that_of_a_whole_stable_sort(scores, count):
    keys = np.where(np.isnan(scores), -np.inf, scores)
    whole = sorted(range(len(scores)), key=lambda i: (-keys[i], i))[:count]
    assert top(scores, count).tolist() == whole


def test_nearest_is_exact_cosine():
    drawn = np.random.default_rng(0)
    vectors, query = drawn.standard_normal((50, 7)), drawn.standard_normal(7)
    cosines = vectors @ query / np.linalg.norm(vectors, axis=1) / np.linalg.norm(query)
    found = VectorIndex([f"m{i}" for i in range(50)], vectors).nearest(query, 5)
    assert [it.name for it in found] == [f"m{i}" for i in np.argsort(-cosines)[:5]]
    np.testing.assert_allclose([it.score for it in found], np.sort(cosines)[::-1][:5], atol=1e-6)


def test_an_index_leaves_what_it_was_given_as_it_was():
    vectors = np.full((2, 3), 2, dtype=np.float32)
    VectorIndex(["a", "b"], vectors)
    assert (vectors == 2).all()


def test_vectors_without_a_direction_come_last_and_are_no_numbers_of_chance():
    index = VectorIndex(["zero", "nan", "one"], np.array([[0, 0], [np.nan, 1], [1, 1]]))
    found = index.nearest(np.array([1.0, 0.0]), 3)
    assert [(it.name, round(it.score, 3)) for it in found] == [
        ("one", 0.707),
        ("zero", 0.0),
        ("nan", 0.0),
    ]


def test_what_cannot_be_compared_is_refused():
    index = VectorIndex(["a"], np.ones((1, 3)))
    with pytest.raises(BadInput, match="2 numbers was asked for among vectors of 3"):
        index.nearest(np.ones(2), 1)
    for query in (np.zeros(3), np.full(3, np.inf)):
        with pytest.raises(BadInput, match="zero or not finite"):
            index.nearest(query, 1)
    with pytest.raises(BadInput, match="as many vectors"):
        VectorIndex(["a", "b"], np.ones((1, 3)))
    assert VectorIndex([], np.zeros((0, 3))).nearest(np.ones(3), 4) == []


def test_what_both_rankings_list_comes_before_what_one_lists_first():
    found = fuse({"weights": ["a", "b", "c"], "text": ["d", "b"]})
    assert [it.name for it in found] == ["b", "a", "d", "c"]
    assert found[0].found_by == ("weights", "text")
    assert found[0].score == pytest.approx(2 / 62)
    assert [it.found_by for it in found[1:]] == [("weights",), ("text",), ("weights",)]


def test_a_name_counts_once_in_a_ranking_and_ties_go_by_name():
    assert [it.score for it in fuse({"x": ["a", "a"]})] == [1 / 61]
    assert [it.name for it in fuse({"x": ["b"], "y": ["a"]})] == ["a", "b"]
    assert fuse({}) == fuse({"x": []}) == []
