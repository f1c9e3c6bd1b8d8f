"""Cheap scores: linear probes at points of a pool, cross-validated on the user's rows."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import inf
from pathlib import Path
from typing import Any

import numpy as np
import xxhash
from jaxtyping import Float64
from numpy.typing import NDArray

from weightscape.starts.folds import Cell
from weightscape.starts.pool import Weights, content_of, write_point
from weightscape.tasks.batches import sample_rows
from weightscape.tasks.bootstrap import bootstrap_interval
from weightscape.tasks.evaluation import Evaluation
from weightscape.tasks.evaluation_files import read_evaluations, write_evaluations
from weightscape.tasks.features import features
from weightscape.tasks.fingerprint import task_fingerprint
from weightscape.tasks.objective import Scoring, refresh_statistics
from weightscape.tasks.probe import Regularisation, fit_probe
from weightscape.tasks.spanning import SpannedModels
from weightscape.tasks.task import Example, Task

Array = Float64[np.ndarray, "..."]

STRENGTHS = (1e3, 1e2, 1e1, 1.0)
"""L2 penalties that are tried on standardised features; few rows need strong ones."""

_FORMAT = 1
"""Of what a probe's file means; raise it when scores come out differently."""


@dataclass(frozen=True, slots=True)
class ProbeScore:
    """What a frozen backbone knows of the user's rows, each scored by heads not fitted on it.

    losses [n]: of every scored row, mean over the repeats.
    """

    loss: float
    interval: tuple[float, float]
    losses: Float64[np.ndarray, " n"]


class ProbeScores:
    """Probe scores at points: each computed once, and kept in a folder if one is given.

    The backbone reads the rows once at each point; heads are then fitted cell by cell.
    """

    def __init__(
        self,
        spanned: SpannedModels,
        task: Task,
        cells: Sequence[Cell],
        scoring: Scoring = Scoring(),
        *,
        pooling: str = "auto",
        folder: Path | None = None,
    ) -> None:
        self.computed = 0
        self._spanned = spanned
        self._rows = _joined(task, cells, scoring)
        self._parts = [_places(self._rows.rows("train"), cell) for cell in cells]
        self._scoring = scoring
        self._pooling = pooling
        self._folder = folder
        self._known: dict[str, ProbeScore] = {}
        told = [task_fingerprint(self._rows), self._parts, pooling, _FORMAT]
        told += [] if scoring.autocast is None else [str(scoring.autocast)]
        self._identity = xxhash.xxh3_128_hexdigest(str(told).encode())

    def knows(self, weights: Weights) -> bool:
        """Tell whether a point need not be read."""
        key = self._key(weights)
        file = None if self._folder is None else self._folder / f"{key}.npz"
        return key in self._known or (file is not None and file.is_file())

    def at(self, weights: Weights) -> ProbeScore:
        """Score a point."""
        key = self._key(weights)
        if key not in self._known:
            self._known[key] = self._kept(key, weights)
        return self._known[key]

    def loss(self, weights: Weights) -> float:
        """Give the mean held-out loss at a point."""
        return self.at(weights).loss

    def _key(self, weights: Weights) -> str:
        content = f"{content_of(self._spanned, weights)}{self._identity}"
        return xxhash.xxh3_128_hexdigest(content.encode())

    def _kept(self, key: str, weights: Weights) -> ProbeScore:
        file = None if self._folder is None else self._folder / f"{key}.npz"
        found = {} if file is None else read_evaluations(file)
        if "probe" in found:
            return _score(found["probe"].losses)
        losses = self._losses(weights)
        self.computed += 1
        if file is not None:
            nothing = np.full(len(losses), np.nan)
            rows = np.array([row.row for row in self._rows.splits["train"]], dtype=np.int64)
            part = Evaluation(float(losses.mean()), {}, losses, [], nothing, nothing, rows)
            write_evaluations(file, {"probe": part})
        return _score(losses)

    def _losses(self, weights: Weights) -> Float64[np.ndarray, " n"]:
        write_point(self._spanned, weights)
        refresh_statistics(self._spanned, self._rows, self._scoring)
        read = (
            features(
                self._spanned.model,
                self._rows,
                "train",
                batch=self._scoring.batch,
                pooling=self._pooling,
                autocast=self._scoring.autocast,
            )
            .double()
            .numpy()
        )
        if not np.isfinite(read).all():
            return np.full(len(read), np.inf)
        targets = np.array([row.target for row in self._rows.splits["train"]])
        return self._held_out(read, targets)

    def _held_out(self, read: Array, targets: NDArray[Any]) -> Array:
        """Give each row's loss under heads that were not fitted on it, mean over the repeats.

        The strength of a cell's head is that of the least loss on rows that the cell does not
        score: one strength for all backbones would favour those with large features.
        """
        count, labels = len(read), len(self._rows.labels)
        if len(self._parts) == 1:
            ((kept, left),) = self._parts
            losses = np.full(count, np.nan)
            losses[left] = _fit(read, targets, kept, left, labels, "cv")
            return losses
        tried = np.zeros((len(STRENGTHS), count))
        times = np.zeros(count)
        each: list[Array] = []
        for kept, left in self._parts:
            found = [_fit(read, targets, kept, left, labels, it) for it in STRENGTHS]
            each.append(np.array(found))
            tried[:, left] += each[-1]
            times[left] += 1
        total = np.zeros(count)
        for (_, left), found_here in zip(self._parts, each, strict=True):
            others = tried.sum(axis=1) - tried[:, left].sum(axis=1)
            total[left] += found_here[np.argmin(others)]
        return np.divide(total, times, out=np.full(count, np.nan), where=times > 0)  # type: ignore[no-any-return]


def _fit(
    read: Array,
    targets: NDArray[Any],
    kept: list[int],
    left: list[int],
    labels: int,
    strength: Regularisation,
) -> Array:
    """Fit a head on some rows; give the losses of others."""
    fitted = fit_probe(
        read[kept],
        targets[kept],
        read[left],
        targets[left],
        label_count=labels,
        regularisation=strength,
    )
    return fitted.test.losses


def _score(losses: Float64[np.ndarray, " n"]) -> ProbeScore:
    scored = losses[~np.isnan(losses)]
    if not np.isfinite(scored).all():
        return ProbeScore(inf, (inf, inf), losses)
    return ProbeScore(float(scored.mean()), bootstrap_interval(scored), losses)


def _joined(task: Task, cells: Sequence[Cell], scoring: Scoring) -> Task:
    """Put the rows that are fitted on or scored in one split, so that they are read at once."""
    rows = sample_rows(task, "train", scoring.train_limit)
    known = {id(row) for row in task.rows("train")}
    if any(id(row) not in known for row in cells[0].task.rows("test")):
        rows = (*rows, *sample_rows(cells[0].task, "test", scoring.validation_limit or None))
    return replace(task, splits={"train": rows})


def _places(rows: Sequence[Example], cell: Cell) -> tuple[list[int], list[int]]:
    """Find which rows a cell fits on, and which it scores; a row is known by what it is."""
    kept = {id(row) for row in cell.task.rows("train")}
    left = {id(row) for row in cell.task.rows("test")}
    return (
        [place for place, row in enumerate(rows) if id(row) in kept],
        [place for place, row in enumerate(rows) if id(row) in left],
    )
