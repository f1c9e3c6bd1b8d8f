import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from weightscape.errors import BadInput
from weightscape.geometry.simplex import centre_on, nearest_in_hull, squared_distances

points = st.tuples(st.integers(1, 8), st.integers(1, 6)).flatmap(
    lambda size: arrays(np.float64, size, elements=st.integers(-5, 5).map(float))
)


@settings(deadline=None, max_examples=150)
@given(points)
def test_no_vertex_lies_further_towards_the_target(vertices):
    gram = vertices @ vertices.T
    found = nearest_in_hull(gram)
    nearest = found.weights @ vertices
    assert found.weights.min() >= 0.0
    assert found.weights.sum() == pytest.approx(1.0)
    assert found.squared == pytest.approx(nearest @ nearest, abs=1e-7)
    # the optimality condition: the whole hull lies behind the plane through the nearest point
    assert (vertices @ nearest).min() >= found.squared - 1e-5


@pytest.mark.parametrize("count", [2, 3, 12])
def test_a_mixture_gives_its_weights_back(count):
    rng = np.random.default_rng(count)
    vertices = rng.normal(size=(30, 500))
    weights = np.zeros(30)
    weights[rng.choice(30, count, replace=False)] = rng.dirichlet(np.full(count, 5.0))
    shifted = vertices - weights @ vertices
    found = nearest_in_hull(shifted @ shifted.T)
    np.testing.assert_allclose(found.weights, weights, atol=1e-6)
    assert found.squared < 1e-12


def test_gives_up_with_a_proof_where_the_target_is_far():
    vertices = np.random.default_rng(0).normal(size=(40, 300))
    gram = vertices @ vertices.T
    exact = nearest_in_hull(gram)
    early = nearest_in_hull(gram, give_up_above=0.01 * exact.squared)
    assert 0.01 * exact.squared < early.bound <= exact.squared * (1 + 1e-9)
    assert early.squared >= exact.squared


def test_equal_vertices_are_no_trouble():
    vertices = np.array([[1.0, 1.0], [1.0, 1.0], [-1.0, 1.0], [-1.0, 1.0]])
    assert nearest_in_hull(vertices @ vertices.T).squared == pytest.approx(1.0)


def test_re_basing_gives_the_inner_products_of_shifted_points():
    x = np.random.default_rng(1).normal(size=(5, 9))
    np.testing.assert_allclose(centre_on(x @ x.T, 3), (x - x[3]) @ (x - x[3]).T, atol=1e-12)


def test_distances_are_never_negative():
    x = np.ones((3, 4)) * 1e8
    x[1] += 1e-8
    squared = squared_distances(x @ x.T)
    assert (squared >= 0).all()
    assert (squared.diagonal() == 0).all()


@pytest.mark.parametrize("gram", [np.zeros((0, 0)), np.full((2, 2), np.nan)])
def test_a_bad_gram_is_refused(gram):
    with pytest.raises(BadInput, match="finite square Gram"):
        nearest_in_hull(gram)
