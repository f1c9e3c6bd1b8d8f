"""What a model's answers are worth: a loss and a prediction for every row, by a task's kind."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from weightscape.errors import BadInput, WeightscapeError
from weightscape.tasks.batches import Batch
from weightscape.tasks.callables import telling_failure
from weightscape.tasks.processors import NOT_WRITTEN
from weightscape.tasks.task import Task


@dataclass(frozen=True, slots=True)
class RowScores:
    """Scores of the rows of a batch, in the batch's order.

    losses [b]: with gradients; cross-entropy in nats, squared error, or the mean over the tokens
    that were to be written. predictions [b]: label numbers or numbers; None where texts would have
    to be written out. gold_probabilities [b]: of the right answer, a text's being the geometric
    mean over its tokens; NaN for numbers. correct [b]: 1 or 0, NaN where that is not known.
    probabilities [b, labels]: of every label, for kinds that have labels.
    others: further scores of a custom kind, each [b].
    """

    losses: Tensor
    predictions: Tensor | Sequence[Any] | None
    gold_probabilities: Tensor
    correct: Tensor
    probabilities: Tensor | None = None
    others: Mapping[str, Tensor] = field(default_factory=dict)


def score_batch(module: nn.Module, batch: Batch, task: Task) -> RowScores:
    """Run a module on a batch and score its answers; `losses` carries gradients.

    Raises BadInput where the module's answer does not fit the task, saying how.
    """
    return _SCORERS[task.kind](module, batch, task)


def run_module(module: nn.Module, inputs: Mapping[str, Tensor], **more: Any) -> Any:
    """Call a module: inputs whose names are numbers go by position, the others by keyword.

    Raises BadInput where the module cannot take them.
    """
    placed = [part for name, part in inputs.items() if name.isdigit()]
    named = {name: part for name, part in inputs.items() if not name.isdigit()}
    try:
        return module(*placed, **named, **more)
    except torch.OutOfMemoryError:
        raise
    except (ValueError, TypeError, IndexError, RuntimeError) as error:
        if isinstance(error, WeightscapeError):
            raise
        given = ", ".join(f"{name} {list(part.shape)}" for name, part in inputs.items())
        reason = " ".join(str(error).split())[:300]
        raise BadInput(f"{type(module).__name__} cannot be run on {given}: {reason}") from error


def logits_of(output: Any, module: nn.Module) -> Tensor:
    """Find the logits in what a module gave, as float32.

    A tensor; an object or mapping with `logits`; a tuple that begins with them.
    """
    found = output
    if isinstance(output, Mapping):
        found = output.get("logits")
    elif hasattr(output, "logits"):
        found = output.logits
    elif isinstance(output, tuple | list) and output:
        found = output[0]
    if not isinstance(found, Tensor):
        raise BadInput(
            f"{type(module).__name__} gave {type(output).__name__}; a task needs logits: a tensor, "
            "or an output with .logits"
        )
    return found.float()


def _score_labels(module: nn.Module, batch: Batch, task: Task) -> RowScores:
    assert batch.targets is not None
    logits = logits_of(run_module(module, batch.inputs), module)
    if task.is_regression:
        return _score_numbers(logits, batch.targets, module)
    if logits.ndim != 2 or logits.shape != (len(batch), len(task.labels)):
        raise BadInput(
            f"{type(module).__name__} gave logits of shape {list(logits.shape)} for {len(batch)} "
            f"rows of task {task.name!r}, which has {len(task.labels)} labels"
        )
    each = torch.log_softmax(logits, -1)
    losses = nn.functional.nll_loss(each, batch.targets, reduction="none")
    predictions = logits.argmax(-1)
    return RowScores(
        losses,
        predictions,
        torch.exp(-losses.detach()),
        (predictions == batch.targets).float(),
        each.detach().exp(),
    )


def _score_numbers(logits: Tensor, targets: Tensor, module: nn.Module) -> RowScores:
    numbers = logits.squeeze(-1) if logits.ndim == 2 and logits.shape[1] == 1 else logits
    if numbers.shape != targets.shape:
        raise BadInput(
            f"{type(module).__name__} gave answers of shape {list(logits.shape)} for "
            f"{len(targets)} rows of numbers; it should give one number a row"
        )
    nothing = torch.full_like(targets, torch.nan)
    return RowScores((numbers - targets).square(), numbers.detach(), nothing, nothing)


def _score_written(module: nn.Module, batch: Batch, task: Task) -> RowScores:
    """Score an encoder-decoder's targets; it is given them to shift them by a token itself."""
    assert batch.targets is not None
    output = run_module(module, batch.inputs, labels=batch.targets)
    return _score_tokens(logits_of(output, module), batch.targets, module)


