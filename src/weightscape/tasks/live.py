"""A model that is up in memory, with what turns examples into its inputs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from weightscape.tasks.task import Example, Task


class Processor(Protocol):
    """Turns examples into one batch of a module's keyword arguments.

    identity: equal for two processors that turn every example into the same batch; prepared
    batches are shared by models whose processors have one identity.
    """

    identity: str

    def __call__(self, examples: Sequence[Example], task: Task) -> Mapping[str, Tensor]:
        """Turn examples into one padded batch, as long as its longest example."""
        ...

    def length(self, example: Example, task: Task) -> int:
        """Tell about how long an example is: batches are made of examples of like length."""
        ...


@dataclass(frozen=True, slots=True)
class LiveModel:
    """A module that can be run, its processor, and what its head was made for.

    labels: the labels of its head; None where it has no classification head of its own (it is a
    bare backbone, a language model, or a plain module whose maker did not say).
    head: name prefixes of the module's tensors that lie outside its backbone.
    adapted: the tensors that an adapter added or trained, where the model is a base that carries
    an adapter; None for a whole model.
    folder: where it came from, if it came from a folder.
    """

    name: str
    module: nn.Module
    processor: Processor
    labels: tuple[str, ...] | None = None
    head: tuple[str, ...] = ()
    adapted: frozenset[str] | None = None
    folder: Path | None = None
    tokenizer: Any = None

    @property
    def device(self) -> torch.device:
        """Tell where the module's parameters are."""
        return next(self.module.parameters()).device
