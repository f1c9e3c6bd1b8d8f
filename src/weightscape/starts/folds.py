"""The user's rows cut into those that are fitted on and those that are scored, the same for all."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from weightscape.errors import BadInput
from weightscape.tasks.task import Example, Task

ENOUGH_VALIDATION = 50
"""From this many rows on, a validation split of the task's own is scored on, not folds."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One way to cut: the task's `train` rows are fitted on, its `test` rows are scored.

    repeat: how often the rows were shuffled anew before; it also seeds what is drawn in a run.
    """

    repeat: int
    fold: int
    task: Task


def cut(task: Task, folds: int, repeat: int, seed: int) -> tuple[Cell, ...]:
    """Cut a task's training rows into folds, each label spread over all of them.

    Every row is scored once. Where the task has a validation split of `ENOUGH_VALIDATION` rows,
    there is one cell: fitted on all training rows, scored on that split. The test split is in no
    cell.

    Raises BadInput for too few rows, or where a fold would leave one label only to be learned.
    """
    rows = task.rows("train")
    scored = scored_rows(task)
    if scored is not rows:
        return (Cell(repeat, 0, _between(task, rows, scored)),)
    if folds < 2 or len(rows) < 2 * folds:
        raise BadInput(
            f"{len(rows)} training rows of task {task.name!r} cannot be cut into {folds} folds; "
            "there must be two folds or more, and two rows or more in each"
        )
    part = _deal(rows, folds, seed + repeat, stratify=bool(task.labels))
    cells = []
    for fold in range(folds):
        kept = tuple(row for row, its in zip(rows, part, strict=True) if its != fold)
        left = tuple(row for row, its in zip(rows, part, strict=True) if its == fold)
        if task.labels and len({row.target for row in kept}) < 2:
            raise BadInput(
                f"task {task.name!r}: without one of {folds} folds its training rows have one "
                "label only; give more rows of the others"
            )
        cells.append(Cell(repeat, fold, _between(task, kept, left)))
    return tuple(cells)


def scored_rows(task: Task) -> tuple[Example, ...]:
    """Give the rows that candidates are scored on: validation rows if there are enough of them."""
    validation = task.splits.get("validation") or ()
    return validation if len(validation) >= ENOUGH_VALIDATION else task.rows("train")


def whole(task: Task, repeat: int) -> Cell:
    """Give the cell of the last report: fitted on all training rows, scored on the test split."""
    return Cell(repeat, -1, _between(task, task.rows("train"), task.rows("test")))


def check_labels(task: Task) -> None:
    """Raise BadInput where training rows have one label, or where a label has no training row."""
    if not task.labels:
        return
    there = {row.target for row in task.rows("train")}
    lacking = [label for number, label in enumerate(task.labels) if number not in there]
    if len(there) < 2:
        raise BadInput(
            f"all {len(task.rows('train'))} training rows of task {task.name!r} have the label "
            f"{task.labels[next(iter(there))]!r}; a start is chosen by telling labels apart"
        )
    if lacking:
        raise BadInput(
            f"task {task.name!r}: no training row has the label {lacking[0]!r}; add some rows, or "
            "take it out of the task's labels"
        )


def _between(task: Task, kept: tuple[Example, ...], left: tuple[Example, ...]) -> Task:
    return replace(task, splits={"train": kept, "test": left})


def _deal(rows: Sequence[Example], folds: int, seed: int, *, stratify: bool) -> list[int]:
    """Deal shuffled rows out to folds in turn, label after label."""
    order = np.random.default_rng(seed).permutation(len(rows)).tolist()
    if stratify:
        order.sort(key=lambda position: rows[position].target)
    part = [0] * len(rows)
    for turn, position in enumerate(order):
        part[position] = turn % folds
    return part
