"""What a task of few rows needs: some of them kept apart, and a training that fits so few."""

from dataclasses import replace

import numpy as np

from weightscape.tasks.fine_tuning import LEARNING_RATES, FineTuning, MethodName
from weightscape.tasks.task import Example, Task
from weightscape.tuning.selection import ENOUGH_VALIDATION

SHARE = 0.4
"""Of the training rows, kept apart for the search; weights need about as many rows as training."""

READ = 20
"""How often a fine-tuning reads each of a few rows."""

HASTE = 2
"""Times the usual rate for a share of the steps that is as small, where all weights are trained."""

FEWEST_STEPS, MOST_STEPS = 40, 120


def hold_out(task: Task) -> tuple[Task, str]:
    """Move training rows into the validation split, if that has too few to search weights on.

    Every label is in both parts as far as it has rows. The cut follows from the rows alone, so
    that all steps of a search make the same one. Also says what was done; with too few training
    rows for both it is left undone.
    """
    train, dev = task.rows("train"), task.splits.get("validation") or ()
    if len(dev) >= ENOUGH_VALIDATION:
        return task, ""
    wanted = max(ENOUGH_VALIDATION, round(SHARE * (len(train) + len(dev)))) - len(dev)
    labels = {row.target for row in train} if task.labels else set()
    if len(train) - wanted < max(wanted, 2 * len(labels)):
        return task, (
            f"task {task.name!r} has {len(train)} training rows, too few to keep some of them "
            "apart for the search"
        )
    kept = _spread(task, train, wanted)
    left = tuple(row for place, row in enumerate(train) if place not in kept)
    moved = tuple(row for place, row in enumerate(train) if place in kept)
    cut = replace(task, splits={**task.splits, "train": left, "validation": (*dev, *moved)})
    return cut, (
        f"{len(moved)} of the {len(train)} training rows of task {task.name!r} are kept apart to "
        f"search weights on; the other {len(left)} are for fine-tuning"
    )


def _spread(task: Task, rows: tuple[Example, ...], count: int) -> set[int]:
    """Choose rows by chance, from each label its share; one of each always stays."""
    order = np.random.default_rng(0).permutation(len(rows)).tolist()
    if task.labels:
        order.sort(key=lambda place: rows[place].target)
        firsts = {rows[place].target: place for place in reversed(order)}
        order = [place for place in order if firsts[rows[place].target] != place]
    chosen = np.linspace(0, len(order) - 1, count).round().astype(int)
    return {order[i] for i in chosen.tolist()}


def few_rows_fine_tuning(
    method: MethodName = "full",
    rows: int = 50,
    *,
    steps: int | None = None,
    lr: float | None = None,
    autocast: bool = False,
) -> FineTuning:
    """Give the settings to fine-tune a model on so many rows, its head begun as drawn weights.

    By default rows are read `READ` times each at the method's own rate; where all weights are
    trained, `HASTE` times faster, which is as good and costs less.

    >>> few_rows_fine_tuning(rows=80).steps
    50
    """
    haste = HASTE if method == "full" else 1
    how = FineTuning(
        method=method,
        lr=haste * LEARNING_RATES[method] if lr is None else lr,
        merge=method == "lora",
        autocast=autocast,
    )
    usual = min(max(round(READ * rows / (haste * how.batch)), FEWEST_STEPS), MOST_STEPS)
    return replace(how, steps=usual if steps is None else steps)
