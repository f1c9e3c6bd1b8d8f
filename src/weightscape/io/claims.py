"""Which bases a model's own files name."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from weightscape.errors import WeightscapeError
from weightscape.io.json_files import read_json
from weightscape.io.layout import ADAPTER_CONFIG
from weightscape.io.model_card import CARD, read_card
from weightscape.io.safetensors import read_metadata
from weightscape.io.source import LocalFile

_HEADER_LIMIT = 8 << 20
_LONGEST = 500
_MOST = 16


def declared_bases(folder: Path, weights: str, name: str, *, alone: bool) -> tuple[str, ...]:
    """List the bases that a model's files claim, as they are written, nearest claim first.

    In order: our own provenance.json and safetensors metadata, adapter_config.json, the model
    card's ``base_model``, config.json's ``_name_or_path``. `alone`: a lone file, whose folder's
    other files do not speak for it. Claims of the model's own `name` or place are left out; files
    that cannot be read claim nothing (opening the model will say what is wrong with them).
    """
    claims: list[str] = []
    for claim in _claims(folder, weights, alone):
        text = claim.strip() if isinstance(claim, str) else ""
        if text and len(text) <= _LONGEST and text.isprintable() and text not in claims:
            claims.append(text)
    place = os.path.realpath(folder / weights if alone else folder)
    return tuple(
        claim for claim in claims[:_MOST] if claim != name and os.path.realpath(claim) != place
    )


def _claims(folder: Path, weights: str, alone: bool) -> Iterator[Any]:
    if not alone:
        yield _json_value(folder / "provenance.json", "parent")
    if weights.endswith(".safetensors"):
        with suppress(WeightscapeError):
            source = LocalFile(folder / weights)
            yield read_metadata(source, _HEADER_LIMIT).get("weightscape.parent")
    if not alone:
        yield _json_value(folder / ADAPTER_CONFIG, "base_model_name_or_path")
        yield from _card_bases(folder / CARD)
        yield _json_value(folder / "config.json", "_name_or_path")


def _json_value(path: Path, key: str) -> Any:
    if not path.exists():
        return None
    with suppress(WeightscapeError):
        return read_json(path).get(key)
    return None


def _card_bases(card: Path) -> list[Any]:
    """Read ``base_model`` from the YAML at the top of a model card: one name or several."""
    value = read_card(card).front.get("base_model")
    return value if isinstance(value, list) else [value]
