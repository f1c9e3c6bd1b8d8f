"""Models that each know half of a task, of a base that knows nothing: their mean knows it all."""

import numpy as np
import torch
from torch import nn

from weightscape.tasks.arrays import task_from_arrays
from weightscape.tasks.live import LiveModel
from weightscape.tasks.processors import ArrayProcessor

LABELS = ("a", "b", "c")


class Looking(nn.Module):
    """Looks at three numbers through a matrix, and answers with one of three labels."""

    def __init__(self, body):
        super().__init__()
        self.body = nn.Linear(3, 3)
        self.head = nn.Linear(3, 3)
        with torch.no_grad():
            self.body.weight.copy_(torch.as_tensor(body, dtype=torch.float32))
            self.body.bias.zero_()

    def forward(self, x):
        return self.head(torch.tanh(self.body(x)))


def looking(name, *seen, strength=2.0):
    """Make a model that sees some of the three numbers, and none of the others."""
    body = np.zeros((3, 3))
    body[list(seen), list(seen)] = strength
    return LiveModel(name, Looking(body), ArrayProcessor(), None, ("head.",), drawn=True)


def largest(rows=30, test=30, *, noise=0.2, seed=0, validation=0, random_labels=False):
    """Make the task: which of three numbers is the largest?"""
    generator = np.random.default_rng(seed)
    splits = {}
    for split, count in (("train", rows), ("validation", validation), ("test", test)):
        if not count:
            continue
        right = np.arange(count) % 3
        inputs = np.eye(3)[right] + noise * generator.standard_normal((count, 3))
        given = generator.integers(0, 3, count) if random_labels else right
        splits[split] = (inputs.astype(np.float32), given)
    return task_from_arrays("largest", splits, LABELS)
