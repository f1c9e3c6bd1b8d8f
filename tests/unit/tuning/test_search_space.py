import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from weightscape.errors import BadInput
from weightscape.tuning.search_space import SearchSpace

SPACES = [
    SearchSpace("simplex", 2),
    SearchSpace("simplex", 5, groups=3),
    SearchSpace("box", 3, base=1),
    SearchSpace("box", 4, groups=2, base=0, low=0.0, high=1.0),
]
unit = st.floats(0, 1)


@settings(deadline=None, max_examples=50)
@given(st.sampled_from(SPACES), st.data())
def test_every_point_has_weights_that_sum_to_one_and_comes_back(
    space: SearchSpace, data: st.DataObject
) -> None:
    point = data.draw(arrays(np.float64, space.size, elements=unit))
    weights = space.weights_of(point)
    assert weights.shape == ((space.models,) if space.groups == 1 else (space.groups, space.models))
    np.testing.assert_allclose(weights.sum(axis=-1), 1.0)
    if space.kind == "simplex":
        assert (weights >= 0).all()
    back = space.unit_of(weights)
    assert ((back >= 0) & (back <= 1)).all()
    np.testing.assert_allclose(space.weights_of(back), weights, atol=1e-9)


def test_a_simplex_starts_at_the_uniform_soup_and_a_box_at_its_base() -> None:
    simplex, box = SearchSpace("simplex", 8), SearchSpace("box", 3, base=2)
    np.testing.assert_allclose(simplex.weights_of(simplex.start), 1 / 8)
    np.testing.assert_allclose(box.weights_of(box.start), [0, 0, 1], atol=1e-12)
    np.testing.assert_allclose(simplex.unit_of(np.full(8, 1 / 8)), simplex.start)


@pytest.mark.parametrize("models", [2, 8, 60])
def test_a_model_alone_is_a_point_of_the_simplex(models: int) -> None:
    space = SearchSpace("simplex", models)
    alone = np.eye(models)[1]
    np.testing.assert_allclose(space.weights_of(space.unit_of(alone)), alone, atol=1e-12)


def test_uniform_points_are_uniform_on_the_simplex() -> None:
    space = SearchSpace("simplex", 3)
    points = np.random.default_rng(0).random((4000, 3))
    weights = np.array([space.weights_of(point) for point in points])
    # of the Dirichlet distribution with all parameters 1: P(w > x) = (1 - x)^2
    for x in (0.1, 0.5, 0.8):
        np.testing.assert_allclose((weights > x).mean(axis=0), (1 - x) ** 2, atol=0.03)


def test_a_box_takes_models_beyond_one() -> None:
    space = SearchSpace("box", 3, base=0)
    np.testing.assert_allclose(space.weights_of(np.ones(2)), [-2, 1.5, 1.5])


@pytest.mark.parametrize(
    "space",
    [SearchSpace("box", 3, groups=2, base=1, l1=0.05), SearchSpace("simplex", 3, groups=2, l1=0.1)],
)
def test_the_penalty_is_the_mean_magnitude_and_its_gradient_its_slope(space: SearchSpace) -> None:
    weights = space.weights_of(np.linspace(0.1, 0.9, space.size))
    counted = np.delete(weights, [1], axis=1) if space.kind == "box" else weights
    assert space.penalty(weights) == pytest.approx(space.l1 * np.abs(counted).mean())
    slopes = space.penalty_gradient(weights)
    for place in np.ndindex(weights.shape):
        moved = weights.copy()
        moved[place] += 1e-6
        slope = (space.penalty(moved) - space.penalty(weights)) / 1e-6
        assert slopes[place] == pytest.approx(slope, abs=1e-7)


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"kind": "simplex", "models": 1}, "two models or more to weigh; got 1"),
        ({"kind": "box", "models": 3}, "among the models; add the base"),
        ({"kind": "box", "models": 3, "base": 3}, "among the models"),
        ({"kind": "box", "models": 3, "base": 0, "low": 0.5}, "zero in it; got 0.5 to 1.5"),
        ({"kind": "ball", "models": 3}, "got 'ball'"),
        ({"kind": "simplex", "models": 3, "groups": 0}, "one layer group or more"),
        ({"kind": "simplex", "models": 3, "l1": float("nan")}, "zero or more; got nan"),
    ],
)
def test_spaces_without_sense_are_refused(asked: dict[str, object], says: str) -> None:
    with pytest.raises(BadInput, match=says):
        SearchSpace(**asked)  # type: ignore[arg-type]
