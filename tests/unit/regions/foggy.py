"""A landscape whose region is known: the further a model is from the origin, the less it sees."""

import numpy as np
import torch
from torch import nn

from weightscape.tasks.arrays import task_from_arrays
from weightscape.tasks.live import LiveModel
from weightscape.tasks.processors import ArrayProcessor

LABELS = ("left", "right")


class Foggy(nn.Module):
    """What it sees of the first two numbers is blurred by the others, by its squared distance."""

    def __init__(self, at):
        super().__init__()
        self.at = nn.Parameter(torch.tensor(at, dtype=torch.float32))
        self.still = nn.Parameter(torch.ones(3))
        self.head = nn.Linear(2, 2)

    def forward(self, x):
        return self.head(x[:, :2] + self.at.square().sum() * x[:, 2:])


def foggy(name, *at):
    return LiveModel(name, Foggy(at), ArrayProcessor(), LABELS, ("head.",))


CORNERS = {"east": (1.0, 0.0), "north": (0.0, 1.0), "south": (0.0, -1.0), "west": (-1.0, 0.0)}


def corners(scale=1.0, prefix=""):
    """Four models around the origin, at a distance of `scale`."""
    return [foggy(prefix + name, scale * x, scale * y) for name, (x, y) in CORNERS.items()]


def left_or_right(name="sides", rows=48, seed=0, labels=LABELS):
    generator = np.random.default_rng(seed)
    splits = {}
    for split in ("train", "validation", "test"):
        targets = np.arange(rows) % 2
        signal = (2 * targets[:, None] - 1) * np.array([1.0, 0.5])
        fog = generator.normal(size=(rows, 2))
        both = np.concatenate([signal + 0.3 * generator.normal(size=(rows, 2)), fog], axis=1)
        splits[split] = (both.astype(np.float32), targets)
    return task_from_arrays(name, splits, labels)
