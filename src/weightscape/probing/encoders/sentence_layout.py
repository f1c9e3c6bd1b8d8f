"""How a sentence-transformers folder says that its model is to be read."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from weightscape.errors import BadCheckpoint, UnsupportedFormat
from weightscape.io.json_files import read_json
from weightscape.probing.json_values import read_value

Pooling = Literal["mean", "cls"]
_LIMIT = 1 << 20
_HARMLESS = ("Transformer", "Pooling", "Normalize")


@dataclass(frozen=True, slots=True)
class SentenceLayout:
    """Where the transformer lies, how its tokens are pooled, and how many of them it reads."""

    transformer: Path
    pooling: Pooling = "mean"
    longest: int | None = None


def sentence_layout(folder: Path) -> SentenceLayout:
    """Read how a folder's model is to be used; a plain BERT folder's tokens are averaged.

    Raises UnsupportedFormat where something is done that is not read here (a dense layer behind
    the pooling, another pooling than mean and cls), BadCheckpoint where a file makes no sense.
    """
    modules = _modules(folder)
    kinds = [str(it.get("type", "")).rpartition(".")[2] for it in modules]
    foreign = [kind for kind in kinds if kind not in _HARMLESS]
    if foreign:
        raise UnsupportedFormat(
            f"{folder}: its modules.json asks for {foreign[0]!r}, which is not read; give a model "
            "of a transformer and a pooling, or its vectors with vectors:FILE"
        )
    places = {kind: _inside(folder, it) for kind, it in zip(kinds, modules, strict=True)}
    transformer = places.get("Transformer", folder)
    pooling = _pooling(places["Pooling"]) if "Pooling" in places else "mean"
    return SentenceLayout(transformer, pooling, _longest(transformer))


def _modules(folder: Path) -> list[dict[str, Any]]:
    file = folder / "modules.json"
    if not file.is_file():
        return []
    listed = read_value(file, _LIMIT)
    if not isinstance(listed, list) or not all(isinstance(it, dict) for it in listed):
        raise BadCheckpoint("should be a list of objects", file=file)
    return listed


def _inside(folder: Path, module: dict[str, Any]) -> Path:
    """Resolve a module's folder, which must not lead out of the model's."""
    given = module.get("path", "")
    if not isinstance(given, str) or "\0" in given:
        raise BadCheckpoint("names a path that is no text", file=folder / "modules.json")
    place = folder / given
    if not place.resolve().is_relative_to(folder.resolve()):
        raise BadCheckpoint(
            f"names {given[:200]!r}, outside its folder", file=folder / "modules.json"
        )
    return place


def _pooling(folder: Path) -> Pooling:
    config = read_json(folder / "config.json")
    asked = [
        key.removeprefix("pooling_mode_")
        for key, value in config.items()
        if key.startswith("pooling_mode_") and value is True
    ]
    if asked == ["mean_tokens"]:
        return "mean"
    if asked == ["cls_token"]:
        return "cls"
    raise UnsupportedFormat(
        f"{folder / 'config.json'}: its pooling {', '.join(asked) or 'none'} is not read; mean and "
        "cls are. Give its vectors with vectors:FILE"
    )


def _longest(folder: Path) -> int | None:
    file = folder / "sentence_bert_config.json"
    said = read_json(file).get("max_seq_length") if file.is_file() else None
    return said if isinstance(said, int) and 1 <= said < 1 << 20 else None