def _score_continued(module: nn.Module, batch: Batch, task: Task) -> RowScores:
    """Score what a causal model gives to each token of a target, of all that stands before it."""
    assert batch.targets is not None
    logits = logits_of(run_module(module, batch.inputs), module)
    wanted = batch.targets[:, 1:]
    # what was put before the text (prompt tuning) is answered too: count from the end
    return _score_tokens(logits[:, -wanted.shape[1] - 1 : -1], wanted, module)


def _score_tokens(logits: Tensor, targets: Tensor, module: nn.Module) -> RowScores:
    if logits.shape[:2] != targets.shape:
        raise BadInput(
            f"{type(module).__name__} gave logits of shape {list(logits.shape)} for targets of "
            f"shape {list(targets.shape)}; a task of texts needs a language model"
        )
    each = nn.functional.cross_entropy(
        logits.flatten(0, 1), targets.flatten(), ignore_index=NOT_WRITTEN, reduction="none"
    ).view_as(targets)
    count = (targets != NOT_WRITTEN).sum(-1)
    losses = each.sum(-1) / count
    return RowScores(
        losses, None, torch.exp(-losses.detach()), torch.full_like(losses.detach(), torch.nan)
    )


def _score_custom(module: nn.Module, batch: Batch, task: Task) -> RowScores:
    if task.function is None:
        raise BadInput(f"task {task.name!r} is of kind custom and names no function")
    with telling_failure(task.function, f"task {task.name!r}: its function"):
        given = task.function(module, [example.inputs for example in batch.examples])
    if isinstance(given, RowScores):
        return given
    who = f"the function of task {task.name!r}"
    if not isinstance(given, Mapping) or "losses" not in given:
        raise BadInput(f"{who} gave {type(given).__name__}; it should give {{'losses': [n], ...}}")
    known = ("losses", "predictions", "gold_probabilities", "correct", "scores")
    strange = sorted(set(given) - set(known))
    if strange:
        raise BadInput(f"{who} gave {strange[0]!r}, which nothing reads; known: {', '.join(known)}")
    rows = len(batch)
    losses = _row_tensor(given["losses"], rows, f"{who}: losses")
    nothing = torch.full((rows,), torch.nan, device=losses.device)

    def optional(name: str) -> Tensor:
        return (
            nothing if given.get(name) is None else _row_tensor(given[name], rows, f"{who}: {name}")
        )

    predictions = given.get("predictions")
    if predictions is not None and len(predictions) != rows:
        raise BadInput(f"{who}: predictions are {len(predictions)} for {rows} rows")
    scores = given.get("scores") or {}
    return RowScores(
        losses,
        predictions,
        optional("gold_probabilities").detach(),
        optional("correct").detach(),
        None,
        {
            name: _row_tensor(it, rows, f"{who}: score {name!r}").detach()
            for name, it in scores.items()
        },
    )


def _row_tensor(values: Any, rows: int, what: str) -> Tensor:
    try:
        if isinstance(values, list | tuple) and values and isinstance(values[0], Tensor):
            values = torch.stack(list(values))  # as numbers they would lose their gradients
        numbers = torch.as_tensor(values).float()
    except (TypeError, ValueError, RuntimeError):
        raise BadInput(f"{what} should be {rows} numbers, got {type(values).__name__}") from None
    if numbers.shape != (rows,):
        raise BadInput(f"{what} should be [{rows}], one number a row, got {list(numbers.shape)}")
    return numbers


_SCORERS: Mapping[str, Callable[[nn.Module, Batch, Task], RowScores]] = {
    "classification": _score_labels,
    "pair": _score_labels,
    "seq2seq": _score_written,
    "causal": _score_continued,
    "custom": _score_custom,
}
