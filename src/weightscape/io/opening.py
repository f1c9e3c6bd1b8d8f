"""Opening whatever a path leads to."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

from weightscape.errors import BadCheckpoint, BadInput, NotFound, UnsupportedFormat
from weightscape.io.adapter import Adapter
from weightscape.io.adapter_config import read_lora_config, stands_beside
from weightscape.io.checkpoint import Checkpoint, read_files, read_shards
from weightscape.io.json_files import read_json
from weightscape.io.layout import (
    ADAPTER_CONFIG,
    LAYERS_FILE,
    foreign_format,
    is_index,
    is_shard,
    is_weights,
    look,
    stands_for_folder,
)
from weightscape.io.outline import unpack_outline
from weightscape.io.walk import walk

_MOST_COUNTED, _MOST_FOLDERS = 1_000, 10_000
_FACTOR_NAMES = (".lora_A", ".lora_B", ".lora_down", ".lora_up", ".lora_embedding_")


def open_checkpoint(path: str | Path, *, partly: bool = False) -> Checkpoint | Adapter:
    """Open a model file or folder, reading headers only.

    Takes a safetensors file, a zip file of torch.save, a folder with one of these or with an
    index and its shards, and a folder with an adapter. A LoRA gives the deltas of its base. One
    that works beside the weights (bottleneck, prefix) is a checkpoint of its own tensors, whose
    `format` names its kind and whose `config` is the adapter's, with its base. partly: take layers
    that were fetched of a model elsewhere as well, which are refused otherwise.

    Raises NotFound, BadCheckpoint for files that cannot be what they say, UnsafeCheckpoint for a
    pickle that wants to run code, UnsupportedFormat for what is recognised but not read.
    """
    path = Path(path)
    try:
        names = [entry.name for entry in path.iterdir()] if path.is_dir() else None
        there = names is not None or path.exists()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise BadCheckpoint(f"cannot be read: {reason}", file=path) from None
    if not there:
        raise NotFound(f"{path}: no such file or folder; check the path")
    return _open_file(path) if names is None else _open_folder(path, names, partly)


def open_layers(path: str | Path) -> Checkpoint:
    """Open the layers that were fetched of a model elsewhere: `tensors` are those, `outline` all.

    Raises NotFound where there are none, BadCheckpoint where they are not what they should be.
    """
    folder = Path(path)
    file = folder / LAYERS_FILE
    if not file.exists():
        raise NotFound(f"{file}: no such file; add the model again")
    contents = read_files(folder, [LAYERS_FILE])
    outline = unpack_outline(contents.metadata, file)
    for name, info in contents.tensors.items():
        told = outline.tensors.get(name)
        if told is None or (told.shape, told.dtype) != (info.shape, info.dtype):
            raise BadCheckpoint("is not what the outline says", file=file, tensor=name)
    config = folder / "config.json"
    whole = replace(contents, format="layers", metadata={}, tied={}, outline=outline)
    return Checkpoint(folder, folder, whole, read_json(config) if config.exists() else {})


def packed_by(config: Mapping[str, Any], names: Iterable[str]) -> str | None:
    """Name the method by which a folder's weights are quantised; None if they are plain."""
    names = set(names)
    settings = config.get("quantization_config")
    if isinstance(settings, dict):
        return str(settings.get("quant_method") or "an unknown quantisation")[:40]
    if "quantize_config.json" in names:
        return "GPTQ"
    return "AWQ" if "quant_config.json" in names else None


def _open_folder(folder: Path, names: list[str], partly: bool) -> Checkpoint | Adapter:
    layout = look(names)
    if layout.weights is not None:
        return _open_whole(folder, folder, layout.weights)
    if layout.adapter is not None:
        return _open_adapter(folder, folder, layout.adapter)
    if layout.part is not None:
        found = open_layers(folder)
        if partly:
            return found
        of = found.outline
        raise BadInput(
            f"{of.of if of else folder}: only some of its layers were fetched, to compare it with "
            "others; `weightscape add --download` fetches all of it"
        )
    if layout.problem is not None:
        raise BadCheckpoint(layout.problem, file=folder)
    if len(layout.lone) == 1:
        return _open_whole(folder, folder, layout.lone[0])
    if layout.lone:
        some = ", ".join(layout.lone[:5])
        raise BadInput(f"{folder}: holds several models ({some}); name one of these files")
    if layout.unsupported:
        raise _unsupported(folder / layout.unsupported[0][0], layout.unsupported[0][1])
    _refuse_several(folder)
    raise BadCheckpoint("holds no weights that are known", file=folder)


