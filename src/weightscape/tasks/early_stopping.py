"""Keeping the weights that did best on held-out rows, and stopping when they get no better."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from weightscape.errors import BadInput


class EarlyStopping:
    """A training's watcher that looks at a loss now and then and remembers the best weights.

    look: gives the loss; it must leave the model as it was. patience: looks in a row without a
    lower loss after which training ends; None for never. step, loss: of the best look so far.
    """

    def __init__(
        self, model: nn.Module, look: Callable[[], float], *, every: int, patience: int | None
    ) -> None:
        self._tensors = _changing(model)
        self._look, self._every, self._patience = look, every, patience
        self._best: list[Tensor] = []
        self._waited = 0
        self.step, self.loss = 0, float("inf")

    def after(self, done: int) -> bool:
        """Look after each `every` steps; tell whether patience is at its end."""
        if done % self._every:
            return False
        loss = self._look()
        if loss < self.loss:
            self.step, self.loss, self._waited = done, loss, 0
            self._best = [tensor.detach().clone() for tensor in self._tensors]
        else:
            self._waited += 1
        return self._patience is not None and self._waited >= self._patience

    def restore_best(self) -> None:
        """Put the best weights back; raises BadInput where none had a finite loss."""
        if not self._best:
            raise BadInput("no look at the validation rows gave a finite loss; try a smaller lr")
        with torch.no_grad():
            for tensor, best in zip(self._tensors, self._best, strict=True):
                tensor.copy_(best)

    def state_dict(self) -> dict[str, Any]:
        """Give what it knows."""
        return {"step": self.step, "loss": self.loss, "waited": self._waited, "best": self._best}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Know again what `state_dict` gave."""
        self.step, self.loss, self._waited = state["step"], state["loss"], state["waited"]
        self._best = [
            best.to(tensor.device)
            for best, tensor in zip(state["best"], self._tensors, strict=False)
        ]


def _changing(model: nn.Module) -> Sequence[Tensor]:
    """List what training changes: the trained parameters and the stored buffers."""
    stored = model.state_dict().keys()
    trained: list[Tensor] = [p for p in model.parameters() if p.requires_grad]
    return trained + [buffer for name, buffer in model.named_buffers() if name in stored]
