"""Merges that lie in no hull: their files name the sources, and the weights must agree."""

import numpy as np
import pytest
from gaussian_trees import SHAPES, Gaussian

from weightscape.catalog.records import ModelFacts
from weightscape.lineage.forest import recover_forest

SOURCES = ("s1", "s2", "s3")


def family(seed=3):
    g = Gaussian(seed)
    g.root()
    for k in range(6):
        g.train("base", f"s{k}", task=k % 2)
    return g


def layered(g, weights):
    """Mix three sources with other weights in every tensor."""
    tensors = {
        name: sum(w * g.models[m][name] for w, m in zip(row, SOURCES, strict=True))
        for name, row in zip(SHAPES, weights, strict=True)
    }
    g.add("blend", tensors, "merge", *SOURCES)


def parents(g, facts):
    forest = recover_forest(g.shuffled(), facts)
    return {(e.parent, e.kind) for e in forest.edges if e.child == "blend"}, forest


def claim(*names):
    return {"blend": ModelFacts("blend", sources=names)}


def test_weights_of_its_own_in_every_layer():
    g = family()
    layered(g, np.random.default_rng(0).dirichlet([0.6] * 3, size=len(SHAPES)))
    found, forest = parents(g, claim(*SOURCES))
    assert found == {(name, "merge") for name in SOURCES}
    edge = next(e for e in forest.edges if e.child == "blend")
    assert edge.confidence > 0.95 and "declares" in edge.evidence[0]


def test_beyond_the_hull():
    g = family()
    layered(g, [[1.4, 0.4, -0.8]] * len(SHAPES))
    assert parents(g, claim(*SOURCES))[0] == {(name, "merge") for name in SOURCES}


def test_trimmed_and_added_to_the_base_as_ties_does():
    g = family()
    base, tensors = g.models["base"], {}
    for name in SHAPES:
        deltas = np.stack([g.models[m][name] - base[name] for m in SOURCES])
        kept = np.where(np.abs(deltas) >= np.quantile(np.abs(deltas), 0.5), deltas, 0.0)
        tensors[name] = base[name] + kept.sum(axis=0)
    g.add("blend", tensors, "merge", *SOURCES)
    facts = {"blend": ModelFacts("blend", sources=SOURCES, declared=("base",))}
    found, forest = parents(g, facts)
    assert found == {(name, "merge") for name in SOURCES}
    assert all(e.confidence <= 0.9 for e in forest.edges if e.child == "blend")


@pytest.mark.parametrize("claimed", [("s1", "s4"), ("s4", "s5"), ("s1", "nowhere"), ("s1",)])
def test_claims_that_the_weights_deny(claimed):
    g = family()
    g.train("s1", "blend")
    assert parents(g, claim(*claimed))[0] == {("s1", "full")}


def test_a_source_that_had_no_part_is_left_out():
    g = family()
    g.merge({"s1": 0.6, "s2": 0.4}, "blend")
    assert parents(g, claim(*SOURCES))[0] == {("s1", "merge"), ("s2", "merge")}
