"""A task evaluated at points of a span; every point once, and on disk if so wished."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
import xxhash
from torch import Tensor

from weightscape.errors import BadInput
from weightscape.geometry.finite import non_finite
from weightscape.tasks.batches import Batch, prepare, sample_rows
from weightscape.tasks.evaluate import evaluate, evaluating
from weightscape.tasks.evaluation import Evaluation
from weightscape.tasks.evaluation_files import read_evaluations, write_evaluations
from weightscape.tasks.features import features
from weightscape.tasks.fingerprint import task_fingerprint
from weightscape.tasks.finite import NonFinite
from weightscape.tasks.kinds import run_module
from weightscape.tasks.probe import ProbeScores, fit_probe, probe_evaluation, targets_of
from weightscape.tasks.spanning import SpannedModels
from weightscape.tasks.statistics import has_batch_statistics, recompute_statistics
from weightscape.tasks.task import Example, Split, Task

_FORMAT = 2
"""Of what a point's key and file mean; raise it when evaluations come out differently."""


@dataclass(frozen=True, slots=True)
class Scoring:
    """On how many rows, and how, points are scored.

    limit, train_limit, validation_limit: rows of the splits, drawn by chance, the same at every
    point; None for all, 0 for no validation.
    """

    limit: int | None = 256
    train_limit: int | None = 256
    validation_limit: int | None = 256
    batch: int = 64
    autocast: torch.dtype | None = None


@dataclass(frozen=True, slots=True)
class PointEvaluation:
    """What a model of the span answers on training, held-out and validation rows."""

    train: Evaluation
    test: Evaluation
    validation: Evaluation | None


class Objective:
    """A task as a function on a span: ``objective.at(point)``.

    Points are remembered, in memory and in `folder` if one is given: a run that was killed goes
    on where it was, and one that is repeated evaluates nothing. A point in the folder is known by
    the content of the models and the task, so many spans and tasks can share one folder.

    With the head policy "probe" a linear probe is fitted on the training rows at every point. A
    network with BatchNorm gets its statistics anew at every point, the models themselves among
    them, from the training rows that are scored (Garipov et al. 2018).
    """

    def __init__(
        self,
        spanned: SpannedModels,
        task: Task,
        scoring: Scoring = Scoring(),
        *,
        folder: Path | None = None,
    ) -> None:
        self.spanned = spanned
        self.task = task
        self.scoring = scoring
        self.evaluated = 0
        self._folder = folder
        self._known: dict[str, dict[str, Evaluation]] = {}
        self._splits = _splits(task, scoring)
        self._identity = json.dumps(
            [
                _FORMAT,
                task_fingerprint(task),
                {**asdict(scoring), "autocast": str(scoring.autocast), "batch": None},
                spanned.head,
                spanned.space,
                spanned.surroundings,
                str(next(iter(spanned.model.module.parameters())).dtype),
            ]
        )

    def moved_to(self, spanned: SpannedModels) -> "Objective":
        """Give the same objective on an extended span; what is known stays known."""
        other = Objective(spanned, self.task, self.scoring, folder=self._folder)
        other._known = self._known
        return other

    def at(
        self, point: Sequence[float], where: str = "", *, validation: bool = True
    ) -> PointEvaluation:
        """Evaluate a point of the span; `where` is what a failure calls it.

        validation: whether its validation rows are wanted; they are given where they are known.
        Raises NonFinite for a loss that is not finite, naming the point and the tensor; BadInput
        for a task that the model cannot be asked.
        """
        key = self._key(point)
        file = None if self._folder is None else self._folder / f"{key}.npz"
        if key not in self._known:
            self._known[key] = {} if file is None else self._read(file)
        parts = self._known[key]
        missing = [
            split
            for split in self._splits
            if split not in parts and (validation or split != "validation")
        ]
        if missing:
            parts.update(self._evaluate(point, where, missing))
            self.evaluated += 1
            if file is not None:
                write_evaluations(file, parts)
        return PointEvaluation(parts["train"], parts["test"], parts.get("validation"))

    @property
    def has_validation(self) -> bool:
        """Tell whether points have validation rows."""
        return "validation" in self._splits

    def _read(self, file: Path) -> dict[str, Evaluation]:
        """Read what is known of a point; what is not of the rows that are asked for is not."""
        found = read_evaluations(file)
        return {
            split: found[split]
            for split, limit in self._splits.items()
            if split in found and _is_of(found[split], sample_rows(self.task, split, limit))
        }

    def _evaluate(
        self, point: Sequence[float], where: str, splits: Sequence[Split]
    ) -> dict[str, Evaluation]:
        model = self.spanned.model
        self.spanned.span.write(point, model.module)
        try:
            refresh_statistics(self.spanned, self.task, self.scoring)
            if self.spanned.head == "probe":
                return self._probe(splits)
            return {
                split: evaluate(
                    model,
                    self.task,
                    split=split,
                    limit=self._splits[split],
                    batch=self.scoring.batch,
                    autocast=self.scoring.autocast,
                )
                for split in splits
            }
        except BadInput as error:
            place = where or f"point {[round(float(c), 6) for c in np.ravel(point)]} of the span"
            culprit = non_finite(model.module)
            if culprit is not None and repr(culprit) not in str(error):
                error = NonFinite(f"{error}; tensor {culprit!r} of the model there is not finite")
            kind = NonFinite if isinstance(error, NonFinite) else BadInput
            raise kind(f"at {place}: {error}") from None

    def _probe(self, wanted: Sequence[Split]) -> dict[str, Evaluation]:
        """Fit a probe on the training rows and score it on the splits that are wanted."""
        splits: dict[Split, int | None] = {"train": self._splits["train"]}
        splits |= {split: self._splits[split] for split in wanted}
        read = {
            split: features(
                self.spanned.model,
                self.task,
                split,
                limit=limit,
                batch=self.scoring.batch,
                autocast=self.scoring.autocast,
            )
            for split, limit in splits.items()
        }
        _check_finite(self.task, splits, read)
        targets = {split: targets_of(self.task, split, n) for split, n in splits.items()}
        others: list[Split] = [split for split in read if split != "train"]
        others = others or ["train"]
        fitted = fit_probe(
            read["train"],
            targets["train"],
            torch.cat([read[split] for split in others]),
            np.concatenate([targets[split] for split in others]),
            label_count=len(self.task.labels),
        )
        scores = {"train": fitted.train, **_apart(fitted.test, [(s, len(read[s])) for s in others])}
        return {
            split: probe_evaluation(self.task, split, limit, scores[split])
            for split, limit in splits.items()
        }

    def _key(self, point: Sequence[float]) -> str:
        """Hash what the evaluation follows from: the models that have weight, and the task."""
        weights = (1.0 - sum(point), *point)
        models = sorted(
            (fingerprint, round(float(weight), 12))
            for fingerprint, weight in zip(self.spanned.fingerprints, weights, strict=True)
            if abs(weight) > 1e-12
        )
        return xxhash.xxh3_128_hexdigest(f"{self._identity}{models}".encode())


