"""Models through transformers' Auto classes, with every doubt about their files in one line."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import nn

from weightscape.errors import (
    BadCheckpoint,
    BadInput,
    MismatchedModels,
    MissingExtra,
    NotFound,
    WeightscapeError,
)
from weightscape.io import open_checkpoint
from weightscape.tasks.bases import looks_like_path
from weightscape.tasks.claimed_sizes import no_larger_than_stored
from weightscape.tasks.heads import draw_head, head_prefixes, suits, told_labels
from weightscape.tasks.hub import needs_cache
from weightscape.tasks.live import LiveModel, Processor
from weightscape.tasks.processors import (
    ArrayProcessor,
    ImageProcessor,
    RecordProcessor,
    TextProcessor,
    holds_texts,
)
from weightscape.tasks.task import Task
from weightscape.tasks.token_numbers import check_token_numbers

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
IMAGE_SETTINGS = ("preprocessor_config.json", "processor_config.json")

# models whose positions begin behind the padding token's number
_OFFSET_POSITIONS = (
    "roberta",
    "xlm-roberta",
    "camembert",
    "mpnet",
    "longformer",
    "roberta-prelayernorm",
)
_AUTO = {
    "seq2seq": "AutoModelForSeq2SeqLM",
    "causal": "AutoModelForCausalLM",
    "custom": "AutoModel",
}


def load_auto(source: str | Path, task: Task, seed: int, trust: bool) -> LiveModel:
    """Load what a folder or a hub id holds by the Auto class of the task's kind, on the CPU.

    `seed` draws what the files lack; `trust`: run code that the model brings. For the rest see
    `weightscape.tasks.models.load_model`.
    """
    where = str(source)
    local = Path(source) if Path(source).exists() else None
    if local is not None:
        _must_be_model(local)
    elif looks_like_path(where):
        raise NotFound(f"{where}: no such folder; give a model's folder or a hub id")
    transformers = import_transformers()
    here_only = local is not None or needs_cache(where)
    settings: dict[str, Any] = {"trust_remote_code": trust, "local_files_only": here_only}
    bounded = nullcontext() if local is None else no_larger_than_stored(local)
    with (
        _quiet(transformers),
        telling(where),
        bounded,
        torch.random.fork_rng(devices=[]),
    ):
        torch.manual_seed(seed)  # of tensors that are drawn because the files lack them
        config = transformers.AutoConfig.from_pretrained(where, **settings)
        processor, tokenizer = _processor(transformers, where, local, task, config, settings)
        told = _labels_of(config)
        module, info = _module(transformers, where, task, processor, settings)
        head = head_prefixes(module, task)
        drawn = _check_loaded(where, info, module, task)
        _check_fit(where, module, task, processor)
    labels = None
    if task.kind in ("classification", "pair"):
        drawn = drawn or not suits(told, task)
        labels = None if drawn else task.labels
        if drawn:
            draw_head(module, head, seed)
    name = local.name if local is not None else where
    return LiveModel(
        name, module, processor, labels, head, folder=local, tokenizer=tokenizer, drawn=drawn
    )


def _module(
    transformers: Any, where: str, task: Task, processor: Processor, settings: dict[str, Any]
) -> tuple[nn.Module, Any]:
    more: dict[str, Any] = {}
    auto = _AUTO.get(task.kind, "")
    if not auto:
        images = not isinstance(processor, TextProcessor)
        auto = "AutoModelForImageClassification" if images else "AutoModelForSequenceClassification"
        names = dict(enumerate(task.labels or ("number",)))
        more = {
            "num_labels": len(names),
            "id2label": names,
            "label2id": {label: i for i, label in names.items()},
            "ignore_mismatched_sizes": True,
        }
    try:
        return getattr(transformers, auto).from_pretrained(  # type: ignore[no-any-return]
            where, dtype=torch.float32, output_loading_info=True, **more, **settings
        )
    except ValueError as error:
        if "Unrecognized configuration class" not in str(error):
            raise
        kind = transformers.AutoConfig.from_pretrained(where, **settings).model_type
        raise BadInput(
            f"{where}: a {kind} model cannot do a {task.kind} task (no {auto} of it)"
        ) from None


def _processor(
    transformers: Any,
    where: str,
    local: Path | None,
    task: Task,
    config: Any,
    settings: dict[str, Any],
) -> tuple[Processor, Any]:
    """Give what makes inputs of a task's examples, and the tokenizer where it is one."""
    images = getattr(config, "num_channels", None) is not None or hasattr(config, "image_size")
    if task.kind == "custom" and images:
        return RecordProcessor(), None
    if not images and (task.kind == "custom" or holds_texts(task)):
        tokenizer = _tokenizer(transformers, where, local, settings, needed=task.kind != "custom")
        if task.kind == "custom":
            return RecordProcessor(), tokenizer
        text = TextProcessor(tokenizer, longest=_longest(config), joined=task.kind == "causal")
        return text, tokenizer
    if local is not None and not any((local / name).is_file() for name in IMAGE_SETTINGS):
        return ArrayProcessor("pixel_values"), None
    # without torchvision, transformers prepares images by Pillow and NumPy
    return ImageProcessor(transformers.AutoImageProcessor.from_pretrained(where, **settings)), None


