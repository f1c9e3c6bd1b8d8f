"""Where the head of a short run begins, and what it reads."""

from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from weightscape.errors import BadInput
from weightscape.tasks.features import features
from weightscape.tasks.heads import draw_head, last_linear
from weightscape.tasks.live import LiveModel
from weightscape.tasks.probe import Regularisation, fit_probe
from weightscape.tasks.task import Task

HeadStart = Literal["probe", "drawn", "zero"]
"""Where a run's head begins: a linear probe of the rows that are fitted on (Kumar et al. 2022,
arXiv:2202.10054), weights drawn by the run's seed, or zeros."""


def head_layer(model: LiveModel) -> str | None:
    """Name the linear layer that gives a head's answers; None where the head has none."""
    name = last_linear(model.module)
    return name if name is not None and f"{name}.".startswith(tuple(model.head)) else None


def head_features(model: LiveModel) -> str:
    """Name the features that the head of a run reads, as a pooling.

    Where something is drawn before the head's last layer, those that it goes into are noise: then
    what the backbone usually gives is read ("auto").
    """
    name = head_layer(model)
    before = (it for it in model.module.state_dict() if it.startswith(tuple(model.head)))
    alone = name is not None and all(it.startswith(f"{name}.") for it in before)
    return name if name is not None and alone else "auto"


def set_head(
    model: LiveModel,
    task: Task,
    head: HeadStart,
    seed: int,
    regularisation: Regularisation = "cv",
) -> None:
    """Put a head where a run begins, in place; training rows are all that it looks at.

    With "probe" the head's last linear layer becomes the linear probe of what goes into it; what
    stands before it in the head, if anything does, is drawn.
    """
    draw_head(model.module, model.head, seed)
    if head == "drawn":
        return
    name = head_layer(model)
    if name is None:
        raise BadInput(
            f"the head of {model.name} has no linear layer that a probe could be put into; "
            "take head='drawn'"
        )
    layer = model.module.get_submodule(name)
    assert isinstance(layer, nn.Linear)
    if head == "zero":
        weight, bias = np.zeros(layer.weight.shape), np.zeros(len(layer.weight))
    else:
        weight, bias = _probe(model, task, name, regularisation)
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(weight))
        if layer.bias is not None:
            layer.bias.copy_(torch.from_numpy(bias))


def _probe(
    model: LiveModel, task: Task, name: str, regularisation: Regularisation
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    read = features(model, task, "train", pooling=name)
    if not torch.isfinite(read).all():
        raise BadInput(f"what goes into {name!r} of {model.name} is not finite at this point")
    targets = [row.target for row in task.rows("train")]
    fitted = fit_probe(
        read, targets, read, targets, label_count=len(task.labels), regularisation=regularisation
    )
    seen = np.isin(np.arange(len(fitted.bias)), targets) | (not task.labels)
    # a label that no row has is unlikely, not impossible: its gradients must not vanish
    return fitted.weight, np.where(seen, fitted.bias, fitted.bias[seen].min() - 2.0)
