"""What a fine-tuning starts from: a folder, or a model that is up already."""

import copy
from dataclasses import replace
from hashlib import blake2b
from pathlib import Path

import torch

from weightscape.errors import BadInput
from weightscape.io import fingerprint, open_checkpoint
from weightscape.tasks.bases import find_base, is_adapter, peft_type
from weightscape.tasks.live import LiveModel
from weightscape.tasks.models import load_model
from weightscape.tasks.task import Task


def load_start(start: str | Path | LiveModel, task: Task, *, init_seed: int = 0) -> LiveModel:
    """Bring a start up for a task, with a head drawn by `init_seed` where it has none for it.

    Of a live model a copy is given, with the head that it has. A LoRA is merged into its base;
    for the other adapters, which no whole model can stand for, BadInput is raised.
    """
    if isinstance(start, LiveModel):
        return replace(start, module=copy.deepcopy(start.module))
    adapter = is_adapter(Path(start))
    if adapter and peft_type(Path(start)) != "LORA":
        raise BadInput(
            f"{start} is an adapter of the kind {peft_type(Path(start))}, which cannot be merged "
            "into its base (only LoRA can); start from its base, or from a whole model"
        )
    model = load_model(
        start, task, init_seed=init_seed, merge_adapter=adapter, device="cpu", dtype=torch.float32
    )
    if not adapter:
        return model
    model.module.requires_grad_(True)  # which the base under an adapter had not
    # what prepares its inputs lies with the base
    base = Path(find_base(Path(start)))
    return replace(model, folder=base if base.is_dir() else None)


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
