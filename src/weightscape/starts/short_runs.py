"""Short fine-tunings from points of a pool, in memory: one module, no folder per run."""

import copy
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from time import perf_counter

import torch
import xxhash
from torch import nn

from weightscape.errors import BadInput
from weightscape.starts.folds import Cell
from weightscape.starts.heads import HeadStart, set_head
from weightscape.starts.outcome import Outcome, answer, read_outcome, write_outcome
from weightscape.starts.pool import Weights, content_of, write_point
from weightscape.tasks.batches import collate
from weightscape.tasks.evaluate import autocasting
from weightscape.tasks.fine_tuning import ADDING_METHODS, FineTuning
from weightscape.tasks.fingerprint import task_fingerprint
from weightscape.tasks.kinds import score_batch
from weightscape.tasks.live import LiveModel
from weightscape.tasks.methods import attach
from weightscape.tasks.objective import Scoring, refresh_statistics
from weightscape.tasks.probe import Regularisation
from weightscape.tasks.spanning import SpannedModels
from weightscape.tasks.task import Task
from weightscape.tasks.training import Schedule, batch_order, train

_FORMAT = 1
"""Of what a run's key and file mean; raise it when runs come out differently."""


class ShortRuns:
    """Fine-tunings from points, each made once: ``runs.at(weights, cell)``.

    Runs are remembered, in memory and in `folder` if one is given: a search that was killed goes
    on with what is there. seconds: what one run took that was made here, None before the first.
    """

    def __init__(
        self,
        spanned: SpannedModels,
        how: FineTuning,
        *,
        head: HeadStart = "probe",
        regularisation: Regularisation = "cv",
        scoring: Scoring = Scoring(),
        folder: Path | None = None,
    ) -> None:
        if not spanned.model.head:
            raise BadInput(f"{spanned.model.name} has no head for the task's labels to be trained")
        self.how = replace(how, evaluate_every=None, save_every=None, record_dynamics=None)
        self.made = 0
        self.seconds: float | None = None
        self._spanned = spanned
        self._head: HeadStart = head
        self._regularisation = regularisation
        self._scoring = scoring
        self._folder = folder
        self._known: dict[str, Outcome] = {}

    def at(self, weights: Weights, cell: Cell) -> Outcome:
        """Train from a point on a cell's training rows; give its answers on the rows left out."""
        key = self._key(weights, cell)
        if key not in self._known:
            self._known[key] = self._kept(key, weights, cell)
        return self._known[key]

    def knows(self, weights: Weights, cell: Cell) -> bool:
        """Tell whether a run need not be made."""
        key = self._key(weights, cell)
        file = None if self._folder is None else self._folder / f"{key}.npz"
        return key in self._known or (file is not None and file.is_file())

    def _kept(self, key: str, weights: Weights, cell: Cell) -> Outcome:
        file = None if self._folder is None else self._folder / f"{key}.npz"
        found = None if file is None else read_outcome(file)
        if found is not None:
            return found
        began = perf_counter()
        made = self._run(weights, cell)
        took = perf_counter() - began
        self.seconds = took if self.seconds is None else 0.5 * (self.seconds + took)
        self.made += 1
        if file is not None:
            write_outcome(file, made, {"task": cell.task.name, "repeat": cell.repeat})
        return made

    def _run(self, weights: Weights, cell: Cell) -> Outcome:
        how = seeded(self.how, cell.repeat)
        write_point(self._spanned, weights)
        refresh_statistics(self._spanned, cell.task, self._scoring)
        live = self._spanned.model
        if how.method in ADDING_METHODS:  # what they add cannot be taken off again
            live = replace(live, module=copy.deepcopy(live.module))
        live.module.requires_grad_(True)
        set_head(live, cell.task, self._head, how.init_seed, self._regularisation)
        trained = attach(live, how, cell.task)
        moving = set(self._spanned.span.names)
        still = [
            it
            for name, it in trained.module.named_parameters()
            if it.requires_grad and name not in moving
        ]
        with _put_back(still):
            _train(trained, cell.task, how)
            return answer(
                trained,
                cell.task,
                limit=self._scoring.limit if cell.fold < 0 else None,
                batch=self._scoring.batch,
                autocast=torch.bfloat16 if how.autocast else None,
            )

    def _key(self, weights: Weights, cell: Cell) -> str:
        how = seeded(self.how, cell.repeat)
        told = [
            _FORMAT,
            content_of(self._spanned, weights),
            asdict(how),
            self._head,
            str(self._regularisation),
            task_fingerprint(cell.task),
            self._scoring.limit if cell.fold < 0 else None,
        ]
        return xxhash.xxh3_128_hexdigest(json.dumps(told).encode())


@contextmanager
def _put_back(parameters: Sequence[nn.Parameter]) -> Iterator[None]:
    """Undo what training does to tensors that do not move with the point.

    The next point brings its own of the others; these the span may not know at all.
    """
    before = [it.detach().clone() for it in parameters]
    try:
        yield
    finally:
        with torch.no_grad():
            for parameter, kept in zip(parameters, before, strict=True):
                parameter.copy_(kept)


def seeded(how: FineTuning, repeat: int) -> FineTuning:
    """Give the settings their seeds for a repeat: the same for all candidates."""
    return replace(
        how,
        init_seed=how.init_seed + repeat,
        data_seed=how.data_seed + repeat,
        dropout_seed=how.dropout_seed + repeat,
    )


def _train(model: LiveModel, task: Task, how: FineTuning) -> None:
    rows = task.rows("train")
    order = batch_order(len(rows), how.steps, min(how.batch, len(rows)), how.data_seed)
    dtype = torch.bfloat16 if how.autocast else None

    def loss_at(step: int) -> torch.Tensor:
        batch = collate(model.processor, [rows[i] for i in order[step]], task).to(model.device)
        with autocasting(model.device, dtype):
            return score_batch(model.module, batch, task).losses.mean()

    schedule = Schedule(
        how.steps, how.lr, how.weight_decay, how.warmup, how.clip, how.schedule, how.optimiser
    )
    train(model.module, loss_at, schedule, dropout_seed=how.dropout_seed)
