"""How well a model does a task: losses, predictions and metrics, whatever the batch size."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from weightscape.progress import Progress, silent
from weightscape.tasks.batches import Batch, prepare
from weightscape.tasks.evaluation import Evaluation
from weightscape.tasks.finite import NonFinite, explain_non_finite
from weightscape.tasks.generation import write_texts
from weightscape.tasks.kinds import RowScores, score_batch
from weightscape.tasks.live import LiveModel
from weightscape.tasks.metrics import METRICS, Answers, answer_kind
from weightscape.tasks.task import Example, Task


def evaluate(
    model: LiveModel,
    task: Task,
    *,
    split: str = "test",
    limit: int | None = None,
    batch: int = 64,
    autocast: torch.dtype | None = None,
    progress: Progress = silent,
) -> Evaluation:
    """Evaluate a model on a split, or on `limit` rows of it drawn by chance.

    Results are in the order of the split's rows. In float32 they do not depend on `batch` beyond
    rounding (1e-5). `autocast`: compute in this dtype (torch.bfloat16), losses stay in float32.
    The module is left in the mode it was in.

    Raises BadInput where the model does not fit the task; NonFinite, which is one, where a loss is
    not finite: then the tensor or module is named that is to blame.
    """
    batches = prepare(model, task, split, limit=limit, batch=batch)
    examples = in_order([batch.examples for batch in batches], batches)
    writes = _must_write(task)
    scored: list[RowScores] = []
    texts: list[list[str]] = []
    with (
        evaluating(model.module),
        torch.inference_mode(),
        progress.stage("evaluating", total=len(examples), unit="rows") as advance,
    ):
        for part in batches:
            with autocasting(model.device, autocast):
                scored.append(score_batch(model.module, part.to(model.device), task))
                if writes:
                    texts.append(write_texts(model, part.examples, task))
            advance(len(part))
    losses = _numbers([row.losses for row in scored], batches)
    if not np.isfinite(losses).all():
        bad = examples[int(np.flatnonzero(~np.isfinite(losses))[0])]
        raise NonFinite(explain_non_finite(model, task, bad, batches))
    predictions = in_order(texts, batches) if writes else _predictions(scored, batches)
    return make_evaluation(
        task,
        examples,
        losses=losses,
        predictions=predictions,
        gold_probabilities=_numbers([row.gold_probabilities for row in scored], batches),
        correct=_correct(task, scored, batches, examples, predictions if writes else None),
        others={
            name: float(_numbers([row.others[name] for row in scored], batches).mean())
            for name in scored[0].others
        },
    )


def make_evaluation(
    task: Task,
    examples: Sequence[Example],
    *,
    losses: NDArray[np.float64],
    predictions: Sequence[Any],
    gold_probabilities: NDArray[np.float64],
    correct: NDArray[np.float64],
    others: dict[str, float] | None = None,
) -> Evaluation:
    """Put an evaluation together from the rows' scores, and score its answers by the metrics."""
    targets = [example.target for example in examples]
    answers = Answers(predictions, targets, losses, len(task.labels))
    others = others or {}
    metrics = {
        name: others[name] if name in others else METRICS[name](answers)
        for name in task.metrics
        if name in others or len(predictions) or METRICS[name].reads == "losses"
    }
    return Evaluation(
        loss=float(losses.mean()),
        metrics=metrics | {name: value for name, value in others.items() if name not in metrics},
        losses=losses,
        predictions=predictions,
        gold_probabilities=gold_probabilities,
        correct=correct,
        rows=np.array([example.row for example in examples], dtype=np.int64),
    )


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Put a module in evaluation mode, and every part of it back in its own mode at the end."""
    training = [part for part in module.modules() if part.training]
    module.eval()
    try:
        yield
    finally:
        for part in training:
            part.training = True


@contextmanager
def autocasting(device: torch.device, dtype: torch.dtype | None) -> Iterator[None]:
    """Compute in a smaller dtype where one is given."""
    if dtype is None:
        yield
        return
    with torch.autocast(device.type, dtype=dtype):
        yield


def in_order(parts: Sequence[Sequence[Any]], batches: Sequence[Batch]) -> list[Any]:
    """Put what was found batch by batch in the order of the rows."""
    flat = [one for part in parts for one in part]
    places = torch.cat([batch.order for batch in batches]).tolist()
    out: list[Any] = [None] * len(flat)
    for place, one in zip(places, flat, strict=True):
        out[place] = one
    return out


def _must_write(task: Task) -> bool:
    """Tell whether texts have to be written out: that takes far longer than scoring them."""
    writes = answer_kind(task.kind) == "texts"
    return writes and any(METRICS[name].reads == "predictions" for name in task.metrics)


def _numbers(parts: Sequence[torch.Tensor], batches: Sequence[Batch]) -> NDArray[np.float64]:
    flat = torch.cat([part.detach().float() for part in parts]).cpu().numpy().astype(np.float64)
    out = np.empty_like(flat)
    out[torch.cat([batch.order for batch in batches]).numpy()] = flat
    return out


def _predictions(scored: Sequence[RowScores], batches: Sequence[Batch]) -> list[Any]:
    parts = []
    for one in scored:
        if one.predictions is None:
            return []
        given = one.predictions
        parts.append(given.tolist() if isinstance(given, torch.Tensor) else list(given))
    return in_order(parts, batches)


def _correct(
    task: Task,
    scored: Sequence[RowScores],
    batches: Sequence[Batch],
    examples: Sequence[Example],
    texts: Sequence[str] | None,
) -> NDArray[np.float64]:
    if texts is None:
        return _numbers([one.correct for one in scored], batches)
    exact = METRICS["exact_match"]
    pairs = zip(texts, examples, strict=True)
    return np.array([exact(Answers([text], [example.target])) for text, example in pairs])
