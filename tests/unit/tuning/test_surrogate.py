import numpy as np
import pytest
from blended_lookers import largest, looker, reviews, spanned_lookers, tuned_readers
from scipy.optimize import minimize
from scipy.stats import spearmanr

from weightscape.errors import BadInput
from weightscape.tasks.arrays import task_from_arrays
from weightscape.tasks.spanning import open_span
from weightscape.tuning.candidates import CandidateLoss
from weightscape.tuning.convex import minimise
from weightscape.tuning.search_space import SearchSpace
from weightscape.tuning.surrogate import Surrogate, linearise, margins_at
from weightscape.tuning.trust_region import TrustRegion, descend

TASK = largest(80)
SIMPLEX = SearchSpace("simplex", 3)
UNIFORM = np.full(3, 1 / 3)


def candidate_loss(bend=0.3, layers=None, task=TASK):
    models = [looker(name, i, bend=bend) for i, name in enumerate(("first", "second", "third"))]
    spanned = spanned_lookers(task, *models)
    grouped = layers and {name: int(name.startswith("head")) for name in spanned.span.names}
    return CandidateLoss(spanned, task, task.rows("train"), layers=grouped)


def drawn(seed=0, rows=60, labels=3, models=4):
    """Draw a surrogate of which nothing but its numbers is known."""
    generator = np.random.default_rng(seed)
    return Surrogate(
        np.full((1, models), 1 / models),
        generator.standard_normal(rows * (labels - 1)),
        generator.standard_normal((models - 1, rows * (labels - 1))) * 3,
        labels - 1,
        0.0,
    )


@pytest.mark.parametrize("derivative", ["jvp", "step"])
def test_near_its_centre_the_surrogate_is_the_network(derivative):
    loss = candidate_loss()
    made = linearise(loss, UNIFORM, derivative=derivative)
    assert made.losses(UNIFORM[None])[0] == pytest.approx(loss(UNIFORM).loss, abs=1e-5)
    points = UNIFORM + 0.02 * np.array([[1, -1, 0], [0, 1, -1], [-2, 1, 1]])
    true = [loss(point).loss for point in points]
    assert made.losses(points) == pytest.approx(true, abs=2e-3)
    _, slope = made.loss_and_gradient(UNIFORM)
    exact = loss.gradient(UNIFORM).gradient
    assert slope[0] == pytest.approx(exact, abs=0.05 if derivative == "step" else 1e-4)


def test_on_the_simplex_it_ranks_as_the_network_does():
    loss = candidate_loss()
    made = linearise(loss, UNIFORM)
    points = np.random.default_rng(0).dirichlet(np.ones(3), 30)
    true = [loss(point).loss for point in points]
    assert spearmanr(made.losses(points), true).statistic > 0.95


def test_transformers_are_differentiated_forwards_and_left_as_they_were(tmp_path):
    sentiment = reviews()
    spanned = open_span(tuned_readers(tmp_path, 2), sentiment, device="cpu", head="own")
    loss = CandidateLoss(spanned, sentiment, sentiment.rows("train"))
    centre = np.array([0.5, 0.5])
    before = loss(centre).loss
    exact, stepped = (
        linearise(loss, centre, derivative=derivative, step=0.01) for derivative in ("jvp", "step")
    )
    assert exact.slopes == pytest.approx(stepped.slopes, abs=0.02 * np.abs(exact.slopes).max())
    assert np.abs(exact.slopes).max() > 0
    fresh = CandidateLoss(spanned, sentiment, sentiment.rows("train"))
    assert fresh(centre).loss == pytest.approx(before, abs=1e-6)


def test_layer_groups_have_slopes_of_their_own():
    loss = candidate_loss(layers=True)
    centre = np.full((2, 3), 1 / 3)
    exact, stepped = (
        linearise(loss, centre, derivative=derivative, step=0.01) for derivative in ("jvp", "step")
    )
    assert exact.slopes.shape[0] == 4
    assert exact.slopes == pytest.approx(stepped.slopes, abs=0.05)
    moved = centre + np.array([[0.0, 0.0, 0.0], [0.05, -0.05, 0.0]])
    assert exact.losses(moved[None])[0] == pytest.approx(loss(moved).loss, abs=2e-3)


def test_regressions_have_surrogates_too():
    numbers = np.random.default_rng(0).standard_normal((40, 3)).astype(np.float32)
    task = task_from_arrays("sum", {"train": (numbers, numbers.sum(1))})
    generator = np.random.default_rng(1)

    def linear(name):
        import torch

        from weightscape.tasks.live import LiveModel
        from weightscape.tasks.processors import ArrayProcessor

        module = torch.nn.Linear(3, 1)
        with torch.no_grad():
            module.weight.copy_(torch.tensor(generator.standard_normal((1, 3))))
        return LiveModel(name, module, ArrayProcessor(), (), ("weight", "bias"))

    spanned = open_span([linear(name) for name in "abcd"], task, head="own")
    loss = CandidateLoss(spanned, task, task.rows("train"))
    made = linearise(loss, np.full(4, 0.25))
    points = generator.dirichlet(np.ones(4), 8)
    assert made.losses(points) == pytest.approx([loss(p).loss for p in points], rel=1e-4)


