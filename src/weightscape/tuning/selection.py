"""Choosing candidates on rows that they were not searched on; saying what few rows hide."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil

import numpy as np
from jaxtyping import Float64

from weightscape.errors import BadInput
from weightscape.starts.folds import cut
from weightscape.tasks.bootstrap import bootstrap_interval
from weightscape.tasks.task import Example, Task
from weightscape.tuning.records import Trial, Weights

ENOUGH_VALIDATION = 20
"""From this many rows on, a validation split of the task's own is searched on."""

FOLDS = 3
_POWERED = 2.8  # standard errors that are found at 5 % error in four of five cases


@dataclass(frozen=True, slots=True)
class Parts:
    """Rows that weights are searched on, and others that one of the best is chosen on."""

    search: tuple[Example, ...]
    choice: tuple[Example, ...]


@dataclass(frozen=True, slots=True)
class Comparison:
    """How far a candidate is ahead of a rival on the same rows.

    difference: the rival's mean loss less the candidate's; interval: its 95 % bootstrap interval
    over the rows. needed: rows that would probably tell the two apart if the difference is what
    it seems; None where there is none.
    """

    difference: float
    interval: tuple[float, float]
    needed: int | None

    @property
    def apart(self) -> bool:
        """Tell whether the rows say which one is better."""
        return self.interval[0] > 0 or self.interval[1] < 0


def dev_rows(task: Task) -> tuple[tuple[Example, ...], str]:
    """Give the rows that weights are found by, and what is to be said of them.

    The validation split where it has `ENOUGH_VALIDATION` rows, else the training rows. The test
    split is never among them.
    """
    validation = task.splits.get("validation") or ()
    if len(validation) >= ENOUGH_VALIDATION:
        return validation, ""
    rows = task.rows("train")
    return rows, (
        f"weights are searched on the {len(rows)} training rows of task {task.name!r}; a model "
        "that was fine-tuned on them looks better than it is, so keep a validation split apart"
    )


def part_rows(
    task: Task, rows: Sequence[Example], *, folds: int = FOLDS, seed: int = 0
) -> tuple[Parts, ...]:
    """Cut rows into `folds` parts, each label spread over all; each part is the choice once.

    Raises BadInput for fewer than two rows a part, or a cut that leaves one label to search on.
    """
    alone = replace(task, splits={"train": tuple(rows)})
    return tuple(
        Parts(cell.task.rows("train"), cell.task.rows("test"))
        for cell in cut(alone, folds, 0, seed)
    )


def finalists(trials: Sequence[Trial], count: int = 5, apart: float = 0.05) -> list[Weights]:
    """Give the best complete candidates that differ in some weight by `apart` or more.

    Raises BadInput where no candidate is complete.
    """
    ranked = sorted((it for it in trials if it.state == "complete"), key=lambda it: it.loss)
    if not ranked:
        raise BadInput("no candidate was evaluated in full; there is none to choose")
    found: list[Weights] = []
    for trial in ranked:
        if len(found) == count:
            break
        if all(float(np.abs(trial.weights - other).max()) >= apart for other in found):
            found.append(trial.weights)
    return found


def compare(
    losses: Float64[np.ndarray, " n"], rival: Float64[np.ndarray, " n"], *, seed: int = 0
) -> Comparison:
    """Compare two candidates row by row.

    >>> sure = compare(np.zeros(50), np.linspace(0.5, 1.5, 50))
    >>> sure.apart, round(sure.difference, 6)
    (True, 1.0)
    """
    if losses.shape != rival.shape or losses.ndim != 1 or not len(losses):
        raise BadInput(f"compare losses of the same rows; got {losses.shape} and {rival.shape}")
    steps = rival - losses
    difference = float(steps.mean())
    spread = float(steps.std(ddof=1)) if len(steps) > 1 else 0.0
    needed = None
    if difference != 0.0 and spread > 0.0:
        needed = ceil((_POWERED * spread / difference) ** 2)
    return Comparison(difference, bootstrap_interval(steps, seed=seed), needed)


def warn_of_few(comparison: Comparison, rows: int, rival: str) -> str:
    """Say that rows do not tell the best candidate from a rival; nothing where they do."""
    if comparison.apart:
        return ""
    low, high = comparison.interval
    told = (
        f"{rows} rows do not tell the best weights from {rival}: the difference in loss is "
        f"{comparison.difference:.4f} ({low:.4f} to {high:.4f})"
    )
    if comparison.needed is None or comparison.needed > 1_000_000:
        return told
    return f"{told}; about {max(comparison.needed, rows + 1)} rows would"
