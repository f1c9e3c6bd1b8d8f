"""What every sampler must do; a new one is held to the same by being in SAMPLERS."""

import gc
import threading
from collections.abc import Callable

import numpy as np
import pytest

from weightscape.errors import BadInput, MissingExtra
from weightscape.tuning.records import Weights
from weightscape.tuning.samplers import SAMPLERS, Sampler
from weightscape.tuning.search_space import Point, SearchSpace

NAMES = SAMPLERS.names()
SPACES = {
    "simplex": SearchSpace("simplex", 3),
    "box": SearchSpace("box", 3, base=0),
    "groups": SearchSpace("simplex", 2, groups=2),
}
TARGETS = {
    "simplex": np.array([0.6, 0.3, 0.1]),
    "box": np.array([0.7, 0.9, -0.6]),
    "groups": np.array([[0.8, 0.2], [0.3, 0.7]]),
}
# evaluations that are enough to come so much nearer to 0 than the start
ENOUGH = {"gp": 20}
NEARER = {"random": 0.6, "spsa": 0.3}
Loss = Callable[[Weights], float]


def bowl(kind: str) -> Loss:
    """Give a bowl that is steeper one way than another."""
    steep = np.linspace(1.0, 2.0, TARGETS[kind].size).reshape(TARGETS[kind].shape)
    return lambda weights: float((steep * (weights - TARGETS[kind]) ** 2).sum())


def slopes(kind: str, weights: Weights) -> Weights:
    steep = np.linspace(1.0, 2.0, TARGETS[kind].size).reshape(TARGETS[kind].shape)
    return 2 * steep * (weights - TARGETS[kind])


def tell(sampler: Sampler, kind: str, points: list[Point], losses: list[float]) -> None:
    gradients = [slopes(kind, SPACES[kind].weights_of(point)) for point in points]
    sampler.tell(points, losses, gradients if sampler.wants_gradient else None)


def run(name: str, kind: str, loss: Loss, evaluations: int, seed: int = 0) -> list[Point]:
    space = SPACES[kind]
    sampler = SAMPLERS[name](space, seed=seed)
    asked: list[Point] = []
    try:
        while len(asked) < evaluations and (points := sampler.ask()):
            assert len(points) <= sampler.batch
            assert all(point.shape == (space.size,) for point in points)
            assert all(((point >= 0) & (point <= 1)).all() for point in points)
            tell(sampler, kind, points, [loss(space.weights_of(point)) for point in points])
            asked += points
    finally:
        sampler.close()
    return asked


@pytest.mark.parametrize("kind", SPACES)
@pytest.mark.parametrize("name", NAMES)
def test_it_finds_the_bottom_of_a_bowl(name: str, kind: str) -> None:
    loss = bowl(kind)
    points = run(name, kind, loss, ENOUGH.get(name, 60))
    losses = [loss(SPACES[kind].weights_of(point)) for point in points]
    assert min(losses) < NEARER.get(name, 0.1) * losses[0]


@pytest.mark.parametrize("name", NAMES)
def test_it_begins_at_the_start(name: str) -> None:
    space = SPACES["simplex"]
    for start in (None, space.unit_of(np.array([0.2, 0.5, 0.3]))):
        sampler = SAMPLERS[name](space, seed=3, start=start)
        first = sampler.ask()[0]
        sampler.close()
        np.testing.assert_allclose(first, space.start if start is None else start)


