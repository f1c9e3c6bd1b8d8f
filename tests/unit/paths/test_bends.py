import numpy as np
import pytest
import torch
from landscapes import custom_task, order, place, ring, three_labels, tiny

from weightscape.errors import BadInput
from weightscape.io import open_checkpoint
from weightscape.paths.bends import BendTraining, add_bends, train_bends
from weightscape.paths.curves import Bezier, Chain
from weightscape.paths.path import connect
from weightscape.tasks.spanning import open_span

WEST, NORTH = place("west", -1, 0), place("north", 0, 1)
FAST = BendTraining(lr=0.1, steps=80, batch=3, validate_every=20, save_every=10, weight_decay=0)


def around(curve="bezier", task=None, how=FAST, **more):
    return connect(
        WEST, NORTH, task or custom_task(ring), curve=curve, training=how, points=9, **more
    )


@pytest.mark.parametrize("curve", ["bezier", "chain"])
def test_a_curve_goes_round_what_a_line_runs_into(curve):
    line = connect(WEST, NORTH, custom_task(ring), points=9)
    bent = around(curve)
    assert line.barrier.height == pytest.approx(0.25)
    assert bent.barrier.height < 0.2 * line.barrier.height
    assert bent.length > 1.02 * line.length
    assert bent.training.validation[0][0] == 0
    assert len(bent.training.losses) == FAST.steps


def test_more_bends_go_round_as_well():
    bent = around("chain", bends=3)
    assert bent.bends == 3 and len(bent.points[0].weights) == 5
    assert max(point.loss for point in bent.points) < 0.1


def test_the_gradient_of_a_bend_is_its_share_of_that_at_the_point():
    """One step of descent moves P by w(t) times what autograd finds for the curve as a whole."""
    spanned = open_span((WEST, NORTH), custom_task(ring))
    curve = Bezier(2)
    how = BendTraining(steps=1, lr=1.0, warmup=0, clip=0, weight_decay=0, validate_every=0)
    bent = add_bends(spanned, curve, how)
    ends = [m.module.at.detach() for m in (WEST, NORTH)]
    bends = [bent.span.held(2 + i)["at"].clone().requires_grad_() for i in range(2)]
    seen = []

    def loss_at(t, step):
        at = bent.model.module.at
        weights = curve.weights(t)
        control = [ends[0], *bends, ends[1]]
        expected = sum(w * p for w, p in zip(weights, control, strict=True))
        assert torch.allclose(at, expected, atol=1e-6)
        ((expected.square().sum() - 1) ** 2).backward()
        seen.append(t)
        return (at.square().sum() - 1) ** 2

    before = [bend.detach().clone() for bend in bends]
    train_bends(bent, curve, how, loss_at, None)
    for i, bend in enumerate(bends):
        # Adam's first step is the gradient's sign times the rate, here 1
        moved = bent.span.held(2 + i)["at"] - before[i]
        assert torch.allclose(moved, -bend.grad.sign(), atol=1e-4)
    assert len(seen) == 1 and 0 <= seen[0] <= 1


def test_bends_begin_where_they_are_asked_to():
    spanned = open_span((WEST, NORTH), custom_task(ring))
    evenly = add_bends(spanned, Bezier(3), BendTraining())
    places = [evenly.span.held(2 + i)["at"].tolist()[0] for i in range(3)]
    assert places == [[-0.75, 0.25], [-0.5, 0.5], [-0.25, 0.75]]
    drawn = [
        add_bends(spanned, Chain(1), BendTraining(init="normal", seed=seed)).span.held(2)["at"]
        for seed in (0, 0, 1)
    ]
    assert torch.equal(drawn[0], drawn[1]) and not torch.equal(drawn[0], drawn[2])
    assert drawn[0].abs().max() < 0.1


def test_what_is_equal_in_both_ends_is_not_trained():
    one = tiny("a", order(0, 1, 2), 4 * np.eye(3))
    two = tiny("b", 2 * order(0, 1, 2), 4 * np.eye(3))
    how = BendTraining(lr=0.1, steps=5)
    found = connect(one, two, three_labels(), curve="bezier", training=how, points=3)
    assert found.ends.moving_parameters == 9 and found.ends.parameters == 18


def test_the_best_step_on_validation_rows_is_taken():
    """A rate that is far too high: no later step is better than the initial bend."""
    wild = BendTraining(lr=50, steps=8, batch=3, validate_every=2, clip=0)
    found = around(how=wild)
    looks = dict(found.training.validation)
    assert looks[found.training.chosen_step] == min(looks.values())
    assert found.training.chosen_step == 0
    assert max(point.loss for point in found.points) < 1


class Killed:
    """A ring that ends the process, as it were, at one of its calls while training."""

    def __init__(self, last=None):
        self.left = last

    def __call__(self, module, records):
        if module.training and self.left is not None:
            if self.left == 0:
                raise KeyboardInterrupt
            self.left -= 1
        return ring(module, records)


def test_a_killed_training_ends_with_the_same_bits(tmp_path):
    whole = around(task=custom_task(Killed()), folder=tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        around(task=custom_task(Killed(45)), folder=tmp_path / "killed")
    rest = Killed(45)
    resumed = around(task=custom_task(rest), folder=tmp_path / "killed")
    assert rest.left == 45 - 40  # 80 steps, of which 40 were saved
    assert resumed.series[0].points == whole.series[0].points
    assert np.array_equal(resumed.training.losses, whole.training.losses)
    assert resumed.training.validation == whole.training.validation
    repeated = around(task=custom_task(Killed(0)), folder=tmp_path / "killed")
    assert repeated.series[0].points == whole.series[0].points


def test_a_bend_is_a_checkpoint_that_can_be_used_again(tmp_path):
    found = around(folder=tmp_path)
    (folder,) = found.training.folders
    with open_checkpoint(folder) as stored:
        at = stored.tensor("at")
    assert at.shape == (1, 2)
    bend = place("bend", *at[0].tolist())
    again = around(bends=[bend])
    assert again.training is None
    assert [point.loss for point in again.points] == [point.loss for point in found.points]


def test_a_curve_between_models_without_heads_is_trained_by_their_probes():
    one = tiny("a", np.eye(3), np.zeros((3, 3)), labels=("x", "y", "z"))
    two = tiny("b", order(1, 2, 0), np.zeros((3, 3)), labels=("x", "y", "z"))
    how = BendTraining(lr=0.03, steps=60, batch=10, validate_every=20)
    line = connect(one, two, three_labels(), points=5)
    found = connect(one, two, three_labels(), curve="bezier", training=how, points=5)
    assert found.head == line.head == "probe"
    looks = dict(found.training.validation)
    assert looks[found.training.chosen_step] < looks[0]
    assert not any(p.requires_grad is False for p in one.module.parameters())


def test_a_loss_that_is_not_finite_ends_the_training():
    def function(module, records):
        loss = module.at.square().sum() * (float("inf") if module.training else 1.0)
        return {"losses": torch.stack([loss for _ in records])}

    with pytest.raises(BadInput, match=r"at t = 0\.\d+: the loss is inf at step 0"):
        around(task=custom_task(function))


def test_equal_ends_have_no_curve_to_train():
    with pytest.raises(BadInput, match="do not differ"):
        connect(WEST, place("again", -1, 0), custom_task(ring), curve="bezier", points=3)


@pytest.mark.parametrize(
    "wrong", [{"init": "far"}, {"steps": 0}, {"lr": 0.0}, {"clip": -1.0}, {"warmup": 2.0}]
)
def test_settings_that_make_no_sense_are_refused(wrong):
    with pytest.raises(BadInput):
        BendTraining(**wrong)
