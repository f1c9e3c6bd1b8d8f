"""What the files of one folder are, told from their names alone.

Discovery and `open_checkpoint` both ask here, so that they never disagree on which file of a
folder is the model.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

ADAPTER_CONFIG = "adapter_config.json"

LAYERS_FILE = "model.layers"
"""Layers of a model that is elsewhere. Not named as weights are: what loads models by their files'
names must not take it for a whole one."""

STEP = re.compile(r"(?:checkpoint|step)[-_](\d{1,18})")
"""The folder of a step of a training run."""

# in the order in which transformers looks for them
_CANONICAL = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
_ADAPTERS = ("adapter_model.safetensors", "adapter_model.bin")
_TORCH_SUFFIXES = (".bin", ".pt", ".pth", ".ckpt")
_WEIGHTS_SUFFIXES = (".safetensors", *_TORCH_SUFFIXES)

_SHARD = re.compile(r"(?P<stem>.+)-\d{4,6}-of-\d{4,6}\.(?:safetensors|bin)")
_LITTER = re.compile(
    r"optimizer\.\w+|.*_optimizer\.\w+|scheduler\.\w+|scaler\.pt|rng_state.*\.pth"
    r"|training_args\.bin|random_states_.*\.pkl|.*optim_states\.pt|vocab\.bin|tokenizer.*"
    r"|\..*"
)

_UNSUPPORTED = (
    (re.compile(r".*\.gguf|ggml.*\.bin"), "GGUF"),
    (re.compile(r".*\.onnx"), "ONNX"),
    (re.compile(r".*\.msgpack"), "Flax"),
    (
        re.compile(r".*\.h5|.*\.keras|saved_model\.pb|.*\.ckpt\.index|.*\.ckpt-\d+\.index"),
        "TensorFlow",
    ),
    (re.compile(r".*\.tflite"), "TensorFlow Lite"),
    (re.compile(r".*\.ot"), "rust-bert"),
    (re.compile(r".*\.distcp"), "PyTorch distributed checkpoint"),
    (re.compile(r".*_model_states\.pt"), "DeepSpeed"),
)


@dataclass(frozen=True, slots=True)
class Layout:
    """The model files of one folder.

    weights: the one file (or index of shards) of a model that is the folder itself. adapter: the
    factors of a LoRA adapter, if the folder is one. lone: weights files that are a model each.
    part: the file with a few layers of a model that is elsewhere, where nothing else is here of it.
    unsupported: (file, format) recognised but not read. litter: model-like files that are no
    model of their own. problem: why a folder that looks like a model cannot be one.
    """

    weights: str | None = None
    adapter: str | None = None
    lone: tuple[str, ...] = ()
    part: str | None = None
    unsupported: tuple[tuple[str, str], ...] = ()
    litter: tuple[str, ...] = ()
    problem: str | None = None


def look(names: Iterable[str]) -> Layout:
    """Tell the layout of a folder from the names of its files.

    >>> look(["config.json", "model.safetensors", "pytorch_model.bin", "optimizer.pt"]).weights
    'model.safetensors'
    >>> look(["seed_0.pt", "seed_1.pt"]).lone
    ('seed_0.pt', 'seed_1.pt')
    """
    files = sorted(names)
    unsupported = _unsupported(files)
    foreign = {file for file, _ in unsupported}
    candidates = [
        file
        for file in files
        if file.endswith(_WEIGHTS_SUFFIXES) and not _LITTER.fullmatch(file) and file not in foreign
    ]
    litter = tuple(file for file in files if _is_litter(file))
    weights = _whole_model(files, candidates)
    if weights is not None:
        spare = [file for file in candidates if file != weights]
        return Layout(weights=weights, unsupported=unsupported, litter=(*litter, *spare))
    if ADAPTER_CONFIG in files:
        return _adapter(files, candidates, unsupported, litter)
    shards = [file for file in candidates if _SHARD.fullmatch(file)]
    if shards:
        problem = (
            f"there are shards ({shards[0]}, ...) but no index; the save or download is unfinished"
        )
        return Layout(unsupported=unsupported, litter=(*litter, *candidates), problem=problem)
    lone = _without_twins(candidates)
    if not lone and LAYERS_FILE in files:
        return Layout(part=LAYERS_FILE, unsupported=unsupported, litter=litter)
    if "config.json" in files and len(lone) == 1:
        spare = [file for file in candidates if file != lone[0]]
        return Layout(weights=lone[0], unsupported=unsupported, litter=(*litter, *spare))
    spare = [file for file in candidates if file not in lone]
    return Layout(lone=lone, unsupported=unsupported, litter=(*litter, *spare))


def foreign_format(name: str) -> str | None:
    """Name the format of a file that is recognised but not read, None for all others."""
    for pattern, kind in _UNSUPPORTED:
        if pattern.fullmatch(name):
            return kind
    return None


def is_weights(name: str) -> bool:
    """Tell whether a file's name is one of a file with weights that can be read."""
    return name.endswith(_WEIGHTS_SUFFIXES) and foreign_format(name) is None


