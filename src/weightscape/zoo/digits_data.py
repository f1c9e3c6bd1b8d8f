"""Tasks on scikit-learn's handwritten digits: other labels, fewer digits, changed images."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from weightscape.errors import UnknownName

HELD_OUT = 360  # of 1,797 images


def _same(images: Tensor) -> Tensor:
    return images


@dataclass(frozen=True, slots=True)
class DigitsTask:
    """A task: groups of digits to be told apart, on images changed in one way."""

    name: str
    domain: str
    groups: Sequence[Sequence[int]]
    change: Callable[[Tensor], Tensor] = _same


@dataclass(frozen=True, slots=True)
class DigitsData:
    """Images [n, 8, 8] and labels [n] of a task, to train on and to test on."""

    images: Tensor
    labels: Tensor
    test_images: Tensor
    test_labels: Tensor


ALL = tuple((digit,) for digit in range(10))

DIGITS_TASKS: Mapping[str, DigitsTask] = {
    task.name: task
    for task in (
        DigitsTask("digits", "digits", ALL),
        DigitsTask("parity", "grouping", ((0, 2, 4, 6, 8), (1, 3, 5, 7, 9))),
        DigitsTask("flipped", "image", ALL, lambda images: images.flip(1)),
        DigitsTask("low-half", "subset", ((0,), (1,), (2,), (3,), (4,))),
        DigitsTask("mirrored", "image", ALL, lambda images: images.flip(2)),
        DigitsTask("loops", "grouping", ((0, 6, 8, 9), (1, 2, 3, 4, 5, 7))),
        DigitsTask("high-half", "subset", ((5,), (6,), (7,), (8,), (9,))),
        DigitsTask("rotated", "image", ALL, lambda images: images.rot90(1, (1, 2))),
        DigitsTask("mod3", "grouping", ((0, 3, 6, 9), (1, 4, 7), (2, 5, 8))),
        DigitsTask("odd-digits", "subset", ((1,), (3,), (5,), (7,), (9,))),
        DigitsTask("inverted", "image", ALL, lambda images: 1 - images),
        DigitsTask("size", "grouping", ((0, 1, 2, 3, 4), (5, 6, 7, 8, 9))),
    )
}


def digits_task(name: str) -> DigitsTask:
    """Look up a digits task; raises UnknownName."""
    try:
        return DIGITS_TASKS[name]
    except KeyError:
        raise UnknownName("digits task", name, DIGITS_TASKS) from None


@lru_cache(maxsize=len(DIGITS_TASKS))
def digits_data(name: str) -> DigitsData:
    """Load a task's images, scaled to [0, 1]; every task holds out the same ones."""
    task = digits_task(name)
    images, digits = _all_digits()
    group = torch.full((10,), -1)
    for number, members in enumerate(task.groups):
        group[list(members)] = number
    labels = group[digits]
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))
    changed = task.change(images)
    test, train = (part[labels[part] >= 0] for part in (order[:HELD_OUT], order[HELD_OUT:]))
    return DigitsData(changed[train], labels[train], changed[test], labels[test])


@lru_cache(maxsize=1)
def _all_digits() -> tuple[Tensor, Tensor]:
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = torch.tensor(digits.images, dtype=torch.float32) / 16
    return images, torch.tensor(digits.target, dtype=torch.int64)
