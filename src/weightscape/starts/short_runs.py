"""Short fine-tunings from points of a pool, in memory: one module, no folder per run."""

import copy
import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from time import perf_counter
from typing import Literal

import numpy as np
import torch
import xxhash
from torch import nn

from weightscape.errors import BadInput
from weightscape.starts.folds import Cell
from weightscape.starts.pool import Weights, content_of, write_point
from weightscape.tasks.batches import collate
from weightscape.tasks.evaluate import autocasting, evaluate
from weightscape.tasks.evaluation import Evaluation
from weightscape.tasks.evaluation_files import read_evaluations, write_evaluations
from weightscape.tasks.features import features
from weightscape.tasks.fine_tuning import ADDING_METHODS, FineTuning
from weightscape.tasks.fingerprint import task_fingerprint
from weightscape.tasks.heads import draw_head, last_linear
from weightscape.tasks.kinds import score_batch
from weightscape.tasks.live import LiveModel
from weightscape.tasks.methods import attach
from weightscape.tasks.objective import Scoring, refresh_statistics
from weightscape.tasks.probe import Regularisation, fit_probe
from weightscape.tasks.spanning import SpannedModels
from weightscape.tasks.task import Task
from weightscape.tasks.training import Schedule, batch_order, train

HeadStart = Literal["probe", "drawn", "zero"]
"""Where a run's head begins: a linear probe of the rows that are fitted on (Kumar et al. 2022,
arXiv:2202.10054), weights drawn by the run's seed, or zeros."""

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
        self._known: dict[str, Evaluation] = {}

    def at(self, weights: Weights, cell: Cell) -> Evaluation:
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

    def _kept(self, key: str, weights: Weights, cell: Cell) -> Evaluation:
        file = None if self._folder is None else self._folder / f"{key}.npz"
        found = {} if file is None else read_evaluations(file)
        if "run" in found:
            return found["run"]
        began = perf_counter()
        made = self._run(weights, cell)
        took = perf_counter() - began
        self.seconds = took if self.seconds is None else 0.5 * (self.seconds + took)
        self.made += 1
        if file is not None:
            write_evaluations(file, {"run": made})
        return made

    def _run(self, weights: Weights, cell: Cell) -> Evaluation:
        how = seeded(self.how, cell.repeat)
        write_point(self._spanned, weights)
        refresh_statistics(self._spanned, cell.task, self._scoring)
        live = self._spanned.model
        if how.method in ADDING_METHODS:  # what they add cannot be taken off again
            live = replace(live, module=copy.deepcopy(live.module))
        live.module.requires_grad_(True)
        set_head(live, cell.task, self._head, how.init_seed, self._regularisation)
        trained = attach(live, how, cell.task)
        _train(trained, cell.task, how)
        return evaluate(
            trained,
            cell.task,
            split="test",
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


def seeded(how: FineTuning, repeat: int) -> FineTuning:
    """Give the settings their seeds for a repeat: the same for all candidates."""
    return replace(
        how,
        init_seed=how.init_seed + repeat,
        data_seed=how.data_seed + repeat,
        dropout_seed=how.dropout_seed + repeat,
    )


def set_head(
    model: LiveModel,
    task: Task,
    head: HeadStart,
    seed: int,
    regularisation: Regularisation = "cv",
) -> None:
    """Put a head where a run begins, in place; training rows are all that it looks at.

    With "probe" the head's last linear layer becomes the linear probe of what goes into it; what
    stands before it in the head, if anything does, is drawn.
    """
    draw_head(model.module, model.head, seed)
    if head == "drawn":
        return
    name = last_linear(model.module)
    if name is None or not f"{name}.".startswith(tuple(model.head)):
        raise BadInput(
            f"the head of {model.name} has no linear layer that a probe could be put into; "
            "take head='drawn'"
        )
    layer = model.module.get_submodule(name)
    assert isinstance(layer, nn.Linear)
    if head == "zero":
        weight, bias = np.zeros(layer.weight.shape), np.zeros(len(layer.weight))
    else:
        weight, bias = _probe(model, task, name, regularisation)
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(weight))
        if layer.bias is not None:
            layer.bias.copy_(torch.from_numpy(bias))


def _probe(
    model: LiveModel, task: Task, name: str, regularisation: Regularisation
) -> tuple[np.ndarray, np.ndarray]:
    read = features(model, task, "train", pooling=name)
    if not torch.isfinite(read).all():
        raise BadInput(f"what goes into {name!r} of {model.name} is not finite at this point")
    targets = [row.target for row in task.rows("train")]
    fitted = fit_probe(
        read, targets, read, targets, label_count=len(task.labels), regularisation=regularisation
    )
    seen = np.isin(np.arange(len(fitted.bias)), targets) | (not task.labels)
    # a label that no row has is unlikely, not impossible: its gradients must not vanish
    return fitted.weight, np.where(seen, fitted.bias, fitted.bias[seen].min() - 2.0)


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


def metric_of(task: Task, found: Mapping[str, float]) -> float:
    """Give the first metric of a task, its loss where it has none."""
    return found[task.metrics[0]] if task.metrics else found["loss"]
