"""Text models up from local folders, quietly and without touching global random state."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from weightscape.errors import BadInput, MissingExtra, NotFound

TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    "spiece.model",
    "sentencepiece.bpe.model",
    "added_tokens.json",
)


def default_device() -> torch.device:
    """Choose CUDA where there is some, the CPU otherwise."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def import_transformers() -> Any:
    """Import transformers, or say which extra is missing."""
    try:
        import transformers
    except ImportError as error:
        raise MissingExtra("tasks", "transformers") from error
    return transformers


def load_tokenizer(folder: Path) -> Any:
    """Load the tokenizer of a local model folder.

    Through AutoTokenizer: naming a tokenizer class with a vocabulary file alone turns every word
    into the unknown token in transformers 5.
    """
    _must_be_whole_model(folder)
    transformers = import_transformers()
    with _quiet(transformers):
        return transformers.AutoTokenizer.from_pretrained(str(folder), local_files_only=True)


def tokenizer_files(folder: Path) -> dict[str, bytes]:
    """Read the tokenizer's files of a model folder, to be put beside a model made from it."""
    return {
        name: (folder / name).read_bytes() for name in TOKENIZER_FILES if (folder / name).is_file()
    }


def load_classifier(folder: Path, labels: Sequence[str], *, init_seed: int = 0) -> nn.Module:
    """Load a model folder as a classifier with these labels, in float32 on the CPU.

    The head is kept when the folder's model was made for exactly these labels; otherwise a new
    one is drawn with `init_seed`, also where the old one happens to have the same shape.
    """
    _must_be_whole_model(folder)
    transformers = import_transformers()
    names = dict(enumerate(labels))
    with _quiet(transformers), torch.random.fork_rng(devices=[]):
        old = transformers.AutoConfig.from_pretrained(str(folder), local_files_only=True)
        model: nn.Module = transformers.AutoModelForSequenceClassification.from_pretrained(
            str(folder),
            num_labels=len(names),
            id2label=names,
            label2id={label: i for i, label in names.items()},
            ignore_mismatched_sizes=True,
            local_files_only=True,
            dtype=torch.float32,
        )
    if not _is_classifier_of(old, names):
        _draw_head(model, init_seed)
    return model


def head_modules(model: nn.Module) -> list[nn.Module]:
    """Tell which parts of a transformers model lie outside its backbone."""
    backbone = getattr(model, "base_model_prefix", "")
    return [module for name, module in model.named_children() if name != backbone]


def config_dict(model: nn.Module) -> dict[str, Any]:
    """Give a model's configuration as data, without the path that it was loaded from."""
    config: dict[str, Any] = model.config.to_dict()  # type: ignore[union-attr, operator]
    config.pop("_name_or_path", None)
    config["architectures"] = [type(model).__name__]
    return config


def _is_classifier_of(config: Any, names: dict[int, str]) -> bool:
    made_for = {int(i): str(label) for i, label in (config.id2label or {}).items()}
    heads = [name for name in config.architectures or [] if "Classification" in name]
    return bool(heads) and made_for == names


def _draw_head(model: nn.Module, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    spread = float(getattr(model.config, "initializer_range", 0.02))
    for module in (m for head in head_modules(model) for m in head.modules()):
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=spread, generator=generator)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.LayerNorm):
            module.reset_parameters()


def _must_be_whole_model(folder: Path) -> None:
    if (folder / "adapter_config.json").is_file():
        raise BadInput(f"{folder} is an adapter, not a whole model; merge it into its base first")
    if not (folder / "config.json").is_file():
        raise NotFound(f"{folder} is not a model folder: it has no config.json")


@contextmanager
def _quiet(transformers: Any) -> Iterator[None]:
    """Keep transformers from writing load reports and bars to the terminal."""
    log = transformers.utils.logging
    level, bars = log.get_verbosity(), log.is_progress_bar_enabled()
    log.set_verbosity_error()
    log.disable_progress_bar()
    try:
        yield
    finally:
        log.set_verbosity(level)
        if bars:
            log.enable_progress_bar()
