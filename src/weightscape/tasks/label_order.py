"""Heads that answer a task's labels in another order: their rows are put in the task's."""

import copy
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from weightscape.errors import BadInput
from weightscape.io.json_files import read_json
from weightscape.tasks.heads import told_labels
from weightscape.tasks.labels import listed
from weightscape.tasks.live import LiveModel
from weightscape.tasks.models import load_model
from weightscape.tasks.task import Task

Source = str | Path | LiveModel


def load_in_order(source: Source, task: Task, loading: Mapping[str, Any]) -> LiveModel:
    """Bring up a model, its head's rows in the order of the task's labels.

    Two runs may number the same labels differently: row by row, their heads then do not
    correspond, and half way between them lies no head of either. A live model is left as it is.

    Raises BadInput for a head whose rows cannot be put in another order.
    """
    if isinstance(source, LiveModel):
        return _reordered(source, task, shared=True)
    stored = stored_labels(source)
    if stored is None or not _is_permuted(stored, task):
        model = load_model(source, task, **loading)
    else:  # loaded for the labels that it was made for, so that its head is kept
        model = load_model(source, replace(task, labels=stored), **loading)
    return _reordered(model, task, shared=False)


def _is_permuted(labels: tuple[str, ...], task: Task) -> bool:
    return labels != task.labels and sorted(labels) == sorted(task.labels)


def stored_labels(source: str | Path) -> tuple[str, ...] | None:
    """Tell what a folder's configuration numbers its labels by; None where it does not."""
    file = Path(source) / "config.json"
    return told_labels(read_json(file)) if file.is_file() else None


def _reordered(model: LiveModel, task: Task, *, shared: bool) -> LiveModel:
    if model.labels is None or not _is_permuted(model.labels, task):
        return model
    module = copy.deepcopy(model.module) if shared else model.module
    rows = torch.tensor([model.labels.index(label) for label in task.labels])
    last = _answering_layer(module, model)
    with torch.no_grad():
        for parameter in (last.weight, last.bias):
            if parameter is not None:
                parameter.copy_(parameter[rows.to(parameter.device)])
    config = getattr(module, "config", None)
    if hasattr(config, "id2label"):
        config.id2label = dict(enumerate(task.labels))  # type: ignore[union-attr]
        config.label2id = {label: i for i, label in enumerate(task.labels)}  # type: ignore[union-attr]
    return replace(model, module=module, labels=task.labels)


def _answering_layer(module: nn.Module, model: LiveModel) -> nn.Linear:
    """Find the linear layer that gives the answers: the last of the head."""
    assert model.labels is not None
    parts = {
        name: part
        for name, part in module.named_modules()
        if f"{name}.".startswith(model.head) and model.head
    }
    linear = [part for part in parts.values() if isinstance(part, nn.Linear)]
    plain = not any("lora_" in name for name in parts)
    if not linear or linear[-1].out_features != len(model.labels) or not plain:
        raise BadInput(
            f"{model.name} answers its labels in the order {listed(model.labels)}, the task has "
            "another, and its head is no plain linear layer whose rows could follow; take the "
            "head 'probe'"
        )
    return linear[-1]
