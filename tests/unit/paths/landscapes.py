"""Landscapes whose barriers are known: models that are points, tasks that are functions of them."""

import numpy as np
import torch
from torch import nn

from weightscape.tasks.arrays import task_from_arrays
from weightscape.tasks.live import LiveModel
from weightscape.tasks.processors import ArrayProcessor, RecordProcessor
from weightscape.tasks.task import Example, Task


class Place(nn.Module):
    """A model that is nothing but a place in the plane."""

    def __init__(self, x, y):
        super().__init__()
        self.at = nn.Parameter(torch.tensor([[float(x), float(y)]]))
        self.shake = nn.Dropout(0.1)


def place(name, x, y):
    return LiveModel(name, Place(x, y), RecordProcessor())


def ring(module, records):
    """A ring of radius 1 where the loss is 0; (|at|^2 - 1)^2 times each record's weight."""
    height = (module.shake(module.at).square().sum() - 1).square()
    return {"losses": torch.stack([height * record for record in records])}


def custom_task(function, weights=(0.5, 1.0, 1.5)):
    splits = {
        split: tuple(Example(w, None, i) for i, w in enumerate(weights))
        for split in ("train", "validation", "test")
    }
    return Task("ring", "", (), splits, kind="custom", metrics=("loss",), function=function)


class Tiny(nn.Module):
    """Three features, a layer, a head."""

    def __init__(self, body, head):
        super().__init__()
        self.body = nn.Linear(3, 3, bias=False)
        self.head = nn.Linear(3, 3, bias=False)
        with torch.no_grad():
            self.body.weight.copy_(torch.as_tensor(body, dtype=torch.float32))
            self.head.weight.copy_(torch.as_tensor(head, dtype=torch.float32))

    def forward(self, x):
        return self.head(torch.relu(self.body(x)))


LABELS = ("a", "b", "c")


def tiny(name, body, head, labels=LABELS):
    return LiveModel(name, Tiny(body, head), ArrayProcessor(), labels, ("head.",))


def order(*places):
    """Permute the three features."""
    return np.eye(3)[list(places)]


def three_labels(name="which", rows=30, seed=0):
    """Which of three numbers is the largest: a model that copies its input knows it."""
    generator = np.random.default_rng(seed)
    splits = {}
    for split in ("train", "validation", "test"):
        targets = np.arange(rows) % 3
        inputs = 0.2 * generator.random((rows, 3)) + np.eye(3)[targets]
        splits[split] = (inputs.astype(np.float32), targets)
    return task_from_arrays(name, splits, LABELS)
