"""LoRA through peft: factors beside the weights, as an adapter folder or merged in."""

import copy
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from weightscape.errors import MissingExtra


def _peft() -> Any:
    try:
        import peft
    except ImportError as error:
        raise MissingExtra("tasks", "peft") from error
    return peft


def add_factors(model: nn.Module, *, rank: int, seed: int) -> nn.Module:
    """Put trainable low-rank factors on the attention of a classifier and freeze the rest.

    The head stays trainable. `seed` draws the factors; global random state is left as it was.
    """
    peft = _peft()
    config = peft.LoraConfig(
        task_type=peft.TaskType.SEQ_CLS, r=rank, lora_alpha=2 * rank, lora_dropout=0.0
    )
    with torch.random.fork_rng(devices=[]), _quiet():
        torch.manual_seed(seed)
        wrapped: nn.Module = peft.get_peft_model(model, config)
    return wrapped


def merged(model: nn.Module) -> nn.Module:
    """Give a whole model that has taken the factors in; the one given goes on as it was."""
    whole: nn.Module = copy.deepcopy(model).merge_and_unload()  # type: ignore[operator]
    return whole


def write_adapter(model: nn.Module, folder: Path, *, parent: str) -> None:
    """Write an ordinary PEFT adapter folder that names `parent` as its base."""
    for config in model.peft_config.values():  # type: ignore[operator]
        config.base_model_name_or_path = parent
    model.save_pretrained(str(folder), save_embedding_layers=False)  # type: ignore[operator]
    (folder / "README.md").unlink(missing_ok=True)  # an empty card, full of "[More Information]"


def load_adapter(model: nn.Module, folder: Path) -> nn.Module:
    """Put the factors and the head of an adapter folder on its base."""
    peft = _peft()
    with _quiet():
        loaded: nn.Module = peft.PeftModel.from_pretrained(model, str(folder))
    return loaded


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep back the warnings of peft asking transformers for names it is about to drop."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=FutureWarning)
        yield
