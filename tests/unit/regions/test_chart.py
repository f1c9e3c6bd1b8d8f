from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from weightscape.errors import BadInput, UnknownName
from weightscape.regions.chart import chart_regions
from weightscape.regions.clusters import clusterings
from weightscape.regions.layout import layouts
from weightscape.regions.poolings import poolings

EIGHT_TASKS = [task for task in range(8) for _ in range(4)]


def by_task(region_map):
    """Tell whether regions are exactly the tasks that names begin with."""
    regions = {frozenset(region.members) for region in region_map.regions}
    names = [name for name in region_map.models if name.startswith("t")]
    tasks = {name.split("-")[0] for name in names}
    return regions == {frozenset(n for n in names if n.startswith(f"{task}-")) for task in tasks}


@pytest.mark.parametrize("pooling", list(poolings))
@pytest.mark.parametrize("clustering", list(clusterings))
def test_tasks_are_found_and_counted(grow, products, pooling, clustering):
    tree = products(grow(EIGHT_TASKS, likeness=0.15))
    region_map = chart_regions(tree, base="base", pooling=pooling, clustering=clustering)
    assert by_task(region_map)
    assert region_map.outliers == ()
    assert region_map.pooling == pooling


@pytest.mark.parametrize(("tasks", "seeds"), [(2, 2), (2, 20), (3, 3), (16, 3)])
def test_any_number_of_regions(grow, products, tasks, seeds):
    models = grow([task for task in range(tasks) for _ in range(seeds)], likeness=0.25)
    assert by_task(chart_regions(products(models), base="base"))


@pytest.mark.parametrize("count", [4, 10, 40])
@pytest.mark.parametrize("background", [0.0, 0.3])
def test_one_region_where_nothing_separates(grow, products, count, background):
    models = grow(list(range(count)), likeness=0.1, background=background, seed=count)
    region_map = chart_regions(products(models), base="base")
    assert len(region_map.regions) == 1
    assert region_map.outliers == ()
    assert any("nothing separates" in note for note in region_map.notes)


def test_something_shared_by_all_does_not_hide_the_tasks(grow, products):
    models = grow(EIGHT_TASKS, likeness=0.15, background=0.4)
    assert by_task(chart_regions(products(models), base="base"))


def test_a_model_that_belongs_nowhere_is_said_so(grow, products):
    models = grow([0, 0, 0, 1, 1, 1, 2, 2, 2])
    models["odd"] = [np.random.default_rng(9).normal(size=x.shape) for x in models["base"]]
    region_map = chart_regions(products(models), base="base")
    assert region_map.outliers == ("odd",)
    assert by_task(region_map)


@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_few_models_are_one_region(grow, products, count):
    region_map = chart_regions(products(grow([0] * count)), base="base")
    assert [len(region.members) for region in region_map.regions] == [count][: count > 0]
    assert len(region_map.points) == count + 1


def test_the_base_its_copies_and_its_casts_are_in_no_region(grow, products):
    models = grow([0, 0, 0, 1, 1, 1])
    rounding = np.random.default_rng(1)
    models["copy"] = models["base"]
    models["cast"] = [x + 0.05 * rounding.normal(size=x.shape) for x in models["base"]]
    models["cast-too"] = models["cast"]
    region_map = chart_regions(products(models), base="base")
    assert by_task(region_map)
    assert region_map.outliers == ()
    assert set(region_map.order[-4:]) == {"base", "copy", "cast", "cast-too"}
    assert np.isnan(region_map.cosine[0]).all()
    assert "with the base, hardly moved: cast, cast-too" in region_map.notes
    assert "with the base, no weight moved: copy" in region_map.notes


def test_kin_do_not_pass_for_regions(grow, products):
    models = grow([0, 0, 0, 1, 1, 1, 2, 2, 2], likeness=0.2)
    more = np.random.default_rng(2)
    models["t0-more"] = [x + 0.5 * more.normal(size=x.shape) for x in models["t0-0"]]
    models["t1-copy"] = models["t1-3"]
    models["t2-merge"] = [
        0.5 * a + 0.5 * b for a, b in zip(models["t2-6"], models["t2-7"], strict=True)
    ]
    assert by_task(chart_regions(products(models), base="base"))


def test_the_number_of_regions_can_be_given(grow, products):
    tree = products(grow(EIGHT_TASKS))
    assert len(chart_regions(tree, base="base", regions=3).regions) <= 3
    assert len(chart_regions(tree, base="base", regions=8).regions) == 8
    assert len(chart_regions(tree, base="base", regions=1).regions) == 1


