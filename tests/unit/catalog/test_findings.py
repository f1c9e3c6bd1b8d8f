from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from weightscape.catalog import findings
from weightscape.catalog.records import Edge, Forest, Region, RegionMap, Tree, Undecided
from weightscape.catalog.store import Store
from weightscape.errors import UnknownName

Plant = Callable[[int], Tree]

FOREST = Forest(
    edges=(
        Edge("m0", "m2", "lora", 0.75, ("the delta has rank 8", "declared")),
        Edge("m0", "m1", "full", 1.0),
        Edge("m1", "m3", "merge", 0.5),
        Edge("m2", "m3", "merge", 0.5, ("0.5 of it",)),
    ),
    roots=("m0",),
    undecided=(Undecided(("m1", "m2"), "they are equally far"),),
)
COSINE = np.array(
    [
        [np.nan, np.nan, np.nan, np.nan],
        [np.nan, 1.0, 0.25, -0.125],
        [np.nan, 0.25, 1.0, 0.1],
        [np.nan, -0.125, 0.1, 1.0],
    ]
)
MAP = RegionMap(
    models=("m0", "m1", "m2", "m3"),
    base="m0",
    cosine=COSINE,
    regions=(Region("region:m2", ("m2", "m1"), "m2"),),
    outliers=("m3",),
    points={"m3": (0.5, -1.0), "m0": (0.0, 0.0), "m1": (1e-30, 3.0), "m2": (1.0, 1.0)},
    order=("m0", "m2", "m1", "m3"),
    pooling="mean",
    notes=("one model is in no region",),
)


def test_findings_come_back_as_they_were(store: Store, plant: Plant) -> None:
    tree = plant(4)
    with store.write() as connection:
        findings.replace_findings(connection, tree.id, FOREST, MAP)
    with store.read() as connection:
        forest = findings.load_forest(connection, tree.id)
        region_map = findings.load_region_map(connection, tree.id)
    assert forest == FOREST
    assert region_map is not None
    np.testing.assert_array_equal(region_map.cosine, COSINE)
    assert list(region_map.points) == list(MAP.points)
    assert replace(region_map, cosine=None) == replace(MAP, cosine=None)


def test_findings_are_replaced_as_a_whole(store: Store, plant: Plant) -> None:
    tree = plant(4)
    without_base = replace(MAP, base=None, regions=(), outliers=(), notes=())
    with store.write() as connection:
        findings.replace_findings(connection, tree.id, FOREST, MAP)
        findings.replace_findings(connection, tree.id, Forest(roots=("m1",)), without_base)
        assert findings.load_forest(connection, tree.id) == Forest(roots=("m1",))
        region_map = findings.load_region_map(connection, tree.id)
    assert region_map is not None and region_map.regions == () and region_map.base is None


def test_a_tree_without_findings_has_none(store: Store, plant: Plant) -> None:
    tree = plant(1)
    with store.read() as connection:
        assert findings.load_forest(connection, tree.id) is None
        assert findings.load_region_map(connection, tree.id) is None


@pytest.mark.parametrize(
    ("forest", "region_map"),
    [
        (replace(FOREST, roots=("stranger",)), MAP),
        (replace(FOREST, undecided=(Undecided(("stranger",), "?"),)), MAP),
        (replace(FOREST, edges=(Edge("m0", "stranger", "full", 1.0),)), MAP),
        (FOREST, replace(MAP, base="stranger")),
        (FOREST, replace(MAP, outliers=("stranger",))),
        (FOREST, replace(MAP, regions=(Region("r", ("m1", "stranger"), "m1"),))),
    ],
)
def test_findings_about_a_model_of_no_place_keep_the_old(
    store: Store, plant: Plant, forest: Forest, region_map: RegionMap
) -> None:
    tree = plant(4)
    with store.write() as connection:
        findings.replace_findings(connection, tree.id, FOREST, MAP)
    with pytest.raises(UnknownName, match="stranger"), store.write() as connection:
        findings.replace_findings(connection, tree.id, forest, region_map)
    with store.read() as connection:
        assert findings.load_forest(connection, tree.id) == FOREST
