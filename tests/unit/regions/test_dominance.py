import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from weightscape.regions.dominance import dominances


def found(losses, tasks=("t",), **options):
    columns = {name: np.asarray(of, dtype=float) for name, of in losses.items()}
    columns = {name: of if of.ndim == 2 else of[:, None] for name, of in columns.items()}
    return {(d.better, d.worse, d.task): d for d in dominances(columns, tasks, **options)}


def test_separated_groups_dominate_for_certain():
    of = found({"in": [3.0, 4.0], "hull": [1.0, 2.0], "ex": [5.0, 6.0, 7.0]})
    assert len(of) == 6 * 2
    assert (of["hull", "in", "t"].value, of["hull", "in", "t"].interval) == (1.0, (1.0, 1.0))
    assert (of["ex", "in", None].value, of["ex", "in", None].interval) == (0.0, (0.0, 0.0))


def test_ties_count_a_half_and_pairs_are_counted():
    of = found({"in": [1.0, 2.0], "ex": [2.0, 3.0]})
    assert of["in", "ex", "t"].value == pytest.approx((1 + 1 + 0.5 + 1) / 4)
    assert of["ex", "in", "t"].value == pytest.approx(0.5 / 4)


def test_the_mean_is_over_tasks_and_wider_where_tasks_disagree():
    ours, theirs = [[1.0, 9.0]] * 4, [[2.0, 2.0]] * 4
    of = found({"in": ours, "ex": theirs}, ("won", "lost"))
    assert [of["in", "ex", task].value for task in ("won", "lost", None)] == [1.0, 0.0, 0.5]
    assert of["in", "ex", "won"].interval == (1.0, 1.0)
    assert of["in", "ex", None].interval == (0.0, 1.0)


def test_the_interval_covers_the_truth_as_often_as_it_says():
    """P_B of two normals half a deviation apart, with ten points each, many times over."""
    generator = np.random.default_rng(0)
    big = generator.normal(size=20_000)
    truth = (big[:10_000] < big[10_000:] + 0.5).mean()
    covered = 0
    for seed in range(200):
        losses = {"in": generator.normal(size=10), "ex": generator.normal(size=10) + 0.5}
        low, high = found(losses, draws=200, level=0.9, seed=seed)["in", "ex", "t"].interval
        covered += low <= truth <= high
    assert 0.82 <= covered / 200 <= 0.97


@settings(max_examples=20, deadline=None)
@given(losses=arrays(float, (5, 2), elements=st.integers(0, 4)), seed=st.integers(0, 99))
def test_both_ways_add_up_to_one_and_order_changes_nothing(losses, seed):
    groups = {"in": losses[:2], "ex": losses[2:]}
    of = found(groups, ("a", "b"), draws=50, seed=seed)
    for task in ("a", "b", None):
        one, other = of["in", "ex", task], of["ex", "in", task]
        assert one.value + other.value == pytest.approx(1)
        assert one.interval[0] <= one.value + 1e-9 or one.interval[0] == one.interval[1]
    turned = found({"in": losses[:2][::-1], "ex": losses[2:]}, ("a", "b"), draws=50, seed=seed)
    assert turned["in", "ex", None].value == of["in", "ex", None].value


def test_a_group_without_points_is_left_out():
    assert set(found({"in": [1.0], "hull": np.zeros((0, 1)), "ex": [2.0]})) == {
        ("in", "ex", "t"), ("in", "ex", None), ("ex", "in", "t"), ("ex", "in", None),
    }  # fmt: skip
