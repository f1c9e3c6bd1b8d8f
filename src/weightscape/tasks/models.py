"""Models up from folders, hub ids and factories, without touching global random state."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from weightscape.errors import BadInput, NotFound
from weightscape.io.json_files import read_json
from weightscape.tasks import adapters
from weightscape.tasks.auto_models import IMAGE_SETTINGS, TOKENIZER_FILES, load_auto, telling
from weightscape.tasks.bases import find_base, is_adapter
from weightscape.tasks.heads import head_prefixes, within
from weightscape.tasks.live import LiveModel
from weightscape.tasks.plain_modules import Factory, load_plain_module
from weightscape.tasks.task import Task


def load_model(
    source: str | Path,
    task: Task,
    *,
    factory: Factory | None = None,
    init_seed: int = 0,
    trust_remote_code: bool = False,
    merge_adapter: bool = False,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
) -> LiveModel:
    """Bring up the model that a folder, a file or a hub id holds, for a task.

    Through transformers' Auto class of the task's kind; with `factory` as a plain module (see
    `Factory`). An adapter is put on the base that it names, and with `merge_adapter` taken in. The
    stored head is kept where it was made for exactly the task's labels; otherwise a new one is
    drawn from `init_seed`, also where the old one happens to have the same shape. `dtype` is
    float32 by default; `device` CUDA where there is some. The module is in evaluation mode.

    Raises NotFound, BadCheckpoint, MismatchedModels (which names the tensor), or BadInput where
    the model is of another kind than the task.
    """
    place = usable_device(device)
    if factory is not None and not Path(source).exists():
        raise NotFound(f"{source}: no such file or folder; a factory's module is filled from one")
    local = Path(source) if Path(source).exists() else None
    if local is not None and is_adapter(local):
        model = _load_adapted(
            local, task, factory=factory, init_seed=init_seed, trust_remote_code=trust_remote_code
        )
    elif local is not None and factory is not None:
        model = load_plain_module(local, task, factory, init_seed=init_seed)
    else:
        model = load_auto(source, task, init_seed, trust_remote_code)
    if merge_adapter and model.adapted is not None:
        module = adapters.merge_adapter(model.module, model.name)
        model = replace(model, module=module, adapted=None, head=head_prefixes(module, task))
    model.module.to(device=place, dtype=dtype or torch.float32).eval()
    return model


def default_device() -> torch.device:
    """Choose CUDA where there is some, the CPU otherwise."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def usable_device(wanted: torch.device | str | None) -> torch.device:
    """Give a device that works, the default one where none is wanted; raises BadInput."""
    if wanted is None:
        return default_device()
    try:
        return torch.empty(0, device=wanted).device
    except (RuntimeError, AssertionError) as error:
        reason = str(error).partition("\n")[0]
        raise BadInput(f"device {str(wanted)!r} cannot be used: {reason}") from None


def companion_files(folder: Path) -> dict[str, bytes]:
    """Read the files that a model needs beside weights and configuration.

    What tells how its inputs are made, and the code that its configuration names (`auto_map`).
    """
    names = [name for name in (*TOKENIZER_FILES, *IMAGE_SETTINGS) if (folder / name).is_file()]
    if (folder / "config.json").is_file() and read_json(folder / "config.json").get("auto_map"):
        names += sorted(file.name for file in folder.glob("*.py") if file.is_file())
    return {name: (folder / name).read_bytes() for name in names}


def config_dict(model: nn.Module) -> dict[str, Any]:
    """Give a model's configuration as data, without the path that it was loaded from."""
    config: dict[str, Any] = model.config.to_dict()  # type: ignore[union-attr, operator]
    config.pop("_name_or_path", None)
    config["architectures"] = [type(model).__name__]
    return config


def config_for(live: LiveModel, task: Task) -> dict[str, Any] | None:
    """Give a model's configuration with a task's labels; None where it has no configuration."""
    if not hasattr(getattr(live.module, "config", None), "to_dict"):
        return None
    told = config_dict(live.module)
    if task.labels:
        told["id2label"] = {str(i): label for i, label in enumerate(task.labels)}
        told["label2id"] = {label: i for i, label in enumerate(task.labels)}
    return told


def _load_adapted(folder: Path, task: Task, **how: Any) -> LiveModel:
    base = find_base(folder)
    under = Path(base)
    if under.is_dir() and is_adapter(under):
        raise BadInput(f"{folder}: its base {base} is an adapter itself; merge that one first")
    model = load_model(base, task, device="cpu", **how)
    with telling(str(folder)):
        module, added = adapters.load_adapter(model.module, folder)
    head = within(module, model.head)
    holds_head = any(name.startswith(head) for name in added) if head else False
    return replace(
        model,
        name=folder.name,
        module=module,
        labels=_labels_beside(folder) if holds_head else model.labels,
        drawn=model.drawn and not holds_head,
        head=head,
        adapted=added,
        folder=folder,
    )


def _labels_beside(folder: Path) -> tuple[str, ...] | None:
    """Read what an adapter's head was made for, where its own files say so."""
    for file in ("provenance.json", "adapter_config.json"):
        if (folder / file).is_file():
            labels = read_json(folder / file).get("labels")
            if isinstance(labels, list) and all(isinstance(label, str) for label in labels):
                return tuple(labels)
    return None
