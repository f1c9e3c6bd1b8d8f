"""The few rows that candidates are judged on, in one random order and in growing blocks."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from weightscape.errors import BadInput
from weightscape.tasks.batches import Batch, prepare
from weightscape.tasks.live import LiveModel
from weightscape.tasks.task import Example, Task

FIRST_BLOCK = 32
"""Rows after which a race looks for the first time; each further look doubles what was read."""


@dataclass(frozen=True, slots=True)
class DevRows:
    """Tokenised rows in the order in which every candidate reads them.

    examples: in that order. blocks: batches, whose `order` counts into `examples`; after each
    block a race looks. ends: how many rows have been read after each block.
    """

    examples: tuple[Example, ...]
    blocks: tuple[tuple[Batch, ...], ...]
    ends: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.examples)

    @property
    def batches(self) -> tuple[Batch, ...]:
        """Give the batches of all blocks."""
        return tuple(batch for block in self.blocks for batch in block)

    @property
    def targets(self) -> Tensor | None:
        """Give the targets [n] in the order of `examples`; None where they are no single numbers.

        Label numbers, or the numbers of a regression.
        """
        parts = [batch.targets for batch in self.batches]
        if any(part is None or part.ndim != 1 for part in parts):
            return None
        found = torch.cat([part for part in parts if part is not None])
        return torch.empty_like(found).index_copy_(0, self.places, found)

    @property
    def places(self) -> Tensor:
        """Tell where each row of the batches, one after the other, stands among `examples`."""
        return torch.cat([batch.order for batch in self.batches])


def order_rows(
    model: LiveModel,
    task: Task,
    rows: Sequence[Example],
    *,
    first: int = FIRST_BLOCK,
    batch: int = 64,
    seed: int = 0,
) -> DevRows:
    """Shuffle rows, cut them into blocks and tokenise them once.

    The order is random, so that the rows read at any look are a fair sample of all: the race's
    error rate rests on that. Within a block rows are sorted by length, to save padding.

    Raises BadInput for no rows, or a first block below 1.
    """
    if not rows or first < 1:
        raise BadInput(f"a search needs rows and blocks of them; got {len(rows)} and {first}")
    shuffled = np.random.default_rng(seed).permutation(len(rows)).tolist()
    examples = tuple(rows[i] for i in shuffled)
    ends = _ends(len(rows), first)
    blocks = []
    for start, end in zip((0, *ends[:-1]), ends, strict=True):
        part = replace(task, splits={"block": examples[start:end]})
        made = prepare(model, part, "block", batch=batch)
        blocks.append(tuple(replace(it, order=it.order + start) for it in made))
    return DevRows(examples, tuple(blocks), ends)


def _ends(count: int, first: int) -> tuple[int, ...]:
    """Double what is read at each look; a last block smaller than `first` joins the one before.

    >>> _ends(100, 32), _ends(500, 32), _ends(20, 32)
    ((32, 64, 100), (32, 64, 128, 256, 500), (20,))
    """
    ends = []
    end = first
    while end + first <= count:
        ends.append(end)
        end *= 2
    return (*ends, count)
