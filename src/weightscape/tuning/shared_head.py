"""One initial head for all models of a blend: heads of different starts do not correspond."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from weightscape.errors import BadInput
from weightscape.io import open_checkpoint, write_checkpoint
from weightscape.io.json_files import read_json
from weightscape.starts.heads import set_head
from weightscape.tasks.fingerprint import task_fingerprint
from weightscape.tasks.live import LiveModel
from weightscape.tasks.task import Task

HeadChoice = Literal["probe", "drawn"]
"""A linear probe of the target's training rows, or weights drawn by a seed."""

_FOLDER = ".head"  # hidden, so that nobody takes it for a model
_TOLD = "head.json"


@dataclass(frozen=True, slots=True)
class SharedHead:
    """The tensors of a head by their names in the module, and where it came from in words."""

    tensors: Mapping[str, Tensor]
    why: str


def has_head(task: Task) -> bool:
    """Tell whether a task is answered by a head that is made for it: labels and numbers are."""
    return task.kind in ("classification", "pair")


def begin_head(
    model: LiveModel, task: Task, choice: HeadChoice, seed: int, where: str
) -> SharedHead:
    """Make a head at what stands in the module, in place, and give a copy.

    where: in words, what stands there. Raises BadInput for training rows of one label only.
    """
    if choice not in ("probe", "drawn"):
        raise BadInput(f"a shared head is 'probe' or 'drawn', got {choice!r}")
    set_head(model, task, choice, seed)
    why = (
        f"a linear probe of {len(task.rows('train'))} training rows, fitted at {where}"
        if choice == "probe"
        else f"drawn by the seed {seed}"
    )
    state = model.module.state_dict()
    heads = {name: it.clone().cpu() for name, it in state.items() if name.startswith(model.head)}
    return SharedHead(heads, why)


def put_head(model: LiveModel, head: SharedHead, task: Task) -> LiveModel:
    """Put a head into a module, in place; give the model as one that is made for the task."""
    state = model.module.state_dict()
    with torch.no_grad():
        for name, tensor in head.tensors.items():
            if name not in state or state[name].shape != tensor.shape:
                raise BadInput(
                    f"{model.name} has no tensor {name!r} of the shape {list(tensor.shape)} that "
                    "the shared head has; it was begun for models of another kind"
                )
            state[name].copy_(tensor)
    return replace(model, labels=task.labels, drawn=False)


def keep_head(head: SharedHead, task: Task, choice: HeadChoice, folder: Path) -> None:
    """Keep a head beside the models that start from it."""
    told = {"task_fingerprint": task_fingerprint(task), "choice": choice, "why": head.why}
    write_checkpoint(
        folder / _FOLDER,
        dict(head.tensors),
        extra_files={_TOLD: (json.dumps(told, indent=2) + "\n").encode()},
        overwrite=True,
    )


def kept_head(folder: Path, task: Task, choice: HeadChoice | None = None) -> SharedHead | None:
    """Give the head that the models of a folder start from; None where there is none.

    Raises BadInput for one that was begun for other rows, or otherwise.
    """
    place = folder / _FOLDER
    if not (place / _TOLD).is_file():
        return None
    told = read_json(place / _TOLD)
    wanted = task_fingerprint(task)
    if told.get("task_fingerprint") != wanted or choice not in (None, told.get("choice")):
        raise BadInput(
            f"{folder} has models whose head was begun for another task or other rows, or in "
            f"another way than {choice!r}; choose another folder, or remove it"
        )
    with open_checkpoint(place) as stored:
        tensors = {name: stored.tensor(name) for name in (*stored.tensors, *stored.tied)}
    return SharedHead(tensors, str(told.get("why", "")))
