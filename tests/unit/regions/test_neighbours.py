from dataclasses import replace

import numpy as np
import pytest

from weightscape.errors import UnknownName
from weightscape.geometry.products import with_equals_equal
from weightscape.regions.neighbours import neighbours


def test_nearest_first_by_distance_with_cosines_against_the_base(grow, products):
    models = grow([0, 0, 1, 1], likeness=0.4)
    found = neighbours(products(models), "base", "t0-0")
    flat = {name: np.concatenate([x.ravel() for x in parts]) for name, parts in models.items()}
    for other in found:
        gap = np.linalg.norm(flat[other.model] - flat["t0-0"])
        assert other.distance == pytest.approx(gap)
        assert 0 < other.relative < 1
    assert [it.distance for it in found] == sorted(it.distance for it in found)
    assert {it.model for it in found} == set(models) - {"t0-0"}
    cosine = {it.model: it.cosine for it in found}
    assert cosine["t0-1"] == pytest.approx(0.4, abs=0.05)
    assert abs(cosine["t1-2"]) < 0.1
    assert np.isnan(cosine["base"])


def test_equal_distances_go_by_name(grow, products):
    models = grow([0, 0])
    models["z"] = models["a"] = models["t0-1"]
    assert [it.model for it in neighbours(products(models), "base", "t0-1")[:2]] == ["a", "z"]


def test_unknown_models_get_a_suggestion(grow, products):
    with pytest.raises(UnknownName, match="nearest: t0-0"):
        neighbours(products(grow([0, 0])), "base", "t0_0")


def test_exact_copies_are_at_distance_0_though_their_products_were_rounded_apart(grow, products):
    models = grow([0, 0, 1, 1])
    models["copy"] = models["t0-0"]
    tree = products(models)
    place = {name: i for i, name in enumerate(tree.models)}
    hashes = tuple(
        tuple(row[place["t0-0"]] if name == "copy" else row[i] for name, i in place.items())
        for row in tree.moments.hashes
    )
    rng = np.random.default_rng(0)
    noise = 1e-7 * rng.normal(size=tree.gram.shape)
    rounded = replace(
        tree,
        gram=tree.gram * (1.0 + noise + noise.transpose(0, 2, 1)),
        moments=replace(tree.moments, hashes=hashes),
    )
    nearest = neighbours(with_equals_equal(rounded), "base", "copy")[0]
    assert (nearest.model, nearest.distance, nearest.resolution) == ("t0-0", 0.0, 0.0)
    assert nearest.cosine == 1.0
    there, back = (
        {it.model: it.distance for it in neighbours(with_equals_equal(rounded), "base", name)}
        for name in ("t0-0", "copy")
    )
    assert there["t1-2"] == back["t1-2"]


def test_a_distance_that_rounding_may_have_made_is_known_for_one(grow, products):
    models = grow([0, 0, 1, 1])
    models["near"] = [x + 1e-6 for x in models["t0-0"]]
    found = {it.model: it for it in neighbours(products(models), "base", "near")}
    assert found["t0-0"].distance < found["t0-0"].resolution
    assert all(it.distance > it.resolution for name, it in found.items() if name != "t0-0")


def test_by_cosine_those_moved_alike_come_first_and_the_base_last(grow, products):
    models = grow([0, 0, 1, 1], likeness=0.4)
    models["short"] = [0.1 * x for x in models["t1-2"]]
    tree = products(models)
    found = neighbours(tree, "base", "t0-0", by="cosine")
    assert (found[0].model, found[-1].model) == ("t0-1", "base")
    assert neighbours(tree, "base", "t0-0")[0].model in ("base", "short")
    with pytest.raises(UnknownName, match="cosine"):
        neighbours(tree, "base", "t0-0", by="cosines")
