import pytest

from weightscape.atlas.probe_near import near_by_probe
from weightscape.errors import BadInput


def test_models_that_know_the_same_are_nearest(probed):
    population, atlas, _, _ = probed
    mine = set(population.labels["first-007"])
    seen, found = near_by_probe(atlas.store, atlas.model("first-007"), count=39)
    assert seen.name == "first-007" and "first-007" not in {it.name for it in found}

    def shared(names):
        both = [
            len(mine & set(population.labels[it])) / len(mine | set(population.labels[it]))
            for it in names
        ]
        return sum(both) / len(both)

    names = [it.name for it in found if it.name in population.labels]
    assert shared(names[:4]) > shared(names[-20:]) + 0.2


def test_a_model_from_elsewhere_has_neighbours_too(probed, tmp_path):
    population, atlas, _, _ = probed
    known = population.labels["first-010"]
    place = population.one("twin", "first", known, into=tmp_path)
    _, found = near_by_probe(atlas.store, place, count=3)
    assert any(set(population.labels[it.name]) == set(known) for it in found)


def test_a_model_of_no_known_tree_has_none(probed):
    _, atlas, _, _ = probed
    with pytest.raises(BadInput, match="has no expert"):
        near_by_probe(atlas.store, atlas.model("second-000"))
