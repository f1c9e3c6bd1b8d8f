"""What a short run answered on rows that it did not see; kept in one small file."""

import json
import logging
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float64, Int64

from weightscape.tasks.batches import prepare
from weightscape.tasks.evaluate import autocasting, evaluating
from weightscape.tasks.kinds import score_batch
from weightscape.tasks.live import LiveModel
from weightscape.tasks.metrics import METRICS, Answers
from weightscape.tasks.task import Task

log = logging.getLogger(__name__)

_LEAST = 1e-30  # a probability that float32 rounds to nothing


@dataclass(frozen=True, slots=True)
class Outcome:
    """Answers on held-out rows, in their order.

    losses, rows [n]: nats (or squared errors) and row numbers. logs [n, labels]: log-probabilities,
    [n, 0] where answers are numbers. predictions, targets [n]: label numbers or numbers.
    """

    losses: Float64[np.ndarray, " n"]
    logs: Float64[np.ndarray, "n labels"]
    predictions: Float64[np.ndarray, " n"]
    targets: Float64[np.ndarray, " n"]
    rows: Int64[np.ndarray, " n"]

    @property
    def loss(self) -> float:
        """Give the mean loss."""
        return float(self.losses.mean())

    def metrics(self, task: Task) -> dict[str, float]:
        """Score the answers by the task's metrics."""
        return {name: metric_of(name, (self,), task) for name in task.metrics}


_ARRAYS = ("losses", "logs", "predictions", "targets", "rows")


def metric_of(
    name: str, parts: Sequence[Outcome], task: Task, times: np.ndarray | None = None
) -> float:
    """Score several outcomes' rows together by a metric; `times`: how often each row counts."""
    whole = [np.concatenate([getattr(part, key) for part in parts]) for key in _ARRAYS[2:4]]
    losses = np.concatenate([part.losses for part in parts])
    if task.labels:
        whole = [part.astype(np.int64) for part in whole]
    if times is not None:
        whole, losses = [np.repeat(part, times) for part in whole], np.repeat(losses, times)
    predictions, targets = whole
    return METRICS[name](Answers(predictions.tolist(), targets.tolist(), losses, len(task.labels)))


def answer(
    model: LiveModel, task: Task, *, limit: int | None, batch: int, autocast: torch.dtype | None
) -> Outcome:
    """Run a model on a task's test rows."""
    batches = prepare(model, task, "test", limit=limit, batch=batch)
    parts: list[tuple[np.ndarray, ...]] = []
    with evaluating(model.module), torch.inference_mode():
        for part in batches:
            with autocasting(model.device, autocast):
                scored = score_batch(model.module, part.to(model.device), task)
            blank = torch.empty(len(part), 0)
            chances = blank if scored.probabilities is None else scored.probabilities
            answered = torch.as_tensor(scored.predictions)
            numbers = (scored.losses, chances.clamp(min=_LEAST).log(), answered)
            told = (
                np.array([example.target for example in part.examples], dtype=np.float64),
                np.array([example.row for example in part.examples], dtype=np.int64),
            )
            parts.append((*(it.detach().double().cpu().numpy() for it in numbers), *told))
    places = np.argsort(torch.cat([part.order for part in batches]).numpy(), kind="stable")
    return Outcome(*(np.concatenate(column)[places] for column in zip(*parts, strict=True)))


def write_outcome(file: Path, outcome: Outcome, told: Mapping[str, Any]) -> None:
    """Write an outcome to an .npz file that appears whole; `told` is for people to read."""
    arrays = {name: getattr(outcome, name) for name in _ARRAYS}
    file.parent.mkdir(parents=True, exist_ok=True)
    descriptor, half = tempfile.mkstemp(dir=file.parent, prefix=".half-", suffix=".npz")
    try:
        with os.fdopen(descriptor, "wb") as out:
            np.savez(out, told=np.array(json.dumps(told)), **arrays)
        Path(half).replace(file)
    except BaseException:
        Path(half).unlink(missing_ok=True)
        raise


def read_outcome(file: Path) -> Outcome | None:
    """Read what `write_outcome` wrote; None where there is no file, or none that is whole."""
    try:
        with file.open("rb") as opened, np.load(opened, allow_pickle=False) as stored:
            return Outcome(*(stored[name] for name in _ARRAYS))
    except FileNotFoundError:
        return None
    except Exception:  # a damaged zip makes its readers raise about anything
        log.warning("%s is damaged; the run is made anew", file)
        return None