@pytest.mark.parametrize("name", NAMES)
def test_the_same_seed_and_losses_give_the_same_points(name: str) -> None:
    first, again = (run(name, "box", bowl("box"), 13, seed=5) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    if name not in ("cobyqa", "gradient"):  # which leave nothing to chance
        other = run(name, "box", bowl("box"), 13, seed=6)
        assert not np.array_equal(first[: len(other)], other)


@pytest.mark.parametrize("name", NAMES)
def test_one_taken_up_again_asks_what_the_first_would_have(name: str) -> None:
    space, loss = SPACES["box"], bowl("box")
    told = []
    first = SAMPLERS[name](space, seed=1)
    while sum(map(len, told)) < 12:
        told.append(first.ask())
        tell(first, "box", told[-1], [loss(space.weights_of(point)) for point in told[-1]])
    expected = first.ask()
    first.close()
    again = SAMPLERS[name](space, seed=1)
    for points in told:
        if not again.from_history:
            np.testing.assert_array_equal(again.ask(), points)
        tell(again, "box", points, [loss(space.weights_of(point)) for point in points])
    np.testing.assert_array_equal(again.ask(), expected)
    again.close()


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("name", NAMES)
def test_losses_that_are_not_finite_are_only_bad(name: str, bad: float) -> None:
    loss = bowl("box")

    def broken(weights: Weights) -> float:  # a corner of the box where the network fails
        return bad if weights[1] < -0.2 or weights[2] > 0.9 else loss(weights)

    points = run(name, "box", broken, ENOUGH.get(name, 60))
    losses = [broken(SPACES["box"].weights_of(point)) for point in points]
    assert np.nanmin(losses) < 0.5 * losses[0]
    assert np.isfinite(losses[len(losses) // 2 :]).mean() > (0.2 if name == "random" else 0.4)


@pytest.mark.parametrize("name", NAMES)
def test_it_goes_on_or_ends_where_nothing_is_finite(name: str) -> None:
    assert run(name, "box", lambda weights: float("nan"), 13)


@pytest.mark.parametrize("name", NAMES)
def test_it_searches_along_one_line(name: str) -> None:
    space = SearchSpace("box", 2, base=0)
    sampler = SAMPLERS[name](space, seed=0)
    losses: list[float] = []
    while len(losses) < ENOUGH.get(name, 40) and (points := sampler.ask()):
        found = [float((space.weights_of(point)[1] - 0.8) ** 2) for point in points]
        gradients = [2 * (space.weights_of(point) - [0.2, 0.8]) for point in points]
        sampler.tell(points, found, gradients if sampler.wants_gradient else None)
        losses += found
    sampler.close()
    assert min(losses) < 0.02


@pytest.mark.parametrize("name", ["random", "cma-es", "tpe", "gp"])
def test_as_many_points_are_asked_for_as_workers_want(name: str) -> None:
    sampler = SAMPLERS[name](SPACES["box"], seed=0, batch=5)
    for _ in range(3):  # with the Gaussian process's first model in it
        points = sampler.ask()
        assert len({tuple(point) for point in points}) == sampler.batch == 5
        tell(sampler, "box", points, [bowl("box")(SPACES["box"].weights_of(it)) for it in points])


def test_one_cobyqa_at_a_time_and_no_thread_left() -> None:
    one, two = (SAMPLERS["cobyqa"](SPACES["box"], seed=0) for _ in range(2))
    one.ask()
    with pytest.raises(BadInput, match="one at a time"):
        two.ask()
    one.close()
    assert one.ask() == [] and two.ask()
    two.close()
    forgotten = SAMPLERS["cobyqa"](SPACES["box"], seed=0)
    forgotten.ask()
    (thread,) = (it for it in threading.enumerate() if it.name == "cobyqa")
    del forgotten
    gc.collect()
    thread.join(5)
    assert not thread.is_alive()


def test_cobyqa_sees_a_loss_that_is_quadratic_in_the_weights_as_one() -> None:
    space = SearchSpace("simplex", 8)
    mixing = np.random.default_rng(0).normal(size=(12, 8)) / 10
    target = np.array([0.3, 0.2, 0.1, 0.1, 0.1, 0.1, 0.1, 0.0])
    sampler = SAMPLERS["cobyqa"](space, seed=0)
    losses: list[float] = []
    while len(losses) < 50 and (points := sampler.ask()):
        losses.append(float(((mixing @ (space.weights_of(points[0]) - target)) ** 2).sum()))
        sampler.tell(points, losses[-1:])
    sampler.close()
    assert min(losses) < 0.01 * losses[0]


def test_a_bug_in_the_thread_comes_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*given: object, **options: object) -> None:
        raise RuntimeError("no interpolation set")

    monkeypatch.setattr("scipy.optimize.minimize", broken)
    sampler = SAMPLERS["cobyqa"](SPACES["box"], seed=0)
    sampler.tell(sampler.ask(), [1.0])
    with pytest.raises(RuntimeError, match="no interpolation set"):
        sampler.ask()
    assert sampler.ask() == []


def test_the_gradient_sampler_says_what_it_lacks() -> None:
    sampler = SAMPLERS["gradient"](SPACES["box"], seed=0)
    with pytest.raises(BadInput, match="needs the loss's gradient"):
        sampler.tell(sampler.ask(), [1.0])


@pytest.mark.parametrize(("name", "package"), [("cma-es", "cmaes"), ("tpe", "optuna")])
def test_a_missing_package_is_named_with_the_line_that_installs_it(
    name: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, package, None)
    with pytest.raises(MissingExtra, match=rf"{package}.*pip install 'weightscape\[tune\]'"):
        SAMPLERS[name](SPACES["box"], seed=0)