def _refuse_several(folder: Path) -> None:
    """Refuse a folder whose folders hold models, by the names of their files."""
    below = sorted(islice(_models_below(folder), _MOST_COUNTED + 1))
    if not below:
        return
    count = len(below)
    many = "a model" if count == 1 else f"{min(count, _MOST_COUNTED):,} models"
    more = " and more" if count > _MOST_COUNTED else ""
    some = ", ".join(str(it) for it in below[:3]) + (", ..." if count > 3 else "")
    which = "it" if count == 1 else "one of them"
    raise BadInput(f"{folder}: is no model itself, but holds {many}{more} ({some}); name {which}")


def _models_below(folder: Path) -> Iterator[Path]:
    for inner in islice(walk(folder), _MOST_FOLDERS):
        if inner.part_of_model:
            continue
        whole = inner.layout.weights or inner.layout.adapter
        for path in [inner.path] if whole else [inner.path / it for it in inner.layout.lone]:
            yield path.relative_to(folder) if path.is_relative_to(folder) else path


def _open_file(path: Path) -> Checkpoint | Adapter:
    kind = foreign_format(path.name)
    if kind is not None:
        raise _unsupported(path, kind)
    if is_shard(path.name):
        raise BadInput(f"{path}: is one shard of a model; name its folder instead")
    if not is_weights(path.name) and not is_index(path.name):
        raise UnsupportedFormat(
            f"{path}: is no known model file; give .safetensors, .bin, .pt, .pth or .ckpt"
        )
    folder = path.parent
    if stands_for_folder(path.name) and path.name.startswith("adapter_model"):
        return _open_adapter(path, folder, path.name)
    return _open_whole(path, folder, path.name)


def _open_whole(path: Path, folder: Path, name: str) -> Checkpoint:
    config_path = folder / "config.json"
    config = read_json(config_path) if config_path.exists() else {}
    method = packed_by(config, (entry.name for entry in folder.iterdir()))
    if method is not None:
        raise UnsupportedFormat(
            f"{path}: its weights are packed by {method}, which is not read yet; "
            "use the model it was quantised from"
        )
    contents = read_shards(folder, name) if is_index(name) else read_files(folder, [name])
    refuse_bare_factors(path, contents.tensors)
    return Checkpoint(path, folder, contents, config)


def _open_adapter(path: Path, folder: Path, name: str) -> Checkpoint | Adapter:
    if not (folder / ADAPTER_CONFIG).exists():
        raise BadCheckpoint(
            f"an adapter needs {ADAPTER_CONFIG} beside it, for the scale of its deltas", file=path
        )
    raw = read_json(folder / ADAPTER_CONFIG)
    beside = stands_beside(raw)
    if beside is not None:
        return Checkpoint(path, folder, replace(read_files(folder, [name]), format=beside), raw)
    config = read_lora_config(folder / ADAPTER_CONFIG)
    stored = Checkpoint(folder / name, folder, read_files(folder, [name]), {})
    return Adapter(stored, config, path)


def refuse_bare_factors(path: Path | str, names: Collection[str]) -> None:
    """Refuse the factors of an adapter without the file that says how they are multiplied."""
    factors = sum(any(part in name for part in _FACTOR_NAMES) for name in names)
    if factors * 2 > len(names):
        raise UnsupportedFormat(
            f"{path}: holds the factors of an adapter without its {ADAPTER_CONFIG}; "
            "save it with peft's save_pretrained, or merge it into its base"
        )


def _unsupported(path: Path, kind: str) -> UnsupportedFormat:
    return UnsupportedFormat(
        f"{path}: {kind} is recognised but not read yet; "
        "give the model as safetensors or as a torch zip (.bin, .pt)"
    )
