"""The loss that bends are trained by: of batches, and on validation rows along the curve."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from weightscape.paths.bends import BendTraining
from weightscape.paths.curves import Curve, in_model_order
from weightscape.tasks.batches import Batch, collate, sample_rows
from weightscape.tasks.evaluate import autocasting, evaluating
from weightscape.tasks.features import feature_reader, features
from weightscape.tasks.kinds import score_batch
from weightscape.tasks.objective import Scoring, refresh_statistics
from weightscape.tasks.probe import fit_probe, targets_of
from weightscape.tasks.spanning import SpannedModels
from weightscape.tasks.task import Example, Split, Task
from weightscape.tasks.training import batch_order

BatchLoss = Callable[[float, Batch], Tensor]
"""(t, batch) -> the rows' losses [b] of the live module as it stands, with gradients."""


def losses_of_rows(spanned: SpannedModels, task: Task, scoring: Scoring) -> BatchLoss:
    """Make the function that scores rows while bends are trained.

    With heads in the span, or one given head, it is the task's own loss. With the head policy
    "probe" there is no head on the curve, so the ends' linear probes, fitted once on their
    training rows, are interpolated: logits = features @ W(t).T + b(t). The bends learn features
    that suit these heads; when the path is scored, a probe is refitted at every point.
    """
    module = spanned.model.module
    if spanned.head != "probe":
        return lambda t, part: score_batch(module, part, task).losses
    heads = [_probe_at(spanned, task, scoring, end) for end in (0, 1)]
    read = feature_reader(spanned.model, "auto")

    def losses(t: float, part: Batch) -> Tensor:
        assert part.targets is not None
        weight, bias = ((1 - t) * one + t * two for one, two in zip(*heads, strict=True))
        answers = read(part).float() @ weight.T + bias
        if task.is_regression:
            return torch.square(answers[:, 0] - part.targets)
        return nn.functional.cross_entropy(answers, part.targets, reduction="none")

    return losses


def training_loss(
    spanned: SpannedModels, task: Task, how: BendTraining, losses: BatchLoss, scoring: Scoring
) -> Callable[[float, int], Tensor]:
    """Make the function from (t, step) to the mean loss of that step's rows."""
    rows = task.rows("train")
    order = batch_order(len(rows), how.steps, how.batch, how.seed)
    model = spanned.model

    def loss_at(t: float, step: int) -> Tensor:
        part = collate(model.processor, [rows[i] for i in order[step]], task)
        with autocasting(model.device, scoring.autocast):
            return losses(t, part.to(model.device)).mean()

    return loss_at


def validation_loss(
    spanned: SpannedModels,
    curve: Curve,
    task: Task,
    how: BendTraining,
    losses: BatchLoss,
    scoring: Scoring,
) -> Callable[[], float]:
    """Make the function that gives the mean loss along the curve on validation rows.

    On training rows where the task has no validation split; held-out rows have no part in it.
    Every row is scored at one of the points, the same at each look: the mean over points and rows
    is estimated nearly as well as by all rows at all points, for a row that is hard at one point
    is hard at the others, and looks are compared on the same pairs.
    """
    split: Split = "validation" if task.splits.get("validation") else "train"
    model, span = spanned.model, spanned.span
    rows = sample_rows(task, split, how.validation_rows)
    points = min(how.validation_points, len(rows))
    batches = [
        [collate(model.processor, part, task) for part in _in_parts(rows[i::points], scoring.batch)]
        for i in range(points)
    ]

    def validate() -> float:
        total = 0.0
        for i, parts in enumerate(batches):
            t = (i + 0.5) / points
            span.write(span.coefficients(in_model_order(curve.weights(t))), model.module)
            refresh_statistics(spanned, task, scoring)
            with evaluating(model.module), torch.no_grad():
                for part in parts:
                    with autocasting(model.device, scoring.autocast):
                        total += float(losses(t, part.to(model.device)).sum())
        return total / len(rows)

    return validate


def _in_parts(rows: Sequence[Example], most: int) -> Iterator[Sequence[Example]]:
    for start in range(0, len(rows), most):
        yield rows[start : start + most]


def _probe_at(
    spanned: SpannedModels, task: Task, scoring: Scoring, end: int
) -> tuple[Tensor, Tensor]:
    """Fit an end's linear probe on its training rows."""
    model = spanned.model
    spanned.span.write(spanned.span.vertex(end), model.module)
    refresh_statistics(spanned, task, scoring)
    limit = scoring.train_limit
    x = features(model, task, "train", limit=limit, batch=scoring.batch).numpy()
    y = targets_of(task, "train", limit)
    fitted = fit_probe(x, y, x[:1], y[:1], label_count=len(task.labels))
    return (
        torch.tensor(fitted.weight.astype(np.float32), device=model.device),
        torch.tensor(fitted.bias.astype(np.float32), device=model.device),
    )
