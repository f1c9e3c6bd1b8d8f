"""What fine-tuning leaves behind: a model folder, or an adapter's, that other tools can open."""

import tempfile
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from weightscape.io import write_checkpoint
from weightscape.io.json_files import read_json
from weightscape.tasks.adapters import merge_adapter, write_adapter
from weightscape.tasks.live import LiveModel
from weightscape.tasks.models import companion_files, config_dict


def write_model(model: LiveModel, folder: Path, *, parent: str, merge: bool = False) -> None:
    """Write a model that was trained: an adapter folder where it carries one, else a whole model.

    With `merge` a LoRA is taken into a whole model first. The tokenizer and what else prepares
    its inputs are put beside a whole model's weights. `parent`: the base that an adapter names.
    """
    if model.adapted is not None and not merge:
        write_adapter(model.module, folder, parent=parent, names=model.adapted)
        return
    whole = merge_adapter(model.module) if merge else model.module
    write_checkpoint(
        folder,
        on_cpu(whole.state_dict()),
        config=_config(model, whole),
        extra_files=_companions(model),
        overwrite=True,  # a run that was killed while it wrote may have left one
    )


def on_cpu(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Bring tensors to the CPU; those that share their elements still do."""
    brought: dict[tuple[Any, ...], Tensor] = {}
    out = {}
    for name, tensor in state.items():
        same = (tensor.data_ptr(), tensor.shape, tensor.stride(), tensor.dtype)
        if tensor.numel() == 0 or tensor.device.type == "cpu":
            out[name] = tensor.detach().cpu()
        else:
            out[name] = brought.setdefault(same, tensor.detach().cpu())
    return out


def _config(model: LiveModel, whole: nn.Module) -> dict[str, Any] | None:
    if hasattr(getattr(whole, "config", None), "to_dict"):
        return config_dict(whole)
    if model.folder is not None and (model.folder / "config.json").is_file():
        kept = dict(read_json(model.folder / "config.json"))
        kept.pop("_name_or_path", None)
        return kept
    return None


def _companions(model: LiveModel) -> dict[str, bytes]:
    """Read the files that prepare a model's inputs, from its folder or out of its tokenizer."""
    if model.folder is not None and model.folder.is_dir():
        return companion_files(model.folder)
    if hasattr(model.tokenizer, "save_pretrained"):
        with tempfile.TemporaryDirectory() as folder:
            model.tokenizer.save_pretrained(folder)
            return companion_files(Path(folder))
    return {}
