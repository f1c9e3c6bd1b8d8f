"""A model card: the YAML at its top, and the text below. Both are strangers' data."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from weightscape.errors import WeightscapeError
from weightscape.io.source import LocalFile

CARD = "README.md"
_LIMIT = 64 << 10
_FENCE = "---"


@dataclass(frozen=True, slots=True)
class ModelCard:
    """front: strings, lists and objects only, {} where there is none or it cannot be read."""

    text: str = ""
    front: dict[str, Any] = field(default_factory=dict)


def read_card(file: Path) -> ModelCard:
    """Read the first 64 KiB of a card; one that is not there or cannot be read is empty."""
    try:
        source = LocalFile(file)
        data = source.read(0, min(source.size(), _LIMIT))
    except WeightscapeError:
        return ModelCard()
    lines = data.decode("utf-8", errors="replace").splitlines()
    if not lines or lines[0].strip() != _FENCE:
        return ModelCard("\n".join(lines))
    end = next(
        (number for number, line in enumerate(lines) if number and line.strip() == _FENCE), 0
    )
    if not end:
        return ModelCard("\n".join(lines))
    return ModelCard("\n".join(lines[end + 1 :]), _front("\n".join(lines[1:end])))


def _front(text: str) -> dict[str, Any]:
    try:
        # the base loader makes strings, lists and dicts only: no merges to blow up, no types
        front = yaml.load(text, Loader=yaml.BaseLoader)
    except (yaml.YAMLError, RecursionError, ValueError):
        return {}
    return front if isinstance(front, dict) else {}
