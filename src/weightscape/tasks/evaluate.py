"""How well a text model does a task."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from weightscape.progress import Progress, silent
from weightscape.tasks.task import Example, Task


@dataclass(frozen=True, slots=True)
class Scores:
    """A model's scores on the rows of a split. loss: mean cross-entropy, in nats."""

    accuracy: float
    loss: float
    rows: int


def encode(tokenizer: Any, examples: Sequence[Example], max_tokens: int) -> dict[str, torch.Tensor]:
    """Turn examples into one padded batch, as long as its longest text."""
    texts = [example.inputs for example in examples]
    batch = tokenizer(
        texts, truncation=True, max_length=max_tokens, padding=True, return_tensors="pt"
    )
    return {**batch, "labels": torch.tensor([example.target for example in examples])}


def evaluate(
    model: nn.Module,
    tokenizer: Any,
    task: Task,
    *,
    split: str = "test",
    limit: int | None = None,
    batch: int = 64,
    progress: Progress = silent,
) -> Scores:
    """Evaluate a classifier on a split, or on its first `limit` rows."""
    rows = sorted(task.rows(split)[:limit], key=lambda example: len(example.inputs))
    device = next(model.parameters()).device
    was_training = model.training
    model.eval()
    right, loss = 0, 0.0
    try:
        with torch.inference_mode(), progress.stage("evaluating", total=len(rows)) as advance:
            for start in range(0, len(rows), batch):
                inputs = encode(tokenizer, rows[start : start + batch], task.max_tokens)
                gold = inputs.pop("labels").to(device)
                logits = model(**{k: v.to(device) for k, v in inputs.items()}).logits.float()
                right += int((logits.argmax(-1) == gold).sum())
                loss += float(nn.functional.cross_entropy(logits, gold, reduction="sum"))
                advance(len(gold))
    finally:
        model.train(was_training)
    return Scores(right / len(rows), loss / len(rows), len(rows))
