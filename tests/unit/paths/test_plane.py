import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from landscapes import custom_task, order, place, ring, three_labels, tiny

from weightscape.errors import BadInput
from weightscape.geometry.span import Span
from weightscape.paths.plane import frame, plane

A, B, C = place("a", -1, 0), place("b", 1, 0), place("c", 0.5, 2)


def span_of(models):
    return Span.through([model.module.state_dict() for model in models])


@settings(deadline=None, max_examples=30)
@given(x=st.floats(-3, 3), y=st.floats(-3, 3))
def test_coordinates_are_those_of_the_plane_itself(x, y):
    """The models lie in a plane of two weights: (u, v) is where the weights are, seen from A."""
    span = span_of((A, B, C))
    there = span.tensors(frame(span, "abc").coefficients(x, y))["at"][0]
    assert there.tolist() == pytest.approx([x - 1, y], abs=1e-5)


def test_the_models_lie_where_they_are_said_to():
    bodies = np.random.default_rng(0).random((3, 3, 3))
    models = [tiny("abc"[i], bodies[i], np.eye(3)) for i in range(3)]
    span = span_of(models)
    found = frame(span, "abc")
    assert found.positions[0].tolist() == [0, 0] and found.positions[1, 1] == 0
    for i in range(3):
        assert found.coefficients(*found.positions[i]) == pytest.approx(span.vertex(i), abs=1e-9)
        for j in range(i):
            flat = np.linalg.norm(found.positions[i] - found.positions[j])
            assert flat == pytest.approx(span.distance(span.vertex(i), span.vertex(j)))


def test_a_grid_shows_the_landscape_as_it_is():
    found = plane(A, B, C, custom_task(ring, (1.0,)), size=(7, 5), margin=0.5)
    assert found.losses.shape == (5, 7)
    x, y = np.meshgrid(found.x - 1, found.y)
    assert np.allclose(found.losses, (x**2 + y**2 - 1) ** 2, rtol=1e-4, atol=1e-5)
    assert found.ends_loss == pytest.approx((0, 0, (0.25 + 4 - 1) ** 2), abs=1e-5)
    assert (found.x[0], found.x[-1]) == pytest.approx((-1, 3))
    assert (found.y[0], found.y[-1]) == pytest.approx((-1, 3))
    assert found.names == ("a", "b", "c")


def test_metrics_and_chance_come_along():
    turns = [order(0, 1, 2), order(1, 2, 0), order(2, 0, 1)]
    models = [tiny(name, turn, 6 * turn.T) for name, turn in zip("abc", turns, strict=True)]
    found = plane(*models, three_labels(), size=3)
    assert found.metrics["accuracy"].shape == (3, 3)
    assert found.ends_metrics["accuracy"] == (1, 1, 1)
    assert found.chance_loss == pytest.approx(np.log(3))
    assert found.loss_rows == 30


class Killed:
    def __init__(self, last):
        self.left = last

    def __call__(self, module, records):
        if self.left == 0:
            raise KeyboardInterrupt
        self.left -= 1
        return ring(module, records)


def test_a_killed_grid_goes_on(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        plane(A, B, C, custom_task(Killed(13)), size=3, folder=tmp_path)
    rest = Killed(100)
    found = plane(A, B, C, custom_task(rest), size=3, folder=tmp_path)
    assert 100 - rest.left == (3 + 9) * 2 - 12
    assert np.array_equal(found.losses, plane(A, B, C, custom_task(ring), size=3).losses)


def test_models_without_a_plane_are_refused():
    with pytest.raises(BadInput, match="on one line"):
        plane(A, B, place("middle", 0.3, 0), custom_task(ring))
    with pytest.raises(BadInput, match="a and again are the same model"):
        plane(A, place("again", -1, 0), C, custom_task(ring))
    with pytest.raises(BadInput, match="margin"):
        plane(A, B, C, custom_task(ring), margin=-1)
    with pytest.raises(BadInput, match="2 x 2"):
        plane(A, B, C, custom_task(ring), size=1)