def test_without_a_base_deltas_are_taken_from_the_centre(grow, products):
    models = grow(EIGHT_TASKS)
    del models["base"]
    region_map = chart_regions(products(models, reference="t0-0"), base=None)
    assert by_task(region_map)
    assert any("centre" in note for note in region_map.notes)


def test_adapters_of_an_absent_base_are_compared_as_they_are(grow, products):
    models = grow(EIGHT_TASKS)
    del models["base"]
    region_map = chart_regions(products(models, reference=None), base=None)
    assert by_task(region_map)
    np.testing.assert_allclose(region_map.cosine[0, 1], 0.3, atol=0.05)


def test_any_reference_gives_the_same_cosines(grow, products):
    models = grow(EIGHT_TASKS)
    one = chart_regions(products(models), base="base")
    other = chart_regions(products(models, reference="t3-12"), base="base")
    np.testing.assert_allclose(one.cosine, other.cosine, atol=1e-9)


@settings(deadline=None, max_examples=8, suppress_health_check=list(HealthCheck))
@given(st.randoms(use_true_random=False))
def test_the_order_of_models_does_not_matter(grow, products, random):
    models = grow([0, 0, 0, 1, 1, 1, 2, 2, 3], likeness=0.2)
    names = list(models)
    random.shuffle(names)
    one = chart_regions(products(models), base="base")
    other = chart_regions(products({name: models[name] for name in names}), base="base")
    assert one.regions == other.regions
    assert one.outliers == other.outliers
    assert one.order == other.order
    for name, point in one.points.items():
        np.testing.assert_allclose(point, other.points[name], atol=1e-6)


@pytest.mark.parametrize("layout", list(layouts))
def test_a_seed_gives_the_same_map_again(grow, products, layout):
    tree = products(grow([0, 0, 0, 1, 1, 1]))
    one = chart_regions(tree, base="base", layout=layout, seed=5)
    assert one.points == chart_regions(tree, base="base", layout=layout, seed=5).points


def test_regions_are_named_after_their_medoid_and_the_order_keeps_them_together(grow, products):
    region_map = chart_regions(products(grow(EIGHT_TASKS)), base="base")
    for region in region_map.regions:
        assert region.label == f"region:{region.medoid}"
        assert region.members[0] == region.medoid
        inside = [region_map.models.index(name) for name in region.members]
        means = region_map.cosine[np.ix_(inside, inside)].mean(axis=1)
        assert means[0] == pytest.approx(means.max())
    joined = [name for region in region_map.regions for name in region.members]
    assert region_map.order == (*joined, "base")


def test_tensors_that_some_models_lack_are_passed_over(grow, products):
    tree = products(grow(EIGHT_TASKS))
    tree.gram[2, 5, :] = tree.gram[2, :, 5] = np.nan
    tree.gram[:, 7, 8] = tree.gram[:, 8, 7] = np.nan
    for pooling in poolings:
        region_map = chart_regions(tree, base="base", pooling=pooling)
        assert np.isfinite(region_map.cosine[1:, 1:]).all()
        assert len(region_map.regions) == 8


def test_a_model_trained_in_vectors_alone_still_has_cosines(grow, products):
    models = grow([0, 0, 0, 1, 1, 1])
    models["bitfit"] = [x if x.ndim == 1 else np.zeros_like(x) for x in models["t0-0"]]
    region_map = chart_regions(products(models), base="base")
    row = region_map.models.index("bitfit")
    assert region_map.cosine[row, 1] == pytest.approx(1.0)


def test_unknown_names_and_nonsense_are_refused(grow, products):
    tree = products(grow([0, 0, 1]))
    for options in ({"base": "bass"}, {"base": "base", "pooling": "matrix"}):
        with pytest.raises(UnknownName, match="nearest: (base|matrices)"):
            chart_regions(tree, **options)
    with pytest.raises(BadInput, match="at least 1"):
        chart_regions(tree, base="base", regions=0)


@pytest.mark.parametrize("pooling", list(poolings))
def test_copies_of_the_base_have_no_direction_though_their_products_are_rounded(
    grow, products, pooling
):
    models = grow([0, 0, 0, 1, 1, 1])
    models |= dict.fromkeys(("head", "adapter", "prefix"), models["base"])
    tree = products(models, reference="t0-0")
    noise = 1e-9 * np.random.default_rng(0).normal(size=tree.gram.shape)
    rounded = replace(tree, gram=tree.gram * (1.0 + noise + noise.transpose(0, 2, 1)))
    region_map = chart_regions(rounded, base="base", pooling=pooling)
    assert by_task(region_map)
    assert region_map.outliers == ()
    assert np.isnan(region_map.cosine[-3:]).all()
    assert any("adapter, head, prefix" in note for note in region_map.notes)
