from math import inf, nan

import numpy as np
import pytest

from weightscape.errors import BadInput
from weightscape.regions.generalized_loss import GeneralizedLoss
from weightscape.regions.reach import (
    POINTS,
    Limit,
    Target,
    crossing,
    find_radius,
    mean_thresholds,
    ray_distances,
    ray_targets,
)


class Slopes:
    """A group of models one away from their centroid; towards each the loss has its own slope."""

    def __init__(self, slopes):
        self.slopes, self.unit, self.members = slopes, 1.0, len(slopes)
        self.centroid = np.full(len(slopes), 1 / len(slopes))
        self.spanned = self
        self.names = tuple(f"m{i}" for i in range(len(slopes)))

    def vertex(self, number):
        return np.eye(self.members)[number]

    def distance(self, weights):
        return 1.0


class Known(GeneralizedLoss):
    """Losses that follow from the distance, and a count of those that were asked for."""

    def __init__(self, slopes, broken_from=inf):
        self.group, self.asked, self.advanced = Slopes(slopes), 0, 0
        self.objectives = (type("Objective", (), {"task": type("Task", (), {"name": "t"})}),)
        self.advance = self._advance
        self._broken_from = broken_from

    def _advance(self, amount):
        self.advanced += amount

    def beyond(self, task, weights, where):
        step = weights - self.group.centroid
        member = int(np.abs(step).argmax())
        distance = step[member] / (1 - 1 / self.group.members)
        self.asked += 1
        self.advanced += 1
        return None if distance >= self._broken_from else self.group.slopes[member] * distance


DISTANCES = ray_distances(1.0, 32.0)


def radius(slopes, threshold=1.0, **options):
    losses = Known(slopes, **options)
    targets = [Target(name, losses.group.vertex(i)) for i, name in enumerate(losses.group.names)]
    found = find_radius(losses, 0, targets, DISTANCES, Limit(threshold, "as given"))
    assert losses.advanced == len(slopes) * POINTS
    return found, losses


def test_the_radius_is_where_the_loss_passes_the_threshold():
    found, losses = radius([0.5, 0.5, 0.5, 0.5])
    assert found.value == pytest.approx(2.0, rel=0.03)
    assert found.interval == (found.value, found.value)
    assert [ray.towards for ray in found.rays] == ["m0", "m1", "m2", "m3"]
    for ray in found.rays:
        beyond = [d for d in ray.distances if d > ray.crosses]
        assert len(beyond) in (2, 3)  # the step that crossed, one more, and perhaps its middle
        assert list(ray.distances) == sorted(ray.distances)
        assert len(ray.losses) == len(ray.distances)
    assert losses.asked < 4 * len(DISTANCES)


def test_rays_that_do_not_cross_are_beyond_all_others():
    found, _ = radius([1.0, 0.001, 0.1])
    assert found.rays[1].crosses is None and len(found.rays[1].losses) == len(DISTANCES)
    assert found.value == pytest.approx(10, rel=0.1)
    assert found.interval == (pytest.approx(1, rel=0.1), None)
    far, _ = radius([0.001, 0.001, 1.0])
    assert far.value is None and far.interval[1] is None


def test_half_of_the_rays_are_enough_for_a_radius():
    found, _ = radius([1.0, 0.5, 0.001, 0.001])
    assert found.value == pytest.approx(2, rel=0.1)


def test_a_centroid_past_the_threshold_has_no_region_around_it():
    found, _ = radius([1.0, 1.0], threshold=0.0)
    assert (found.value, found.interval) == (0.0, (0.0, 0.0))
    assert all(len(ray.losses) == 2 for ray in found.rays)


def test_where_nothing_finite_comes_out_the_region_has_ended():
    found, _ = radius([0.001, 0.001], broken_from=5.0)
    last = found.rays[0].distances[-1]
    assert last < found.value < 5.0 * 1.8
    assert np.isfinite(found.rays[0].losses).all()


def test_crossings_lie_between_their_points():
    assert crossing({0.0: 0.0, 1.0: 0.0, 4.0: 2.0}, 1.0) == pytest.approx(2.0)
    assert crossing({0.0: 0.0, 2.0: 4.0}, 1.0) == pytest.approx(0.5)
    assert crossing({0.0: 3.0, 1.0: 0.0}, 1.0) == 0.0
    assert crossing({0.0: 0.0, 1.0: 0.5}, 1.0) is None
    # it is the first of two crossings that counts
    twice = {4.0: 2.0, 0.0: 0.0, 1.0: 2.0, 2.0: 0.0}
    assert crossing(twice, 1.0) == pytest.approx(0.5)


def test_thresholds_are_said_in_words():
    outside = np.array([[1.0, 5.0], [3.0, 7.0]])
    assert [limit.threshold for limit in mean_thresholds(outside, None)] == [2.0, 6.0]
    assert mean_thresholds(outside, None)[0].rule == "mean loss of the group outside"
    assert mean_thresholds(outside, 0.5) == (Limit(0.5, "as given"),) * 2


def test_rays_go_through_members_first_and_then_through_their_hull():
    group = Slopes([1.0, 1.0, 1.0])
    few = ray_targets(group, 2, seed=0)
    assert len(few) == 2 and {it.name for it in few} < {"m0", "m1", "m2"}
    many = ray_targets(group, 6, seed=0)
    assert [it.name for it in many] == ["m0", "m1", "m2", "between 1", "between 2", "between 3"]
    for target in many:
        assert target.weights.sum() == pytest.approx(1) and (target.weights >= 0).all()
    assert len({tuple(it.weights) for it in many}) == 6
    other = ray_targets(group, 6, seed=1)
    assert not np.allclose(other[-1].weights, many[-1].weights)
    # on the line through two models there is no third direction
    assert len(ray_targets(Slopes([1.0, 1.0]), 6, seed=0)) == 2


@pytest.mark.parametrize("reach", [0.25, -1, nan, inf])
def test_a_reach_that_is_none_is_refused(reach):
    with pytest.raises(BadInput, match="reach is in mean distances"):
        ray_distances(1.0, reach)
