"""What every baseline is made from, and what it gives."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from weightscape.progress import Progress
from weightscape.registry import Registry
from weightscape.tasks.fine_tuning import FineTuning
from weightscape.tasks.label_order import Source
from weightscape.tasks.live import LiveModel
from weightscape.tasks.spanning import SpannedModels
from weightscape.tasks.task import Example, Task
from weightscape.tuning.candidates import CandidateLoss
from weightscape.tuning.records import Weights
from weightscape.tuning.searching import Searching
from weightscape.tuning.shared_head import HeadChoice


class NotHad(Exception):
    """A baseline cannot be made from what there is; the message says why."""


class NotMeant(NotHad):
    """A baseline is of other models than these; it is missed only where it was asked for."""


NO_BASE = "it needs the base that the models came from"


@dataclass(frozen=True, slots=True, eq=False)
class Setting:
    """What a search of weights had, for its rivals.

    spanned: the models that were blended, and behind them the base where there is one; `base` is
    its number. models: where the `members` came from, in their order. base_source: where the base
    came from, and `base_head` how a head is begun on it.
    task: its training rows are what models were fine-tuned on, its validation rows `dev`, what
    weights were found by. uncut: the task before rows were kept apart, where some were.
    scored: the task with the splits "dev" and "test" that all are scored on.
    blend: brings up a copy of the blend that the search found; None without one.
    sources: tasks that experts came from. adapting, expert: the recipes of the fine-tunings on the
    target, and on a source. losses: of a point on all rows of `dev`.
    folder: where models are trained, and statistics kept.
    """

    spanned: SpannedModels
    models: tuple[Source, ...]
    members: tuple[int, ...]
    base: int | None
    base_source: Source | None
    base_head: HeadChoice
    task: Task
    uncut: Task | None
    dev: tuple[Example, ...]
    scored: Task
    sources: Sequence[Task]
    adapting: FineTuning
    expert: FineTuning
    how: Searching
    folder: Path
    progress: Progress
    blend: Callable[[], LiveModel] | None = None
    loading: Mapping[str, Any] = field(default_factory=dict)

    def losses(self) -> CandidateLoss:
        """Make the loss of blends on all development rows, without a race."""
        how = self.how
        return CandidateLoss(
            self.spanned, self.task, self.dev, batch=how.batch, autocast=how.autocast, seed=how.seed
        )


@dataclass(frozen=True, slots=True, eq=False)
class Rival:
    """What a baseline gives: weights in the span, tensors in place of its models', or a model.

    layers: of weights of their own for groups of tensors. saw_dev: whether it was fitted on the
    development rows, so that they say nothing of it.
    """

    why: str
    weights: Weights | None = None
    layers: Mapping[str, int] | None = None
    tensors: Mapping[str, Tensor] | None = None
    model: LiveModel | None = None
    saw_dev: bool = False


BASELINES: Registry[Callable[[Setting], Rival]] = Registry("baseline")
"""Name to a function that makes it; it raises NotHad where it cannot."""
