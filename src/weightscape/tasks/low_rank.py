"""LoRA and prefixes through peft: tensors beside the weights, as an adapter folder or merged in."""

import copy
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import torch
from torch import nn

from weightscape.errors import BadInput, MissingExtra

QUERIES_AND_VALUES = ("query", "value", "q_proj", "v_proj", "q_lin", "v_lin", "q", "v")


def import_peft() -> Any:
    """Import peft, or say which extra is missing."""
    try:
        import peft
    except ImportError as error:
        raise MissingExtra("tasks", "peft") from error
    return peft


def add_factors(
    model: nn.Module,
    *,
    rank: int,
    seed: int,
    kind: str = "classification",
    head: Sequence[str] = (),
    places: Sequence[str] = (),
) -> nn.Module:
    """Put trainable low-rank factors on the attention of a model and freeze the rest.

    The head stays trainable. `seed` draws the factors; global random state is left as it was.
    `head`: name prefixes of the head, where peft does not know the model's kind; `places`: shell
    patterns of the modules to be adapted instead of queries and values.

    Raises BadInput when no module is at these places.
    """
    peft = import_peft()
    task_type = peft_task(model, kind)
    config = peft.LoraConfig(
        task_type=task_type,
        r=rank,
        lora_alpha=2 * rank,
        lora_dropout=0.0,
        target_modules=_targets(model, places),
        # GPT-2's Conv1D keeps its weights as (in, out); the stored adapter must say so
        fan_in_fan_out=any(type(module).__name__ == "Conv1D" for module in model.modules()),
        modules_to_save=None if task_type else _kept_whole(head),
    )
    return _wrap(model, config, seed)


def add_prefix(
    model: nn.Module, *, tokens: int, seed: int, kind: str, longest: int = 0
) -> nn.Module:
    """Let each layer of a transformers model attend to trainable vectors, and freeze the rest.

    longest: tokens of the longest text; the prefix takes positions of its own before them.

    Raises BadInput for a model that peft cannot put a prefix on, or without these positions.
    """
    peft = import_peft()
    room = getattr(getattr(model, "config", None), "max_position_embeddings", None)
    if isinstance(room, int) and tokens + longest > room:
        raise BadInput(
            f"{tokens} prefix_tokens before texts of {longest} tokens need {tokens + longest} "
            f"positions, but {type(model).__name__} has {room}; shorten one of them"
        )
    task_type = peft_task(model, kind)
    if task_type is None:
        raise BadInput(
            f"a prefix needs a transformers text model, not {type(model).__name__}; "
            "take another method"
        )
    config = peft.PrefixTuningConfig(task_type=task_type, num_virtual_tokens=tokens)
    try:
        return _wrap(model, config, seed)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        reason = str(error).partition("\n")[0]
        raise BadInput(f"peft cannot put a prefix on {type(model).__name__}: {reason}") from None


def merged(model: nn.Module) -> nn.Module:
    """Give a whole model that has taken the factors in; the one given goes on as it was."""
    whole: nn.Module = copy.deepcopy(model).merge_and_unload()  # type: ignore[operator]
    return whole


def write_peft_adapter(model: nn.Module, folder: Path, *, parent: str) -> None:
    """Write an ordinary PEFT adapter folder that names `parent` as its base."""
    for config in model.peft_config.values():  # type: ignore[operator]
        config.base_model_name_or_path = parent
    model.save_pretrained(str(folder), save_embedding_layers=False)  # type: ignore[operator]
    (folder / "README.md").unlink(missing_ok=True)  # an empty card, full of "[More Information]"


def load_peft_adapter(model: nn.Module, folder: Path) -> nn.Module:
    """Put what an adapter folder holds (factors, prefix, head) on its base."""
    peft = import_peft()
    with _quiet():
        loaded: nn.Module = peft.PeftModel.from_pretrained(model, str(folder))
    return loaded


def peft_task(model: nn.Module, kind: str) -> Any:
    """Tell peft's type of a task; None for modules that it knows nothing of."""
    types = import_peft().TaskType
    if not hasattr(model, "config") or not hasattr(model, "base_model_prefix"):
        return None
    if "ForSequenceClassification" in type(model).__name__:
        return types.SEQ_CLS
    return {"seq2seq": types.SEQ_2_SEQ_LM, "causal": types.CAUSAL_LM}.get(kind)


def _targets(model: nn.Module, places: Sequence[str]) -> list[str] | None:
    """Name the modules to be adapted; None where peft knows them for this kind of model."""
    from peft.utils.constants import TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING as known

    if not places and getattr(getattr(model, "config", None), "model_type", None) in known:
        return None
    named = [name for name, module in model.named_modules() if _is_matrix(module)]
    found = [
        name
        for name in named
        if (
            any(fnmatch(name, pattern) for pattern in places)
            if places
            else name.rpartition(".")[2] in QUERIES_AND_VALUES
        )
    ]
    if not found:
        where = (
            f"match {list(places)}" if places else f"are called {' or '.join(QUERIES_AND_VALUES)}"
        )
        raise BadInput(f"no matrices of {type(model).__name__} {where}; name some by `places`")
    return found


def _kept_whole(head: Sequence[str]) -> list[str] | None:
    """Name a head's modules as peft wants them, which trains and stores them whole."""
    names = [prefix.rstrip(".") for prefix in head]
    for name in names:
        # peft takes every module whose name ends so, its own ones included
        if any(own.endswith(name) for own in ("lora_dropout", "lora_A", "lora_B", "default")):
            raise BadInput(f"peft takes the head {name!r} for a part of its own; rename it")
    return names or None


def _is_matrix(module: nn.Module) -> bool:
    return isinstance(module, nn.Linear) or type(module).__name__ == "Conv1D"


def _wrap(model: nn.Module, config: Any, seed: int) -> nn.Module:
    with torch.random.fork_rng(devices=[]), _quiet():
        torch.manual_seed(seed)
        wrapped: nn.Module = import_peft().get_peft_model(model, config)
    return wrapped


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep back what peft warns of itself: names about to go, settings that it puts right."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=FutureWarning)
        warnings.filterwarnings("ignore", message="fan_in_fan_out is set")
        yield
