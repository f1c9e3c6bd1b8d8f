"""A search of weights under way: what it was given, what it tried, what is to be said of it."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from weightscape.progress import Progress
from weightscape.tasks.spanning import SpannedModels
from weightscape.tasks.statistics import has_batch_statistics
from weightscape.tasks.task import Example, Task
from weightscape.tuning.candidates import CandidateLoss
from weightscape.tuning.cross_validation import Judged
from weightscape.tuning.racing import Racing
from weightscape.tuning.records import Outcome, Trial, Weights
from weightscape.tuning.search_space import SearchSpace
from weightscape.tuning.searching import Searching


@dataclass(slots=True)
class Run:
    """A search under way: what it was given, what was tried, and what is to be said of it.

    proposed: by what candidates were proposed, in that order. judged: by cross-validation, if that
    was made.
    """

    spanned: SpannedModels
    task: Task
    how: Searching
    space: SearchSpace
    progress: Progress
    began: float
    trials: list[Trial] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    proposed: list[str] = field(default_factory=list)
    judged: Judged | None = None

    def spent(self, loss: CandidateLoss) -> float:
        """Give the evaluations on all rows that as many rows would have made as were read."""
        read = loss.read + (0 if self.judged is None else self.judged.read)
        return read / len(loss.dev)

    def left(self) -> float | None:
        """Give the minutes that are left, if they are counted."""
        if self.how.minutes is None:
            return None
        return max(0.0, self.how.minutes - (time.monotonic() - self.began) / 60)

    def tell(self, weights: Weights, outcome: Outcome, seconds: float) -> None:
        """Keep a candidate that was tried outside of the study."""
        trial = Trial(
            len(self.trials),
            weights,
            outcome.loss,
            outcome.rows,
            outcome.state,
            seconds,
            outcome.error,
        )
        best = min((it.loss for it in self.trials if it.state == "complete"), default=np.inf)
        self.trials.append(trial)
        if trial.state == "complete" and trial.loss < 0.99 * best:
            told = f"candidate {trial.number + 1}: loss {trial.loss:.4f}, the best so far"
            self.progress.note(told)

    def note(self, told: str) -> None:
        """Say something now, and in the result."""
        if told:
            self.notes.append(told)
            self.progress.note(told)


def loss_on(run: Run, rows: Sequence[Example], racing: Racing | None) -> CandidateLoss:
    """Make the loss of candidates on some of the rows."""
    how = run.how
    return CandidateLoss(
        run.spanned,
        run.task,
        rows,
        racing=racing,
        layers=how.layers,
        penalty=run.space.penalty if run.space.l1 else None,
        batch=how.batch,
        autocast=how.autocast,
        seed=how.seed,
    )


def has_surrogate(run: Run, loss: CandidateLoss) -> bool:
    """Tell whether a linear model is wanted, and there can be one of these networks and rows."""
    has = loss.dev.targets is not None and not has_batch_statistics(run.spanned.model.module)
    return has and run.how.surrogate is not None
