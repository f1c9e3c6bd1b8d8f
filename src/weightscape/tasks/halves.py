"""Two tasks of one: the training rows in two halves that share none."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from weightscape.errors import BadInput
from weightscape.tasks.task import Example, Task


def halves(task: Task, seed: int = 0) -> tuple[Task, Task]:
    """Split the training rows into two disjoint halves, each label in both; other splits stay.

    The tasks are called NAME-half1 and NAME-half2.
    """
    rows = task.rows("train")
    if len(rows) < 2:
        raise BadInput(f"task {task.name!r} has {len(rows)} training row; two halves need more")
    first = _half(rows, seed, stratify=bool(task.labels))
    parts = (
        tuple(row for i, row in enumerate(rows) if (i in first) is is_first)
        for is_first in (True, False)
    )
    one, two = (
        replace(task, name=f"{task.name}-half{n}", splits={**task.splits, "train": part})
        for n, part in enumerate(parts, 1)
    )
    return one, two


def _half(rows: Sequence[Example], seed: int, *, stratify: bool) -> set[int]:
    """Draw every second position of a random order, label after label."""
    order = np.random.default_rng(seed).permutation(len(rows)).tolist()
    if stratify:
        order.sort(key=lambda position: rows[position].target)
    return set(order[::2])