def refresh_statistics(spanned: SpannedModels, task: Task, scoring: Scoring) -> None:
    """Recompute BatchNorm statistics on training rows, where a network has any."""
    module = spanned.model.module
    if not has_batch_statistics(module):
        return
    batches = prepare(spanned.model, task, "train", limit=scoring.train_limit, batch=scoring.batch)
    whole = [part for part in batches if len(part) == len(batches[0])]

    def forward(part: Batch) -> object:
        return run_module(module, part.to(spanned.model.device).inputs)

    with evaluating(module):
        recompute_statistics(module, whole, forward)


def _check_finite(
    task: Task, splits: Mapping[Split, int | None], read: Mapping[Split, Tensor]
) -> None:
    for split, found in read.items():
        bad = ~torch.isfinite(found).all(1)
        if bad.any():
            row = sample_rows(task, split, splits[split])[int(bad.nonzero()[0, 0])].row
            raise NonFinite(
                f"the features of row {row} ({split}) of task {task.name!r} are not finite"
            )


def _is_of(found: Evaluation, rows: Sequence[Example]) -> bool:
    """Tell whether an evaluation is whole and of these rows."""
    arrays = (found.losses, found.gold_probabilities, found.correct)
    numbers = [example.row for example in rows]
    return list(found.rows) == numbers and all(len(array) == len(rows) for array in arrays)


def _apart(scores: ProbeScores, parts: Sequence[tuple[Split, int]]) -> dict[Split, ProbeScores]:
    """Cut scores of several splits' rows, one split after the other, into those of each."""
    out: dict[Split, ProbeScores] = {}
    start = 0
    for split, rows in parts:
        cut = slice(start, start + rows)
        out[split] = ProbeScores(
            scores.losses[cut], scores.predictions[cut], scores.gold_probabilities[cut]
        )
        start += rows
    return out


def _splits(task: Task, scoring: Scoring) -> dict[Split, int | None]:
    splits: dict[Split, int | None] = {"train": scoring.train_limit, "test": scoring.limit}
    if scoring.validation_limit != 0 and task.splits.get("validation"):
        splits["validation"] = scoring.validation_limit
    for split in splits:
        task.rows(split)  # an empty one is refused before anything is computed
    return splits
