import numpy as np
import pytest

from weightscape.catalog.records import RegionMap
from weightscape.regions.layout import arrange, layouts


def test_scaling_gives_distances_back_where_two_dimensions_suffice():
    points = np.random.default_rng(0).normal(size=(12, 2))
    laid = layouts["mds"](points @ points.T, 0)
    gap = np.linalg.norm(points[:, None] - points[None], axis=-1)
    np.testing.assert_allclose(np.linalg.norm(laid[:, None] - laid[None], axis=-1), gap, atol=1e-9)


def test_signs_are_fixed():
    points = np.random.default_rng(1).normal(size=(9, 2))
    laid = layouts["mds"](points @ points.T, 0)
    farthest = np.abs(laid).argmax(axis=0)
    assert (laid[farthest, [0, 1]] > 0).all()


@pytest.mark.parametrize("layout", list(layouts))
@pytest.mark.parametrize("count", [0, 1, 2, 3, 6])
def test_few_models_have_places_too(layout, count):
    laid = layouts[layout](np.eye(count), 0)
    assert laid.shape == (count, 2)
    assert np.isfinite(laid).all()


def test_neighbour_embedding_keeps_clusters_apart():
    cosine = np.kron(np.eye(3), np.full((8, 8), 0.8)) + 0.2 * np.eye(24)
    laid = layouts["tsne"](cosine, 0)
    centres = laid.reshape(3, 8, 2).mean(axis=1)
    spread = np.linalg.norm(laid.reshape(3, 8, 2) - centres[:, None], axis=-1).max()
    apart = np.linalg.norm(centres[:, None] - centres[None], axis=-1)[np.triu_indices(3, 1)]
    assert apart.min() > spread


def some_map(name, count, seed):
    places = np.random.default_rng(seed).normal(size=(count, 2)) * 10.0**seed
    points = {f"{name}-{i}": (float(x), float(y)) for i, (x, y) in enumerate(places)}
    return RegionMap(tuple(points), None, np.eye(count), (), (), points, tuple(points), "flat")


def test_several_trees_lie_side_by_side_without_overlap():
    maps = [some_map(f"tree{i}", count, i) for i, count in enumerate((30, 1, 7, 200, 2))]
    placed = arrange(maps)
    assert set(placed) == {name for it in maps for name in it.points}
    boxes = []
    for it in maps:
        points = np.array([placed[name] for name in it.points])
        boxes.append((points.min(axis=0), points.max(axis=0)))
    for i, (low, high) in enumerate(boxes):
        for other_low, other_high in boxes[:i]:
            assert (high < other_low).any() or (other_high < low).any()


def test_the_order_of_trees_does_not_matter():
    maps = [some_map(f"tree{i}", count, i) for i, count in enumerate((5, 5, 9))]
    assert arrange(maps) == arrange(maps[::-1])


def test_no_trees_no_places():
    assert arrange([]) == {}