def is_torch(name: str) -> bool:
    """Tell whether a file's name is one that torch.save writes to."""
    return name.endswith(_TORCH_SUFFIXES)


def is_index(name: str) -> bool:
    """Tell whether a file's name is one of an index of shards."""
    return name.endswith((".safetensors.index.json", ".bin.index.json"))


def is_shard(name: str) -> bool:
    """Tell whether a file's name is one of a shard of a model."""
    return _SHARD.fullmatch(name) is not None


def stands_for_folder(name: str) -> bool:
    """Tell whether a file of that name is the model that its folder is called after."""
    return name in _CANONICAL or name in _ADAPTERS or is_index(name)


def _is_litter(file: str) -> bool:
    return file.endswith((*_WEIGHTS_SUFFIXES, ".pkl")) and _LITTER.fullmatch(file) is not None


def _unsupported(files: list[str]) -> tuple[tuple[str, str], ...]:
    known = set(files)
    found = []
    for file in files:
        kind = foreign_format(file)
        if kind is None and file.endswith(".bin") and f"{file[:-4]}.xml" in known:
            kind = "OpenVINO"
        if kind is not None:
            found.append((file, kind))
    return tuple(found)


def _whole_model(files: list[str], candidates: list[str]) -> str | None:
    known = set(files)
    for name in _CANONICAL[:2]:
        if name in known:
            return name
    indices = [file for file in files if is_index(file)]
    safe = [file for file in indices if file.endswith(".safetensors.index.json")]
    if safe:
        # the plain one before variants such as model.safetensors.index.fp16.json
        return min(safe, key=lambda file: (len(file), file))
    for name in _CANONICAL[2:]:
        if name in known:
            return name
    return min(indices, key=lambda file: (len(file), file)) if indices else None


def _adapter(
    files: list[str],
    candidates: list[str],
    unsupported: tuple[tuple[str, str], ...],
    litter: tuple[str, ...],
) -> Layout:
    for name in _ADAPTERS:
        if name in files:
            spare = [file for file in candidates if file != name]
            return Layout(adapter=name, unsupported=unsupported, litter=(*litter, *spare))
    problem = f"there is {ADAPTER_CONFIG} but no {_ADAPTERS[0]}; the save or download is unfinished"
    return Layout(unsupported=unsupported, litter=(*litter, *candidates), problem=problem)


def _without_twins(candidates: list[str]) -> tuple[str, ...]:
    """Leave out torch files beside a safetensors file of the same stem."""
    safe = {
        file.removesuffix(".safetensors") for file in candidates if file.endswith(".safetensors")
    }
    return tuple(
        file
        for file in candidates
        if file.endswith(".safetensors") or file.rpartition(".")[0] not in safe
    )
