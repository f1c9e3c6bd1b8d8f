"""Tasks of arrays, tensors or images in memory, for plain modules and vision models."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from weightscape.errors import BadInput
from weightscape.tasks.labels import listed
from weightscape.tasks.metrics import default_metrics
from weightscape.tasks.task import SPLITS, Example, Task, refuse_shared


def task_from_arrays(
    name: str,
    splits: Mapping[str, tuple[Sequence[Any], Sequence[Any]]],
    labels: Sequence[str] = (),
    domain: str = "",
) -> Task:
    """Make a task of inputs and targets per split, which keep their order.

    Inputs are anything with a length whose items are examples: a tensor [n, ...], a list of
    images. Targets are numbers of `labels`; without labels they are numbers to be predicted. A
    row's number is its place in its split. Nothing is copied or cleaned, but an input in two
    splits is refused. Raises BadInput.

    >>> inputs = np.eye(4)
    >>> task = task_from_arrays("side", {"train": (inputs, [0, 0, 1, 1])}, ("left", "right"))
    >>> task.rows("train")[3].target
    1
    """
    regression = not labels
    if not regression and len(labels) < 2:
        raise BadInput(f"task {name!r} needs two labels or more; got {list(labels)}")
    made = {
        split: _examples(name, split, inputs, targets, tuple(labels))
        for split, (inputs, targets) in splits.items()
    }
    refuse_shared(name, made)
    metrics = default_metrics("classification", regression=regression)
    return Task(name, domain, tuple(labels), made, metrics=metrics)


def _examples(
    name: str, split: str, inputs: Sequence[Any], targets: Sequence[Any], labels: tuple[str, ...]
) -> tuple[Example, ...]:
    where = f"task {name!r}, split {split!r}"
    if split not in SPLITS:
        raise BadInput(f"{where}: there is no such split; the splits are {', '.join(SPLITS)}")
    if len(inputs) != len(targets):
        raise BadInput(f"{where}: {len(inputs)} inputs but {len(targets)} targets")
    if not len(inputs):
        raise BadInput(f"{where} has no rows")
    plain = np.asarray(targets).reshape(len(targets), -1)
    if plain.shape[1] != 1:
        raise BadInput(f"{where}: each target should be one number, not {plain.shape[1]}")
    if labels:
        bad = [row for row, target in enumerate(plain[:, 0]) if target not in range(len(labels))]
        if bad:
            raise BadInput(
                f"{where}, row {bad[0]}: target {plain[bad[0], 0]} is no number of a label; "
                f"the labels, from 0, are {listed(labels)}"
            )
        numbers: list[Any] = plain[:, 0].astype(np.int64).tolist()
    else:
        numbers = plain[:, 0].astype(np.float64).tolist()
        infinite = [row for row, number in enumerate(numbers) if not math.isfinite(number)]
        if infinite:
            raise BadInput(
                f"{where}, row {infinite[0]}: target {numbers[infinite[0]]} is no finite number"
            )
    pairs = zip(inputs, numbers, strict=True)
    return tuple(Example(one, target, row) for row, (one, target) in enumerate(pairs))
