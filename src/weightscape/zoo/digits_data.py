"""Tasks on scikit-learn's handwritten digits: other labels, fewer digits, changed images."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from weightscape.errors import UnknownName

HELD_OUT = 360  # of 1,797 images


@dataclass(frozen=True, slots=True)
class DigitsTask:
    """Groups of digits to be told apart, on images that are changed in one way (the domain)."""

    name: str
    domain: str
    groups: Sequence[Sequence[int]]


@dataclass(frozen=True, slots=True)
class DigitsData:
    """Images [n, 8, 8] and labels [n] of a task, to train on and to test on."""

    images: Tensor
    labels: Tensor
    test_images: Tensor
    test_labels: Tensor


CHANGES: Mapping[str, Callable[[Tensor], Tensor]] = {
    "plain": lambda images: images,
    "rotated": lambda images: images.rot90(1, (1, 2)),
    "flipped": lambda images: images.flip(1),
    "inverted": lambda images: 1 - images,
    "mirrored": lambda images: images.flip(2),
}
GROUPS: Mapping[str, Sequence[Sequence[int]]] = {
    "digits": tuple((digit,) for digit in range(10)),
    "parity": ((0, 2, 4, 6, 8), (1, 3, 5, 7, 9)),
    "low": ((0,), (1,), (2,), (3,), (4,)),
    "loops": ((0, 6, 8, 9), (1, 2, 3, 4, 5, 7)),
    "mod3": ((0, 3, 6, 9), (1, 4, 7), (2, 5, 8)),
}
BASE_TASK = "plain-digits"
TASK_NAMES = (
    "rotated-parity",
    "flipped-digits",
    "inverted-low",
    "mirrored-parity",
    "flipped-loops",
    "rotated-mod3",
    "inverted-parity",
    "mirrored-low",
    "rotated-digits",
    "flipped-parity",
    "inverted-mod3",
    "mirrored-loops",
)
"""In the order in which zoos take them up; neighbours in it look at differently changed images."""


def digits_task(name: str) -> DigitsTask:
    """Look up a digits task, "change-groups"; raises UnknownName."""
    if name not in (BASE_TASK, *TASK_NAMES):
        raise UnknownName("digits task", name, TASK_NAMES)
    change, groups = name.split("-")
    return DigitsTask(name, change, GROUPS[groups])


@lru_cache(maxsize=len(TASK_NAMES) + 1)
def digits_data(name: str) -> DigitsData:
    """Load a task's images, scaled to [0, 1]; every task holds out the same ones."""
    task = digits_task(name)
    images, digits = _all_digits()
    group = torch.full((10,), -1)
    for number, members in enumerate(task.groups):
        group[list(members)] = number
    labels = group[digits]
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))
    changed = CHANGES[task.domain](images)
    test, train = (part[labels[part] >= 0] for part in (order[:HELD_OUT], order[HELD_OUT:]))
    return DigitsData(changed[train], labels[train], changed[test], labels[test])


@lru_cache(maxsize=1)
def _all_digits() -> tuple[Tensor, Tensor]:
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = torch.tensor(digits.images, dtype=torch.float32) / 16
    return images, torch.tensor(digits.target, dtype=torch.int64)