def test_bent_slopes_meet_the_point_that_was_measured():
    loss = candidate_loss(bend=2.0)
    made = linearise(loss, UNIFORM)
    point = np.array([0.6, 0.3, 0.1])
    measured = margins_at(loss, point)
    for surrogate in (made.bent(point, measured), made.updated(point, measured)):
        assert surrogate.losses(point[None])[0] == pytest.approx(loss(point).loss, abs=1e-5)
        assert surrogate.losses(UNIFORM[None])[0] == pytest.approx(loss(UNIFORM).loss, abs=1e-5)


@pytest.mark.parametrize("labels", [2, 4])
def test_losses_and_gradients_agree_with_one_another(labels):
    made = drawn(labels=labels)
    centre = np.array([0.4, 0.3, 0.2, 0.1])
    value, slope = made.loss_and_gradient(centre)
    assert made.losses(centre[None])[0] == pytest.approx(value, rel=1e-5)
    for i in (1, 2, 3):
        ahead = made.loss_and_gradient(centre + 1e-5 * np.eye(4)[i])[0]
        assert (ahead - value) / 1e-5 == pytest.approx(slope[0, i], abs=1e-3)


def by_scipy(made, bounds, constraints=(), l1=0.0):
    """Minimise by another method: variables split by sign, where there is a penalty."""
    found = minimize(
        lambda w: made.loss_and_gradient(w)[0],
        made.centre[0],
        jac=lambda w: made.loss_and_gradient(w)[1][0],
        bounds=bounds,
        constraints=constraints,
        method="SLSQP",
        options={"maxiter": 500, "ftol": 1e-12},
    )
    return found.fun


@pytest.mark.parametrize("radius", [0.05, 0.2, np.inf])
def test_the_minimum_on_the_simplex_is_the_one_that_another_method_finds(radius):
    for seed in range(3):
        made = drawn(seed)
        weights, value = minimise(made, SearchSpace("simplex", 4), radius)
        assert weights.sum() == pytest.approx(1.0, abs=1e-9)
        assert np.abs(weights - made.centre).max() <= min(radius, 1.0) + 1e-9
        assert weights.min() >= -1e-12
        bounds = [(max(0.0, 0.25 - radius), min(1.0, 0.25 + radius))] * 4
        total = {"type": "eq", "fun": lambda w: w.sum() - 1}
        assert value == pytest.approx(by_scipy(made, bounds, total), abs=1e-5)


def test_the_minimum_in_a_box_heeds_its_bounds_and_its_penalty():
    made = drawn(1)
    plain, value = minimise(made, SearchSpace("box", 4, base=0))
    assert plain.sum() == pytest.approx(1.0)
    bounds = [(None, None), *[(-1.5, 1.5)] * 3]
    assert value == pytest.approx(by_scipy(made, bounds), abs=1e-5)
    dear, _ = minimise(made, SearchSpace("box", 4, base=0, l1=50.0))
    assert dear[0] == pytest.approx([1.0, 0.0, 0.0, 0.0], abs=1e-6)
    space = SearchSpace("box", 4, base=2, l1=0.3)
    best, least = minimise(made, space)
    generator = np.random.default_rng(0)
    for _ in range(50):
        other = best + 0.01 * generator.standard_normal(best.shape)
        other[:, 2] += 1 - other.sum()
        cost = made.loss_and_gradient(other)[0] + space.penalty(other)
        assert cost > least - 1e-9


def test_a_descent_finds_what_a_fine_search_of_the_simplex_finds():
    loss = candidate_loss(bend=1.0)
    told = []
    found = descend(loss, SIMPLEX, UNIFORM, tell=lambda w, outcome, s: told.append(outcome.loss))
    grid = np.random.default_rng(0).dirichlet(np.ones(3), 400)
    best = min(loss(point).loss for point in grid)
    assert found.held and found.why == "converged"
    assert found.loss <= best + 1e-3
    assert found.loss == pytest.approx(loss(found.weights).loss)
    assert told[0] == pytest.approx(loss(UNIFORM).loss) and min(told) == found.loss
    assert len(told) < 15 and found.forwards < 60


def test_a_descent_says_where_the_surrogate_does_not_hold():
    class Wild(CandidateLoss):
        """Answers at random away from where it was differentiated."""

        def outputs(self, weights):
            true = super().outputs(weights)
            if np.allclose(weights, UNIFORM):
                return true
            noise = np.random.default_rng(int(1e9 * abs(np.ravel(weights)[0])))
            worse = -3.0 + noise.standard_normal(true.shape)
            self._known[_key(weights)] = Outcome(9.0, len(true))
            return true + worse

    from weightscape.tuning.candidates import _key
    from weightscape.tuning.records import Outcome

    plain = candidate_loss()
    wild = Wild(plain.spanned, TASK, TASK.rows("train"))
    found = descend(wild, SIMPLEX, UNIFORM)
    assert not found.held and found.why == "does not hold"
    assert found.weights == pytest.approx(UNIFORM)
    assert len(found.steps) == 2


def test_a_descent_can_be_stopped():
    asked = iter([True, True])
    found = descend(
        candidate_loss(bend=1.0),
        SIMPLEX,
        UNIFORM,
        TrustRegion(radius=0.01, least=1e-3),
        going=lambda: next(asked, False),
    )
    assert found.why == "stopped" and len(found.steps) == 2


def test_weights_of_another_number_of_models_are_refused():
    with pytest.raises(BadInput, match=r"\[m, 1, 4\]"):
        drawn().losses(np.ones((2, 5)))
