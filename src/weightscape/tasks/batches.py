"""Batches made once: a fair sample of a split, tokenised, sorted by length, padded and kept."""

import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from weightscape.errors import BadInput
from weightscape.tasks.live import Encoded, LiveModel, Processor, RowEncoder
from weightscape.tasks.task import Example, Task

KEPT_BYTES = 512 << 20
_SAMPLING_SEED = 0
# of training rows another: 0 would draw the very rows that a model of data_seed 0 saw first
_TRAINING_SEED = 0x5EED


@dataclass(frozen=True, slots=True)
class Batch:
    """Examples of like length as a module takes them; see `Encoded`.

    order [b]: where each example stands among the sampled rows of its split. examples: themselves.
    """

    inputs: Mapping[str, Tensor]
    targets: Tensor | None
    order: Tensor
    examples: tuple[Example, ...]

    def __len__(self) -> int:
        return len(self.examples)

    def to(self, device: torch.device | str) -> "Batch":
        """Put its tensors on a device; those that are there already are shared."""
        inputs = {name: part.to(device, non_blocking=True) for name, part in self.inputs.items()}
        targets = None if self.targets is None else self.targets.to(device, non_blocking=True)
        return replace(self, inputs=inputs, targets=targets)

    @property
    def nbytes(self) -> int:
        """Tell the size of its tensors."""
        return sum(part.nbytes for part in (*self.inputs.values(), self.order))


def sample_rows(task: Task, split: str, limit: int | None = None) -> tuple[Example, ...]:
    """Take `limit` rows of a split by chance, in the split's order; all where there are no more.

    The same rows at each call, and those of a smaller limit are among those of a larger one. Not
    the first ones: a file that is sorted by label would begin with one label.
    """
    rows = task.rows(split)
    if limit is not None and limit < 1:
        raise BadInput(f"an evaluation needs one row or more, got a limit of {limit}")
    if limit is None or limit >= len(rows):
        return rows
    seed = _TRAINING_SEED if split == "train" else _SAMPLING_SEED
    generator = torch.Generator().manual_seed(seed)
    chosen = torch.randperm(len(rows), generator=generator)[:limit].sort().values
    return tuple(rows[i] for i in chosen.tolist())


def collate(
    processor: Processor,
    examples: Sequence[Example],
    task: Task,
    order: Sequence[int] | None = None,
) -> Batch:
    """Make one batch of examples, as they come."""
    places = range(len(examples)) if order is None else order
    return _batch(processor(examples, task), examples, places)


def prepare(
    model: LiveModel | Processor,
    task: Task,
    split: str,
    *,
    limit: int | None = None,
    batch: int = 64,
) -> tuple[Batch, ...]:
    """Give the batches of a split's sampled rows, on the CPU, longest examples first.

    They are kept in this process and shared by all models whose processors have one identity;
    the oldest go when they take more than 512 MiB together.

    Raises BadInput for a batch or a limit below 1, UnknownName for a split that is not there.
    """
    if batch < 1:
        raise BadInput(f"a batch needs one row or more, got {batch}")
    processor = model.processor if isinstance(model, LiveModel) else model
    rows = task.rows(split)
    # the rows are told apart by their tuple's id, which stays theirs while `_kept` holds them
    key = (
        id(rows),
        task.kind,
        task.max_tokens,
        task.target_tokens,
        limit,
        processor.identity,
        batch,
    )
    found = _kept.get(key)
    if found is None:
        found = _make(processor, sample_rows(task, split, limit), task, batch)
        _kept.put(key, rows, found)
    return found


def _make(
    processor: Processor, rows: Sequence[Example], task: Task, batch: int
) -> tuple[Batch, ...]:
    encoded = processor.encode(rows, task) if isinstance(processor, RowEncoder) else None
    lengths = processor.lengths(rows, task) if encoded is None else list(map(len, encoded))
    # longest first: if the largest batch does not fit in memory, that is known at once
    order = sorted(range(len(rows)), key=lambda i: -lengths[i])
    made = []
    for start in range(0, len(order), batch):
        part = order[start : start + batch]
        examples = [rows[i] for i in part]
        if isinstance(processor, RowEncoder) and encoded is not None:
            made.append(_batch(processor.pad([encoded[i] for i in part]), examples, part))
        else:
            made.append(collate(processor, examples, task, part))
    return tuple(made)


def _batch(encoded: Encoded, examples: Sequence[Example], order: Sequence[int]) -> Batch:
    return Batch(encoded.inputs, encoded.targets, torch.tensor(list(order)), tuple(examples))


class _Kept:
    """The batches used last, up to a number of bytes; safe from several threads."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._held: OrderedDict[Any, tuple[Any, tuple[Batch, ...]]] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def get(self, key: Any) -> tuple[Batch, ...] | None:
        with self._lock:
            if key not in self._held:
                return None
            self._held.move_to_end(key)
            return self._held[key][1]

    def put(self, key: Any, rows: Any, batches: tuple[Batch, ...]) -> None:
        with self._lock:
            if key in self._held:
                return
            self._held[key] = rows, batches
            self._bytes += _size(batches)
            while self._bytes > self.most and len(self._held) > 1:
                self._bytes -= _size(self._held.popitem(last=False)[1][1])


def _size(batches: Sequence[Batch]) -> int:
    return sum(batch.nbytes for batch in batches)


_kept = _Kept(KEPT_BYTES)
