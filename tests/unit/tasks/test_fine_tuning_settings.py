"""Settings that make no sense, schedules, early stopping, and resuming with everything on."""

from contextlib import contextmanager
from dataclasses import asdict, replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from weightscape.errors import BadInput, WeightscapeError
from weightscape.tasks.chance import is_at_chance
from weightscape.tasks.dynamics import load_dynamics
from weightscape.tasks.early_stopping import EarlyStopping
from weightscape.tasks.evaluate import evaluate
from weightscape.tasks.fine_tune import FineTuning, fine_tune
from weightscape.tasks.fine_tuning import LEARNING_RATES
from weightscape.tasks.metrics import chance_level
from weightscape.tasks.models import load_model
from weightscape.tasks.optimisers import rate_at
from weightscape.tasks.training import Schedule, train


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"method": "lorra"}, "nearest: lora"),
        ({"schedule": "cosin"}, "nearest: cosine"),
        ({"optimiser": "adam"}, "nearest: adamw"),
        ({"lr": -1e-3}, "lr must be a positive number, got -0.001"),
        ({"lr": 0.0}, "lr must be a positive number"),
        ({"lr": float("nan")}, "lr must be a positive number"),
        ({"weight_decay": -1.0}, "weight_decay must be"),
        ({"steps": 0}, "steps must be a whole number of 1 or more, got 0"),
        ({"batch": 2.5}, "batch must be a whole number"),
        ({"rank": -1}, "rank must be"),
        ({"warmup": 1.5}, "warmup is a share of the steps from 0 to 1"),
        ({"init_seed": -1}, "init_seed must be a whole number of 0 or more"),
        ({"save_every": 0}, "save_every must be"),
        ({"record_dynamics": 0}, "record_dynamics must be"),
        ({"patience": 3}, "give evaluate_every too"),
        ({"freeze": "*embeddings*"}, "freeze takes a tuple of patterns"),
        ({"merge": True}, "only LoRA can be merged"),
    ],
)
def test_settings_that_make_no_sense(settings, said):
    with pytest.raises(WeightscapeError, match=said) as caught:
        FineTuning(**settings)
    assert "\n" not in str(caught.value)


def test_each_method_has_its_learning_rate_and_tells_the_number():
    assert FineTuning().lr == FineTuning(lr=None).lr == 1e-4
    assert FineTuning(method="lora").lr == LEARNING_RATES["lora"] > 1e-4
    assert FineTuning(method="lora", lr=2e-5).lr == 2e-5
    assert asdict(FineTuning(method="head"))["lr"] == LEARNING_RATES["head"]


def test_scores_at_chance_are_told_from_others(sentiment):
    targets = [example.target for example in sentiment.rows("test")]
    level = max(targets.count(0), targets.count(1)) / len(targets)
    entropy = chance_level("loss", targets, 2)
    assert is_at_chance(sentiment, entropy, {"accuracy": level}, 500)
    assert not is_at_chance(sentiment, entropy, {"accuracy": level + 0.1}, 500)
    assert not is_at_chance(sentiment, entropy / 2, {"accuracy": level}, 500)


@pytest.mark.parametrize("name", ["linear", "cosine", "constant"])
def test_rates_rise_and_fall_as_they_are_called(name):
    rate = rate_at(name, steps=100, warmup=0.1)
    rates = [rate(step) for step in range(100)]
    assert rates[:10] == pytest.approx([0.1 * i for i in range(1, 11)])
    assert all(b <= a for a, b in pairwise(rates[10:]))
    assert rates[55] == pytest.approx(1.0 if name == "constant" else 0.5)
    assert (rates[-1] == 1) == (name == "constant")


@pytest.mark.parametrize("optimiser", ["adamw", "sgd", "adafactor"])
def test_every_optimiser_gets_down_a_bowl(optimiser):
    model = nn.Linear(3, 3, bias=False)
    nn.init.constant_(model.weight, 0.5)
    train(
        model,
        lambda step: model.weight.square().sum(),
        Schedule(steps=50, lr=0.05, optimiser=optimiser),
    )
    assert model.weight.square().sum() < 2.25 / 4


def watched(losses, patience=None, every=1):
    """Train a weight that is the number of steps done, and watch given losses."""
    model = nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        model.weight.zero_()
    looks = iter(losses)
    early = EarlyStopping(model, lambda: next(looks), every=every, patience=patience)
    done = 0
    for done in range(1, len(losses) * every + 1):
        with torch.no_grad():
            model.weight += 1
        if early.after(done):
            break
    early.restore_best()
    return done, early.step, float(model.weight.detach())


def test_early_stopping_keeps_the_best_and_waits_as_long_as_it_was_told():
    assert watched([3, 2, 1, 2, 3, 4], patience=2) == (5, 3, 3)
    assert watched([3, 2, 1, 2, 0.5, 4], patience=2) == (6, 5, 5)
    assert watched([3, 2, 1, 2, 3, 4]) == (6, 3, 3)
    assert watched([1, 1, 1], patience=2, every=2) == (6, 2, 2)
    assert watched([float("nan"), 2.0, float("nan")]) == (3, 2, 2)
    with pytest.raises(BadInput, match="gave a finite loss"):
        watched([float("nan")])