def _tokenizer(
    transformers: Any, where: str, local: Path | None, settings: dict[str, Any], *, needed: bool
) -> Any:
    """Load a tokenizer through AutoTokenizer.

    Naming a tokenizer class with a vocabulary file alone turns every word into the unknown token
    in transformers 5; and without any file it gives an empty one.
    """
    own = [name for name in TOKENIZER_FILES if local is not None and (local / name).is_file()]
    if local is not None and not set(own) - {"special_tokens_map.json", "added_tokens.json"}:
        if not needed:
            return None
        raise BadInput(f"{where}: no tokenizer in it; put its base's tokenizer files beside it")
    if local is not None:
        check_token_numbers(local)
    return transformers.AutoTokenizer.from_pretrained(where, **settings)


def _longest(config: Any) -> int | None:
    positions = getattr(config, "max_position_embeddings", None)
    if not isinstance(positions, int) or positions < 1:
        return None
    if config.model_type in _OFFSET_POSITIONS:
        return positions - 1 - int(getattr(config, "pad_token_id", None) or 0)
    return positions


def _labels_of(config: Any) -> tuple[str, ...] | None:
    """Tell what a stored head was made for; a bare backbone's configuration only has defaults."""
    heads = [name for name in config.architectures or [] if "Classification" in name]
    return told_labels(config) if heads else None


def _check_loaded(where: str, info: Any, module: nn.Module, task: Task) -> bool:
    """Refuse a backbone that is not whole; tell whether tensors of the head were drawn."""
    labelled = task.kind in ("classification", "pair")
    outside = head_prefixes(module, task) if labelled else ()
    for name, stored, wanted in (_mismatch(it) for it in info.get("mismatched_keys", ())):
        if not name.startswith(outside) or not outside:
            raise MismatchedModels(
                f"{where}: tensor {name!r} has shape {stored}, but config.json asks for {wanted}"
            )
    missing = sorted(info.get("missing_keys", ()))
    for name in missing:
        if "pooler" not in name and not (outside and name.startswith(outside)):
            if task.kind in _AUTO and not name.startswith(f"{module.base_model_prefix}."):
                raise BadInput(
                    f"{where}: a {task.kind} task needs a language model, but this one has no head "
                    f"to write with (tensor {name!r} is missing)"
                )
            raise BadCheckpoint("is missing", file=where, tensor=name)
    return bool(missing or info.get("mismatched_keys"))


def _mismatch(entry: Any) -> tuple[str, Any, Any]:
    name, *shapes = entry if isinstance(entry, tuple | list) else (entry,)
    stored, wanted = (*shapes, "another", "another")[:2]
    plain = [list(it) if isinstance(it, tuple | list) else it for it in (stored, wanted)]
    return str(name), plain[0], plain[1]


def _check_fit(where: str, module: nn.Module, task: Task, processor: Processor) -> None:
    if isinstance(processor, TextProcessor):
        words = len(module.get_input_embeddings().weight)  # type: ignore[operator]
        if len(processor.tokenizer) > words:
            raise BadInput(
                f"{where}: its tokenizer has {len(processor.tokenizer)} tokens, but the model "
                f"embeds {words}; they do not belong together"
            )
        config: Any = module.config
        if getattr(config, "pad_token_id", None) is None:  # not every configuration has one
            config.pad_token_id = processor.tokenizer.pad_token_id
    if task.kind == "causal" and _reads_ahead(module):
        raise BadInput(
            f"{where}: {type(module).__name__} reads the words that it is to write; "
            "a causal task needs a model that reads from the left"
        )


def _reads_ahead(module: nn.Module) -> bool:
    """Tell whether a later token changes what is said of an earlier one."""
    words = len(module.get_input_embeddings().weight)  # type: ignore[operator]
    tokens = torch.tensor([[1, 2, 3], [1, 2, 4]]) % words
    with torch.inference_mode():
        first = module.eval()(input_ids=tokens, attention_mask=torch.ones_like(tokens)).logits[:, 0]
    return not torch.allclose(first[0], first[1], rtol=1e-3, atol=1e-5)


def _must_be_model(local: Path) -> None:
    if local.is_file():
        raise BadInput(f"{local}: is a file; name its model folder, or give a factory for it")
    if not (local / "config.json").is_file():
        raise NotFound(f"{local} is not a model folder: it has no config.json")
    with open_checkpoint(local):  # what its headers claim is checked before anything is built
        pass


def import_transformers() -> Any:
    """Import transformers, or say which extra is missing."""
    try:
        import transformers
    except ImportError as error:
        raise MissingExtra("tasks", "transformers") from error
    return transformers


@contextmanager
def telling(where: str) -> Iterator[None]:
    """Turn what other libraries raise of a model's files into one line that names the model."""
    try:
        yield
    except (WeightscapeError, MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        if "trust_remote_code" in str(error):
            raise BadInput(
                f"{where}: it wants to run code of its own; trust_remote_code "
                "(--trust-remote-code) allows that"
            ) from error
        if isinstance(error, OSError) and not Path(where).exists():
            raise NotFound(
                f"{where}: no such folder, and not found on the hub: {reason}"
            ) from error
        raise BadCheckpoint(f"does not load: {reason}", file=where) from error


@contextmanager
def _quiet(transformers: Any) -> Iterator[None]:
    """Keep transformers from writing load reports and bars to the terminal."""
    from huggingface_hub.utils import logging as hub_log

    log = transformers.utils.logging
    level, bars = log.get_verbosity(), log.is_progress_bar_enabled()
    hub_level = hub_log.get_verbosity()
    log.set_verbosity_error()
    log.disable_progress_bar()
    hub_log.set_verbosity(logging.CRITICAL)  # it tells of each time that it tries again
    try:
        yield
    finally:
        hub_log.set_verbosity(hub_level)
        log.set_verbosity(level)
        if bars:
            log.enable_progress_bar()
