"""Paths between models of every kind of task, from two sources to a verdict."""

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from tiny_models import save_bert, save_gpt2, save_t5, save_vit
from weightscape.paths.bends import BendTraining
from weightscape.paths.path import connect
from weightscape.tasks.arrays import task_from_arrays
from weightscape.tasks.evaluate import evaluate
from weightscape.tasks.kinds import run_module
from weightscape.tasks.models import load_model
from weightscape.tasks.objective import Scoring
from weightscape.tasks.task import Example, Task

HOW = {"points": 5, "device": "cpu", "allow_chance": True, "scoring": Scoring(limit=8)}
FEW = BendTraining(steps=4, batch=4, validate_every=2, lr=1e-3)


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def texts(kind, **more):
    words = ("good", "bad", "fine", "poor")
    rows = [
        Example(f"the {thing} was {'very ' * very}{word}", f"{word} {thing}", very)
        for thing in ("film", "book")
        for very in range(2)
        for word in words
    ]
    rows = [Example(it.inputs, it.target, place) for place, it in enumerate(rows)]
    splits = {"train": tuple(rows[:10]), "test": tuple(rows[10:])}
    return Task(kind, "", (), splits, kind=kind, max_tokens=12, target_tokens=4, **more)


def ends_agree(found, ends, task, **loading):
    """The ends of a path are the models as they are alone."""
    alone = [
        evaluate(load_model(end, task, device="cpu", **loading), task, limit=8).loss for end in ends
    ]
    points = found.points
    assert [points[0].loss, points[-1].loss] == pytest.approx(alone, rel=1e-4)
    assert all(np.isfinite(point.loss) for point in points)
    assert found.barrier.verdict in ("connected", "not connected", "cannot tell")
    assert found.ends.l2 > 0


@pytest.mark.parametrize("kind, save", [("seq2seq", save_t5), ("causal", save_gpt2)])
@pytest.mark.parametrize("curve", ["line", "bezier"])
def test_models_that_write_texts(kind, save, curve, tmp_path):
    task = texts(kind, metrics=("exact_match", "loss"))
    ends = [save(tmp_path / name, seed=seed) for seed, name in enumerate("ab")]
    found = connect(*ends, task, curve=curve, training=FEW, folder=tmp_path / "kept", **HOW)
    assert (found.head, found.series[0].chance_loss) == ("own", None)
    ends_agree(found, ends, task)
    assert found.series[0].train.correct.shape == (5, 10)
    if curve == "bezier":
        (bend,) = found.training.folders
        again = connect(*ends, task, curve=curve, bends=[bend], **HOW)
        losses = [point.loss for point in found.points]
        assert [point.loss for point in again.points] == pytest.approx(losses, abs=1e-5)


def images(rows=24, classes=("dark", "light")):
    draw = np.random.default_rng(0)
    splits = {}
    for split in ("train", "test"):
        targets = np.arange(rows) % 2
        inputs = draw.normal(size=(rows, 3, 8, 8)) * 0.1 + targets[:, None, None, None]
        splits[split] = (inputs.astype(np.float32), targets)
    return task_from_arrays("shade", splits, classes)


def test_vision_transformers_of_transformers(tmp_path):
    task = images()
    ends = [
        save_vit(tmp_path / name, labels=task.labels, settings=False, seed=seed)
        for seed, name in enumerate("ab")
    ]
    found = connect(*ends, task, **HOW)
    assert found.head == "own"
    ends_agree(found, ends, task)
    probed = connect(*ends, task, head="probe", **HOW)
    assert probed.head == "probe" and probed.points[2].metrics["accuracy"] == 1.0


def test_a_users_vision_transformer_from_a_factory(tmp_path):
    from weightscape.zoo.digits_model import DigitsViT

    draw = np.random.default_rng(0)
    splits = {
        split: (draw.normal(size=(20, 8, 8)).astype(np.float32), np.arange(20) % 10)
        for split in ("train", "test")
    }
    task = task_from_arrays("digits", splits, tuple("0123456789"))
    ends = []
    for seed in range(2):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            module = DigitsViT(10)
        ends.append(tmp_path / f"run-{seed}.safetensors")
        save_file(module.state_dict(), ends[-1])

    def make():
        return DigitsViT(10)

    found = connect(*ends, task, factory=make, **HOW)
    assert found.head == "own"
    ends_agree(found, ends, task, factory=make)


def by_length(module, examples):
    """A custom task: how far the mean of the hidden states lies from a number."""
    tokens = torch.tensor([[2, 4 + record % 8, 3] for record in examples])
    hidden = run_module(module, {"input_ids": tokens}).last_hidden_state
    return {"losses": (hidden.mean(dim=(1, 2)) - 0.1).square()}


def test_a_callable_of_the_users(tmp_path):
    splits = {
        split: tuple(Example(number, None, number) for number in range(8))
        for split in ("train", "test")
    }
    task = Task("own", "", (), splits, kind="custom", metrics=("loss",), function=by_length)
    ends = [save_bert(tmp_path / name, seed=seed) for seed, name in enumerate("ab")]
    found = connect(*ends, task, curve="chain", training=FEW, **HOW)
    assert found.series[0].metric_drop is None
    ends_agree(found, ends, task)


class Normed(nn.Module):
    """A small network that keeps statistics of what it saw."""

    def __init__(self):
        super().__init__()
        self.body = nn.Conv2d(3, 6, 3)
        self.norm = nn.BatchNorm2d(6)
        self.head = nn.Linear(6, 2)

    def forward(self, x):
        return self.head(torch.relu(self.norm(self.body(x))).mean(dim=(2, 3)))


def test_batch_statistics_are_made_anew_along_the_path(tmp_path):
    task = images()
    ends = []
    for seed in range(2):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            module = Normed()
        module.norm.running_mean += 100.0  # stale: nothing that the network has seen
        ends.append(tmp_path / f"run-{seed}.safetensors")
        save_file(module.state_dict(), ends[-1])
    found = connect(*ends, task, factory=Normed, curve="bezier", training=FEW, **HOW)
    assert all(point.loss < 3 for point in found.points)
    fresh = load_model(ends[0], task, factory=Normed, device="cpu").module
    inputs = torch.stack([torch.as_tensor(it.inputs) for it in task.rows("train")])
    with torch.no_grad():
        seen = fresh.body(inputs)
        normed = (seen - seen.mean(dim=(0, 2, 3), keepdim=True)) / torch.sqrt(
            seen.var(dim=(0, 2, 3), keepdim=True) + fresh.norm.eps
        )
        answers = fresh.head(torch.relu(normed).mean(dim=(2, 3)))
        wanted = nn.functional.cross_entropy(
            answers, torch.tensor([it.target for it in task.rows("train")])
        )
    assert found.points[0].train_loss == pytest.approx(float(wanted), rel=1e-4)
