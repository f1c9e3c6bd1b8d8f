import signal

import pytest
import torch
from torch import nn

from weightscape.errors import BadInput
from weightscape.geometry.span import Span
from weightscape.tasks.optimisers import make_optimiser
from weightscape.tasks.training import Resume, Schedule, batch_order, train

DATA = torch.randn(64, 8, generator=torch.Generator().manual_seed(0))


def network():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        return nn.Sequential(nn.Linear(8, 16), nn.Dropout(0.5), nn.Tanh(), nn.Linear(16, 1))


def fit(model, *, steps=20, dropout_seed=0, **options):
    order = batch_order(len(DATA), steps, 8, seed=3)

    def loss_at(step):
        rows = DATA[order[step]]
        return (model(rows)[:, 0] - rows.sum(1)).square().mean()

    train(model, loss_at, Schedule(steps=steps, lr=1e-2), dropout_seed=dropout_seed, **options)
    return model.state_dict()


def same(a, b):
    return all(torch.equal(a[name], b[name]) for name in a)


def test_it_learns_and_leaves_global_randomness_alone():
    torch.manual_seed(7)
    before = torch.get_rng_state()
    model = network()
    start = (model.eval()(DATA)[:, 0] - DATA.sum(1)).square().mean()
    fit(model, steps=100)
    assert (model(DATA)[:, 0] - DATA.sum(1)).square().mean() < start / 2
    assert torch.equal(torch.get_rng_state(), before)


def test_dropout_follows_its_own_seed_only():
    torch.manual_seed(1)
    first = fit(network(), dropout_seed=5)
    torch.manual_seed(2)
    assert same(first, fit(network(), dropout_seed=5))
    assert not same(first, fit(network(), dropout_seed=6))


@pytest.mark.parametrize("killed_after", [3, 5, 12, 19])
def test_a_killed_run_goes_on_with_the_same_bits(tmp_path, killed_after):
    def kill(done):
        if done == killed_after:
            raise KeyboardInterrupt

    resume = Resume(tmp_path / "state.pt", "mine", every=5)
    with pytest.raises(KeyboardInterrupt):
        fit(network(), resume=resume, after_step=kill)
    steps = []
    resumed = fit(network(), resume=resume, after_step=steps.append)
    assert steps[0] == (killed_after - 1) // 5 * 5 + 1  # the state of step 5, 10, ... is kept
    assert same(resumed, fit(network()))


@pytest.fixture
def ctrl_c():
    """Hear of Ctrl-C as in a terminal: what a shell starts in the background ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("ctrl_c")
@pytest.mark.parametrize("pressed_in", [0, 3, 18])
def test_ctrl_c_waits_for_the_step_and_nothing_of_it_is_lost(tmp_path, pressed_in):
    model, resume, steps = network(), Resume(tmp_path / "state.pt", "mine", every=25), []
    order = batch_order(len(DATA), 20, 8, seed=3)

    def loss_at(step):
        if step == pressed_in and not steps:
            signal.raise_signal(signal.SIGINT)
        rows = DATA[order[step]]
        return (model(rows)[:, 0] - rows.sum(1)).square().mean()

    with pytest.raises(KeyboardInterrupt):
        train(model, loss_at, Schedule(steps=20, lr=1e-2), resume=resume)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    resumed = fit(network(), resume=resume, after_step=steps.append)
    assert steps[0] == pressed_in + 2  # that step was ended and kept
    assert same(resumed, fit(network()))


@pytest.mark.usefixtures("ctrl_c")
def test_a_second_ctrl_c_does_not_wait():
    def loss_at(step):
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        pytest.fail("it waited")

    with pytest.raises(KeyboardInterrupt):
        train(network(), loss_at, Schedule(steps=2))


def test_the_state_of_another_run_is_refused(tmp_path):
    fit(network(), resume=Resume(tmp_path / "state.pt", "mine", every=5))
    with pytest.raises(BadInput, match="training with other arguments"):
        fit(network(), resume=Resume(tmp_path / "state.pt", "yours", every=5))


def test_a_loss_that_is_not_finite_stops_the_training():
    with pytest.raises(BadInput, match="loss is nan at step 0"):
        train(network(), lambda step: torch.tensor(float("nan")), Schedule(steps=3))


def test_a_loss_that_training_cannot_change_is_refused():
    with pytest.raises(BadInput, match="the loss has no gradient"):
        train(network(), lambda step: torch.tensor(1.0), Schedule(steps=2))


def test_every_epoch_sees_every_row_once():
    order = batch_order(rows=10, steps=6, batch=5, seed=0)
    for epoch in range(3):
        assert sorted(order[2 * epoch] + order[2 * epoch + 1]) == list(range(10))
    assert order != batch_order(rows=10, steps=6, batch=5, seed=1)
    assert [len(rows) for rows in batch_order(rows=3, steps=2, batch=8, seed=0)] == [8, 8]


@pytest.mark.parametrize("name", ["adamw", "sgd", "adafactor"])
def test_a_span_sees_that_its_module_was_trained(name):
    """Tensors that are the same in all models are written again only where they were changed."""
    module = network()
    models = [{key: it.clone() for key, it in module.state_dict().items()} for _ in range(2)]
    models[1]["3.weight"] = models[1]["3.weight"] + 1
    span = Span.through(models)
    span.write(span.vertex(0), module)
    loss = module(DATA).square().mean()
    trained = list(module.parameters())
    optimiser = make_optimiser(name, trained, lr=0.1, weight_decay=0.0)
    loss.backward()
    optimiser.step()
    assert not same(module.state_dict(), models[0])
    span.write(span.vertex(0), module)
    assert same(module.state_dict(), models[0])
