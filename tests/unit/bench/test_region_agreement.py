import numpy as np
import pytest
from bench.regions.agreement import accuracy, agreement, f1_by_group, matching
from bench.regions.grams import distances
from bench.regions.twins import are_twins

from weightscape.geometry.products import Moments, TreeGram
from weightscape.regions.domains import centres


def test_clusters_that_are_the_groups_agree_whatever_they_are_called():
    found = agreement(list("aabbcc"), [7, 7, 1, 1, 3, 3])
    assert found == {"ari": 1.0, "accuracy": 1.0}


def test_each_group_is_matched_to_one_cluster_at_most():
    # one group in two clusters: the larger one is right, the other is not
    assert accuracy(list("aaaab"), [0, 0, 0, 1, 2]) == 0.8
    assert matching(list("aaaab"), [0, 0, 0, 1, 2]) == {0: "a", 2: "b"}


def test_two_groups_in_one_cluster_are_told_by_their_f1():
    scores = f1_by_group(list("aaabb"), [0] * 5)
    assert scores["a"] == pytest.approx(2 * 3 / (3 + 5))
    assert scores["b"] == 0


def tree(vectors):
    gram = np.array([vectors @ vectors.T])
    blank = np.full((1, len(vectors)), np.nan)
    moments = Moments(blank, blank, blank, blank, np.zeros(blank.shape, int), (("",) * 4,))
    return TreeGram(("base", "a", "b", "c"), ("w",), ((2, 3),), gram, moments, "base")


def test_distances_and_centres_are_those_of_the_vectors():
    vectors = np.random.default_rng(0).normal(size=(4, 6))
    vectors[0] = 0
    found = centres(tree(vectors), {"ab": ["a", "b"], "c": ["c"]})
    middle = np.stack([vectors[1:3].mean(axis=0), vectors[3]])
    assert found.models == ("ab", "c")
    assert np.allclose(found.gram[0], middle @ middle.T)
    assert np.allclose(distances(tree(vectors))[1, 2], np.linalg.norm(vectors[1] - vectors[2]))


def test_twins_share_texts_and_agree_on_them():
    texts = [f"text {i}" for i in range(20)]
    one = {text: "good" if i % 2 else "bad" for i, text in enumerate(texts)}
    renamed = {text: {"good": "pos", "bad": "neg"}[label] for text, label in one.items()}
    constant = dict.fromkeys(one, "review")
    other = {text: "good" if i < 10 else "bad" for i, text in enumerate(texts)}
    assert are_twins(one, renamed)
    assert not are_twins(one, constant)
    assert not are_twins(one, other)
    assert not are_twins(one, {f"{text}!": label for text, label in one.items()})
