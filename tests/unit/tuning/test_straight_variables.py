import numpy as np
import pytest

from weightscape.tuning.samplers.straight import bend, straighten
from weightscape.tuning.search_space import SearchSpace

SIMPLEX = SearchSpace("simplex", 3, groups=2)


def test_weights_are_the_variables_up_to_their_sum() -> None:
    variables = np.array([0.2, 0.6, 0.2, 1.0, 0.0, 0.0])
    weights = SIMPLEX.weights_of(bend(SIMPLEX, variables))
    np.testing.assert_allclose(weights, [[0.2, 0.6, 0.2], [1, 0, 0]], atol=1e-12)
    np.testing.assert_allclose(straighten(SIMPLEX, bend(SIMPLEX, variables)), variables)


def test_any_point_has_variables_of_the_same_weights() -> None:
    for point in np.random.default_rng(0).random((20, 6)) ** 0.2:
        variables = straighten(SIMPLEX, point)
        assert ((variables >= 0) & (variables <= 1)).all()
        weights = SIMPLEX.weights_of(bend(SIMPLEX, variables))
        np.testing.assert_allclose(weights, SIMPLEX.weights_of(point), atol=1e-9)


@pytest.mark.parametrize("point", [np.zeros(6), np.ones(6)])
def test_the_corners_have_variables_too(point: np.ndarray) -> None:
    weights = SIMPLEX.weights_of(bend(SIMPLEX, straighten(SIMPLEX, point)))
    np.testing.assert_allclose(weights, 1 / 3)


def test_a_box_is_straight_already() -> None:
    box, point = SearchSpace("box", 3, base=0), np.array([0.1, 0.9])
    np.testing.assert_array_equal(bend(box, straighten(box, point)), point)
