"""The diagonal of a model's Fisher information on a task: how much each parameter matters there.

Matena and Raffel, "Merging Models with Fisher-Weighted Averaging" (2022, arXiv:2111.09832).
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

from weightscape.blending.row_gradients import RowLosses, RowSquares
from weightscape.errors import BadInput
from weightscape.geometry.finite import non_finite
from weightscape.progress import Progress, silent
from weightscape.tasks.batches import Batch, prepare
from weightscape.tasks.evaluate import evaluating
from weightscape.tasks.finite import NonFinite
from weightscape.tasks.kinds import logits_of, run_module, score_batch
from weightscape.tasks.live import LiveModel
from weightscape.tasks.task import Task

AnswerChoice = Literal["auto", "expected", "sampled", "gold"]
Logits = Callable[[Batch], Tensor]

ROWS = 256
"""Training rows that are read."""


@dataclass(frozen=True, slots=True)
class FisherDiagonals:
    """Mean squared gradients by parameter: as large as the parameters, float32.

    answers: whose gradients: "expected", "sampled" or "gold". rows: how many were read.
    """

    diagonals: Mapping[str, Tensor]
    answers: str
    rows: int


def fisher_diagonals(
    model: LiveModel,
    task: Task,
    *,
    names: Collection[str] | None = None,
    answers: AnswerChoice = "auto",
    logits: Logits | None = None,
    split: str = "train",
    limit: int | None = ROWS,
    batch: int = 16,
    seed: int = 0,
    progress: Progress = silent,
) -> FisherDiagonals:
    """Average the squared gradients of ``log p(y | x)`` over rows, parameter by parameter.

    names: the parameters that are wanted; all by default. logits: from a batch to what stands for
    the module's answer, if that is not its own (a probe on its features).
    answers: "sampled" draws y from the model's own answer, "expected" weighs all labels by it (as
    many backward passes as there are labels), both of which are the Fisher information; "gold" is
    the empirical one, of the rows' own targets. "auto" is "sampled", and "gold" for texts and
    custom kinds. A predicted number counts as the mean of a normal distribution of variance 1.

    Raises BadInput for answers that a task's kind has not, NonFinite naming the tensor.
    """
    how = settled_answers(task, answers)
    batches = prepare(model, task, split, limit=limit, batch=batch)
    generator = torch.Generator(model.device).manual_seed(seed)
    losses = _row_losses(model, task, how, logits, generator)
    wanted = [name for name, _ in model.module.named_parameters()] if names is None else names
    squares = RowSquares(model.module, wanted, losses)
    rows = sum(map(len, batches))
    with (
        evaluating(model.module),
        progress.stage("squaring gradients", total=rows, unit="rows") as advance,
    ):
        for part in batches:
            squares.add(part.to(model.device))
            advance(len(part))
    found = {name: it.div_(rows).cpu() for name, it in squares.sums.items()}
    culprit = non_finite(found)
    if culprit is not None:
        raise NonFinite(
            f"{model.name}: the gradients of tensor {culprit!r} on task {task.name!r} are not "
            "finite"
        )
    return FisherDiagonals(found, how, rows)


def settled_answers(task: Task, answers: AnswerChoice) -> str:
    """Say which answers' gradients are meant; raises BadInput for those that a task has not."""
    if answers not in get_args(AnswerChoice):
        raise BadInput(f"answers must be one of {', '.join(get_args(AnswerChoice))}: {answers!r}")
    labelled = task.kind in ("classification", "pair")
    if answers == "auto":
        return "sampled" if labelled else "gold"
    if answers != "gold" and not labelled:
        raise BadInput(
            f"the answers {answers!r} are for labels and numbers; take 'gold' for task "
            f"{task.name!r} of kind {task.kind}"
        )
    return answers


def _row_losses(
    model: LiveModel, task: Task, how: str, logits: Logits | None, generator: torch.Generator
) -> RowLosses:
    def answer(batch: Batch) -> Tensor:
        if logits is not None:
            return logits(batch)
        return logits_of(run_module(model.module, batch.inputs), model.module)

    def of_numbers(batch: Batch) -> Tensor:
        numbers = answer(batch).reshape(len(batch))
        if how == "gold":
            assert batch.targets is not None
            return (numbers - batch.targets).square()[:, None] / 2
        # the expectation over y of ((n - y) grad n)^2 is (grad n)^2
        return numbers[:, None]

    def of_labels(batch: Batch) -> Tensor:
        told = torch.log_softmax(answer(batch), -1)
        if how == "expected":
            return -told * told.detach().mul(0.5).exp()
        if how == "sampled":
            drawn = torch.multinomial(told.detach().exp(), 1, generator=generator)
            return -told.gather(1, drawn)
        assert batch.targets is not None
        return -told.gather(1, batch.targets[:, None])

    if task.kind not in ("classification", "pair"):
        return lambda batch: score_batch(model.module, batch, task).losses[:, None]
    return of_numbers if task.is_regression else of_labels
