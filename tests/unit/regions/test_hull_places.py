import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weightscape.errors import BadInput
from weightscape.regions.hull_places import mean_distance, place_all, place_in_hull


def gram(points, reference=0.0):
    shifted = np.asarray(points, dtype=float) - reference
    return shifted @ shifted.T


def scattered(members, dimensions=50, seed=0):
    """Models that went their own ways: about equally far from one another."""
    return np.random.default_rng(seed).normal(size=(members, dimensions))


def test_a_point_made_inside_is_in_the_hull_with_the_weights_it_was_made_of():
    models = scattered(5)
    weights = np.array([0.1, 0.0, 0.4, 0.3, 0.2])
    found = place_in_hull(gram([*models, weights @ models]))
    assert found.place == "in the hull"
    assert found.weights == pytest.approx(weights, abs=1e-4)
    assert found.distance == pytest.approx(0, abs=1e-3)


def test_one_more_of_the_kind_is_near_and_a_stranger_is_outside():
    common = 3 * scattered(1, seed=9)[0]
    models = common + scattered(6)
    sibling = models.mean(axis=0) + 0.9 * (common + scattered(1, seed=5)[0] - models.mean(axis=0))
    assert place_in_hull(gram([*models, sibling])).place == "near"
    stranger = -common + 3 * scattered(1, seed=6)[0]
    found = place_in_hull(gram([*models, stranger]))
    assert found.place == "outside"
    assert found.distance > found.typical[1] >= found.typical[0] > 0


def test_distances_are_those_of_plane_geometry():
    square = [(0, 0), (2, 0), (0, 2), (2, 2)]
    found = place_in_hull(gram([*square, (3, 1)], reference=7.0))
    assert found.distance == pytest.approx(1)
    assert found.weights == pytest.approx([0, 0.5, 0, 0.5])
    # each corner from the triangle of the others
    assert found.typical == pytest.approx((np.sqrt(2), np.sqrt(2)))
    assert (found.place, mean_distance(gram(square))) == ("near", pytest.approx(np.sqrt(2)))


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), members=st.integers(2, 6), shift=st.floats(-100, 100))
def test_neither_the_order_of_members_nor_the_reference_matters(seed, members, shift):
    points = scattered(members + 1, dimensions=8, seed=seed)
    order = np.random.default_rng(seed).permutation(members)
    one = place_in_hull(gram(points))
    other = place_in_hull(gram([*points[:-1][order], points[-1]], reference=shift))
    assert other.distance == pytest.approx(one.distance, rel=1e-4)
    assert other.typical == pytest.approx(one.typical, rel=1e-4)
    assert other.weights == pytest.approx(one.weights[order], abs=1e-3)
    assert one.weights.sum() == pytest.approx(1) and (one.weights >= 0).all()


def test_a_member_is_placed_as_seen_from_the_hull_of_the_others():
    square = [(0, 0), (2, 0), (0, 2), (2, 2), (1, 1), (9, 9)]
    names = ["a", "b", "c", "d", "mid", "far"]
    mid, corner, far = place_all(gram(square), names, range(5), [4, 0, 5])
    assert (mid.name, mid.place) == ("mid", "in the hull")
    assert "a" not in corner.weights and corner.place != "in the hull"
    assert far.place == "outside" and far.weights == pytest.approx({"d": 1.0})


def test_what_cannot_be_placed_is_refused():
    with pytest.raises(BadInput, match="two or more models, got 1"):
        place_in_hull(np.eye(2))
    with pytest.raises(BadInput, match="not all finite"):
        place_in_hull(np.full((4, 4), np.nan))
