import numpy as np
import pytest

from weightscape.errors import UnknownName
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
