"""Models up from folders, hub ids and factories, without touching global random state."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
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
from weightscape.tasks import adapters
from weightscape.tasks.bases import find_base, is_adapter, looks_like_path
from weightscape.tasks.heads import draw_head, head_prefixes, suits, told_labels, within
from weightscape.tasks.live import LiveModel, Processor
from weightscape.tasks.plain_modules import Factory, load_plain_module
from weightscape.tasks.processors import (
    ArrayProcessor,
    ImageProcessor,
    RecordProcessor,
    TextProcessor,
    holds_texts,
)
from weightscape.tasks.task import Task

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
        model = _load_whole(source, task, init_seed, trust_remote_code)
    if merge_adapter and model.adapted is not None:
        module = adapters.merge_adapter(model.module)
        model = replace(model, module=module, adapted=None, head=head_prefixes(module, task))
    model.module.to(device=device or default_device(), dtype=dtype or torch.float32).eval()
    return model


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


def tokenizer_files(folder: Path) -> dict[str, bytes]:
    """Read the files of a model folder that tell how its inputs are made."""
    names = (*TOKENIZER_FILES, *IMAGE_SETTINGS)
    return {name: (folder / name).read_bytes() for name in names if (folder / name).is_file()}


def config_dict(model: nn.Module) -> dict[str, Any]:
    """Give a model's configuration as data, without the path that it was loaded from."""
    config: dict[str, Any] = model.config.to_dict()  # type: ignore[union-attr, operator]
    config.pop("_name_or_path", None)
    config["architectures"] = [type(model).__name__]
    return config


def _load_adapted(folder: Path, task: Task, **how: Any) -> LiveModel:
    base = find_base(folder)
    under = Path(base)
    if under.is_dir() and is_adapter(under):
        raise BadInput(f"{folder}: its base {base} is an adapter itself; merge that one first")
    model = load_model(base, task, device="cpu", **how)
    with _telling(str(folder)):
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
    from weightscape.io.json_files import read_json

    for file in ("provenance.json", "adapter_config.json"):
        if (folder / file).is_file():
            labels = read_json(folder / file).get("labels")
            if isinstance(labels, list) and all(isinstance(label, str) for label in labels):
                return tuple(labels)
    return None


def _load_whole(source: str | Path, task: Task, seed: int, trust: bool) -> LiveModel:
    where = str(source)
    local = Path(source) if Path(source).exists() else None
    if local is not None:
        _must_be_model(local)
    elif looks_like_path(where):
        raise NotFound(f"{where}: no such folder; give a model's folder or a hub id")
    transformers = import_transformers()
    settings: dict[str, Any] = {"trust_remote_code": trust, "local_files_only": local is not None}
    with _quiet(transformers), _telling(where), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)  # of tensors that are drawn because the files lack them
        config = transformers.AutoConfig.from_pretrained(where, **settings)
        processor, tokenizer = _processor(transformers, where, local, task, config, settings)
        told = _labels_of(config)
        module, info = _module(transformers, where, task, processor, settings)
    head = head_prefixes(module, task)
    drawn = _check_loaded(where, info, head)
    labels = None
    if task.kind in ("classification", "pair"):
        drawn = drawn or not suits(told, task)
        labels = None if drawn else task.labels
        if drawn:
            draw_head(module, head, seed)
    _check_fit(where, module, task, processor)
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
    return transformers.AutoTokenizer.from_pretrained(where, **settings)


def _longest(config: Any) -> int | None:
    positions = getattr(config, "max_position_embeddings", None)
    if not isinstance(positions, int) or positions < 1:
        return None
    if config.model_type in _OFFSET_POSITIONS:
        return positions - 1 - int(config.pad_token_id or 0)
    return positions


def _labels_of(config: Any) -> tuple[str, ...] | None:
    """Tell what a stored head was made for; a bare backbone's configuration only has defaults."""
    heads = [name for name in config.architectures or [] if "Classification" in name]
    return told_labels(config) if heads else None


def _check_loaded(where: str, info: Any, head: Sequence[str]) -> bool:
    """Refuse a backbone that is not whole; tell whether tensors of the head were drawn."""
    outside = tuple(head)
    for name, stored, wanted in (_mismatch(it) for it in info.get("mismatched_keys", ())):
        if not name.startswith(outside) or not outside:
            raise MismatchedModels(
                f"{where}: tensor {name!r} has shape {stored}, but config.json asks for {wanted}"
            )
    missing = sorted(info.get("missing_keys", ()))
    for name in missing:
        if "pooler" not in name and not (outside and name.startswith(outside)):
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
        if config.pad_token_id is None:
            config.pad_token_id = processor.tokenizer.pad_token_id
    if task.kind == "causal" and _reads_ahead(module):
        raise BadInput(
            f"{where}: {type(module).__name__} reads the words that it is to write; "
            "a causal task needs a model that reads from the left"
        )


def _reads_ahead(module: nn.Module) -> bool:
    """Tell whether a later token changes what is said of an earlier one."""
    tokens = torch.tensor([[1, 2, 3], [1, 2, 4]]) % len(module.get_input_embeddings().weight)  # type: ignore[operator]
    with torch.inference_mode():
        first = module.eval()(input_ids=tokens).logits[:, 0]
    return not torch.allclose(first[0], first[1], rtol=1e-3, atol=1e-5)


def _must_be_model(local: Path) -> None:
    if local.is_file():
        raise BadInput(f"{local}: is a file; name its model folder, or give a factory for it")
    if not (local / "config.json").is_file():
        raise NotFound(f"{local} is not a model folder: it has no config.json")
    with open_checkpoint(local):  # what its headers claim is checked before anything is built
        pass


@contextmanager
def _telling(where: str) -> Iterator[None]:
    """Turn what other libraries raise of a model's files into one line that names the model."""
    try:
        yield
    except (WeightscapeError, MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        if "trust_remote_code" in reason:
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