@pytest.fixture
def task(sentiment):
    """The reviews with some held out to look at."""
    train_rows = sentiment.splits["train"]
    splits = {**sentiment.splits, "train": train_rows[:40], "validation": train_rows[40:]}
    return replace(sentiment, splits=splits)


EVERYTHING = FineTuning(
    steps=28,
    lr=2e-2,
    batch=8,
    schedule="cosine",
    evaluate_every=3,
    record_dynamics=4,
    save_every=9,
    weight_decay=0.1,
    clip=0.5,
)


def test_the_model_written_is_the_best_on_the_validation_rows(tiny_base, task, tmp_path):
    how = replace(EVERYTHING, save_every=3)
    done = fine_tune(tiny_base, task, tmp_path / "out", how)

    def loss(folder):
        return evaluate(load_model(folder, task), task, split="validation").loss

    losses = {step: loss(done.folder / f"checkpoint-{step}") for step in range(3, 28, 3)}
    assert done.best_step == min(losses, key=losses.get)
    assert loss(done.folder) == min(losses.values())
    assert fine_tune(tiny_base, task, done.folder, how) == done


def test_looking_too_late_or_at_nothing(tiny_base, task, sentiment, tmp_path):
    with pytest.raises(BadInput, match="evaluate_every 30 is more than the 28 steps"):
        fine_tune(tiny_base, task, tmp_path / "a", replace(EVERYTHING, evaluate_every=30))
    with pytest.raises(WeightscapeError, match="validation"):
        fine_tune(tiny_base, sentiment, tmp_path / "a", EVERYTHING)
    assert not (tmp_path / "a").exists()


class Killed:
    """A progress that stands in for a kill after so many steps."""

    def __init__(self, after):
        self.left = after

    @contextmanager
    def stage(self, label, *, total=None, unit=""):
        def advance(amount):
            if label == "training" and amount:
                self.left -= 1
                if self.left < 0:
                    raise KeyboardInterrupt

        yield advance

    def note(self, message):
        pass


@pytest.mark.parametrize(
    "changes",
    [
        {"optimiser": "sgd"},
        {"optimiser": "adafactor", "patience": 9},
        {"method": "adapter", "bottleneck": 2},
        {"method": "prefix", "prefix_tokens": 2},
        {"autocast": True},
    ],
    ids=str,
)
def test_a_killed_training_ends_with_the_same_bits_whatever_is_on(
    tiny_base, task, tmp_path, changes
):
    how = replace(EVERYTHING, **changes)
    whole = fine_tune(tiny_base, task, tmp_path / "whole", how)
    with pytest.raises(KeyboardInterrupt):
        fine_tune(tiny_base, task, tmp_path / "cut", how, progress=Killed(26))
    assert not (tmp_path / "cut").exists()
    left = Killed(5)  # one call tells of the 25 steps that were kept, three are left
    cut = fine_tune(tiny_base, task, tmp_path / "cut", how, progress=left)
    assert left.left >= 0
    assert (cut.scores, cut.best_step) == (whole.scores, whole.best_step)
    for file in sorted(whole.folder.rglob("*.safetensors")):
        other = load_file(cut.folder / file.relative_to(whole.folder))
        for name, tensor in load_file(file).items():
            assert torch.equal(tensor, other[name]), (file, name)
    one, other = load_dynamics(whole.folder), load_dynamics(cut.folder)
    assert np.array_equal(one.losses, other.losses) and len(one.steps) == 7


def test_another_task_of_the_same_name_is_not_taken_for_this_one(tiny_base, task, tmp_path):
    how = FineTuning(steps=4)
    out = fine_tune(tiny_base, task, tmp_path / "out", how).folder
    other = replace(task, splits={**task.splits, "train": task.splits["train"][:30]})
    with pytest.raises(BadInput, match="made with other arguments"):
        fine_tune(tiny_base, other, out, how)


def test_a_training_that_fails_leaves_nothing(tiny_base, task, tmp_path):
    with pytest.raises(BadInput, match="loss is nan|not finite|inf"):
        fine_tune(tiny_base, task, tmp_path / "out", FineTuning(lr=1e30, steps=9, clip=0))
    with pytest.raises(WeightscapeError, match="no split|validation"):
        alone = replace(task, splits={"train": task.splits["train"]})
        fine_tune(tiny_base, alone, tmp_path / "out", FineTuning(steps=2))
    assert list(tmp_path.iterdir()) == []


def test_devices_that_are_not_there(tiny_base, task, tmp_path):
    with pytest.raises(BadInput, match="device 'banana' cannot be used"):
        fine_tune(tiny_base, task, tmp_path / "out", FineTuning(), device="banana")
