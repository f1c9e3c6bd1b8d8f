import numpy as np
import pytest

from weightscape.regions.chart import chart_regions
from weightscape.regions.domains import centres, group_regions


def two_levels(grow, domains, likeness=0.3, seed=0):
    """Models of tasks, three of each; tasks of one domain have something in common."""
    models = grow([task for task in range(len(domains)) for _ in range(3)], seed=seed)
    shared = {
        it: [np.random.default_rng([seed, it]).normal(size=x.shape) for x in models["base"]]
        for it in set(domains)
    }
    for name, tensors in models.items():
        if name != "base":
            more = shared[domains[int(name[1 : name.index("-")])]]
            models[name] = [x + np.sqrt(likeness) * y for x, y in zip(tensors, more, strict=True)]
    return models


def tasks_of(found, domains):
    members = {it.label: it.members for it in found.regions} | {it: (it,) for it in found.outliers}
    return {
        frozenset(int(name[1 : name.index("-")]) for label in domain for name in members[label])
        for domain in domains
    }


def test_regions_of_one_domain_are_grouped_and_others_are_left_alone(grow, products):
    tree = products(two_levels(grow, [0, 0, 0, 1, 1, 1, 2, 3], likeness=0.2))
    found = chart_regions(tree, base="base", regions=8)
    grouped = tasks_of(found, group_regions(tree, found))
    assert grouped == {frozenset({0, 1, 2}), frozenset({3, 4, 5}), frozenset({6}), frozenset({7})}
    assert tasks_of(found, group_regions(tree, found, domains=1)) == {frozenset(range(8))}


@pytest.mark.parametrize("tasks", [2, 3, 4, 8, 15])
def test_every_region_is_its_own_domain_where_nothing_separates_them(grow, products, tasks):
    tree = products(grow([task for task in range(tasks) for _ in range(3)]))
    found = chart_regions(tree, base="base")
    grouped = group_regions(tree, found)
    assert tasks_of(found, grouped) == {frozenset({task}) for task in range(tasks)}
    assert all(len(domain) == 1 for domain in grouped)


def test_a_map_without_models_has_no_domains(grow, products):
    tree = products({"base": grow([])["base"]})
    assert group_regions(tree, chart_regions(tree, base="base")) == ()


def test_products_of_centres_are_those_of_their_weights(grow, products):
    models = grow([0, 0, 1])
    names = [name for name in models if name != "base"]
    middle = [
        np.mean([models[name][t] for name in names], axis=0) for t in range(len(models["base"]))
    ]
    direct = products({**models, "middle": middle})
    found = centres(products(models), {"middle": names, names[0]: names[:1]})
    places = [direct.models.index("middle"), direct.models.index(names[0])]
    np.testing.assert_allclose(found.gram, direct.gram[:, places][:, :, places], atol=1e-9)
