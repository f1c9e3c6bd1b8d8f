"""A model that is up in memory, with what turns examples into its inputs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from weightscape.tasks.task import Example, Task


class Encoded(NamedTuple):
    """Examples as a module takes them.

    inputs: by keyword; those whose name is a number ("0", "1") are given by position.
    targets: label numbers [b]; numbers [b]; token numbers [b, t] of the texts to be written, -100
    where there is nothing to write; None for a custom kind, which looks at the records.
    """

    inputs: Mapping[str, Tensor]
    targets: Tensor | None


class Processor(Protocol):
    """Turns examples into one batch of a module's inputs and targets.

    identity: equal for two processors that turn every example into the same batch; prepared
    batches are shared by models whose processors have one identity.
    """

    identity: str

    def __call__(self, examples: Sequence[Example], task: Task) -> Encoded:
        """Turn examples into one padded batch, as long as its longest example."""
        ...

    def lengths(self, examples: Sequence[Example], task: Task) -> list[int]:
        """Tell how long examples are: batches are made of examples of like length."""
        ...


@runtime_checkable
class RowEncoder(Protocol):
    """A processor whose costly part is done row by row, so that it can be done once.

    `pad(encode(examples, task))` is what calling the processor gives, for any examples in any
    order: a row's encoding depends on no other row.
    """

    def encode(self, examples: Sequence[Example], task: Task) -> list[Any]:
        """Turn each example into what `pad` takes, whose `len` is that of `lengths`."""
        ...

    def pad(self, rows: Sequence[Any]) -> Encoded:
        """Make one batch of encoded rows, as long as its longest."""
        ...


@dataclass(frozen=True, slots=True)
class LiveModel:
    """A module that can be run, its processor, and what its head was made for.

    labels: the labels that its stored head was made for, () for a head that predicts a number; None
    where it has no such head (a bare backbone, a language model, a head just drawn, or a plain
    module whose maker did not say).
    head: name prefixes of the module's tensors that lie outside its backbone.
    adapted: the tensors that an adapter added or trained, where the model is a base that carries
    an adapter; None for a whole model.
    folder: where it came from, if it came from a folder.
    drawn: whether its head was just drawn by chance, because it had none for the task.
    """

    name: str
    module: nn.Module
    processor: Processor
    labels: tuple[str, ...] | None = None
    head: tuple[str, ...] = ()
    adapted: frozenset[str] | None = None
    folder: Path | None = None
    tokenizer: Any = None
    drawn: bool = False

    @property
    def device(self) -> torch.device:
        """Tell where the module's parameters are."""
        first = next(self.module.parameters(), None)
        return torch.device("cpu") if first is None else first.device
