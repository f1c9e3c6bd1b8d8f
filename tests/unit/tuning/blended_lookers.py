"""Plain models of one base that each see part of a task, and the span through them."""

import numpy as np
import torch
from torch import nn

from tiny_models import save_bert
from weightscape.tasks.arrays import task_from_arrays
from weightscape.tasks.fine_tune import fine_tune
from weightscape.tasks.fine_tuning import FineTuning
from weightscape.tasks.live import LiveModel
from weightscape.tasks.processors import ArrayProcessor
from weightscape.tasks.spanning import open_span
from weightscape.tasks.task import make_task

LABELS = ("a", "b", "c")


class Looking(nn.Module):
    """Looks at three numbers through a matrix, and answers with one of three labels."""

    def __init__(self, body, bend=0.3):
        super().__init__()
        self.body = nn.Linear(3, 3)
        self.head = nn.Linear(3, 3)
        self.bend = bend
        with torch.no_grad():
            self.body.weight.copy_(torch.as_tensor(body, dtype=torch.float32))
            self.body.bias.zero_()
            self.head.weight.copy_(torch.eye(3))
            self.head.bias.zero_()

    def forward(self, x):
        seen = self.body(x)
        return self.head(seen + self.bend * torch.tanh(seen))


def looker(name, *seen, strength=3.0, bend=0.3, noise=0.1):
    """Make a model that sees some of the three numbers, and none of the others."""
    body = noise * np.random.default_rng(sum(map(ord, name))).standard_normal((3, 3))
    body[list(seen), list(seen)] += strength
    module = Looking(body, bend)
    with torch.no_grad():
        module.head.bias[list(seen)] += 0.1
    return LiveModel(name, module, ArrayProcessor(), LABELS, ("head.",))


def largest(rows=60, *, noise=0.4, seed=0):
    """Make the task: which of three numbers is the largest?"""
    generator = np.random.default_rng(seed)
    splits = {}
    for split in ("train", "test"):
        right = generator.integers(0, 3, rows)
        inputs = np.eye(3)[right] + noise * generator.standard_normal((rows, 3))
        splits[split] = (inputs.astype(np.float32), right)
    return task_from_arrays("largest", splits, LABELS)


def spanned_lookers(task, *models):
    models = models or (looker("first", 0), looker("second", 1), looker("third", 2))
    return open_span(models, task, head="own")


def reviews():
    """Short reviews that one word decides."""
    rows = [
        (
            f"{start} {thing} was {'very ' * very}{word}",
            "pos" if word in ("good", "fine") else "neg",
        )
        for start in ("a", "the")
        for thing in ("film", "book")
        for very in range(4)
        for word in ("good", "bad", "fine", "poor")
    ]
    return make_task("reviews", "sentiment", {"train": rows[:48], "test": rows[48:]}, max_tokens=9)


def tuned_readers(folder, count):
    """Fine-tune a tiny transformer on the reviews from several seeds, with one initial head."""
    base = save_bert(folder / "base")
    for seed in range(count):
        how = FineTuning(lr=1e-2, steps=8, batch=8, init_seed=1, data_seed=seed)
        fine_tune(base, reviews(), folder / str(seed), how)
    return [folder / str(seed) for seed in range(count)]
