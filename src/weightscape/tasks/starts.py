"""What a fine-tuning starts from: a folder, or a model that is up already."""

import copy
from dataclasses import replace
from hashlib import blake2b
from pathlib import Path

import torch

from weightscape.errors import BadInput
from weightscape.io import fingerprint, open_checkpoint
from weightscape.io.layout import ADAPTER_CONFIG
from weightscape.tasks.live import LiveModel
from weightscape.tasks.models import load_model
from weightscape.tasks.task import Task


def load_start(start: str | Path | LiveModel, task: Task, *, init_seed: int = 0) -> LiveModel:
    """Bring a start up for a task, with a head drawn by `init_seed` where it has none for it.

    Of a live model a copy is given, with the head that it has.

    Raises BadInput for an adapter: what is trained on it would belong to neither.
    """
    if isinstance(start, LiveModel):
        return replace(start, module=copy.deepcopy(start.module))
    if (Path(start) / ADAPTER_CONFIG).is_file():
        raise BadInput(f"{start} is an adapter, not a whole model; merge it into its base first")
    return load_model(start, task, init_seed=init_seed, device="cpu", dtype=torch.float32)


def name_of(start: str | Path | LiveModel, *, beside: Path | None = None) -> str:
    """Name a start: a folder by its last part, a hub id as it is.

    beside: where the name must lead to the folder from, by lying next to it; if it does not, the
    folder's absolute path is its name.
    """
    if isinstance(start, LiveModel) and start.folder is None:
        return start.name
    folder = Path(start.folder or "" if isinstance(start, LiveModel) else start).absolute()
    if not folder.exists():
        return str(start)
    far = beside is not None and folder.parent.resolve() != beside.absolute().parent.resolve()
    return str(folder) if far else folder.name


def mark_of(start: str | Path | LiveModel) -> str:
    """Give what tells a start from others: a fingerprint of its contents."""
    if not isinstance(start, LiveModel):
        if not Path(start).exists():
            return f"hub:{start}"
        with open_checkpoint(start) as stored:
            return fingerprint(stored)
    digest = blake2b(digest_size=16)
    for name, tensor in start.module.state_dict().items():
        digest.update(f"{name}|{list(tensor.shape)}|{tensor.dtype}|".encode())
        digest.update(tensor.detach().cpu().reshape(-1).view(torch.uint8).numpy().data)
    return f"live:{digest.hexdigest()}"
