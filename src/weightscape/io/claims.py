"""Which bases, and which sources of a merge, a model's own files name."""

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml

from weightscape.errors import WeightscapeError
from weightscape.io.json_files import read_json
from weightscape.io.layout import ADAPTER_CONFIG
from weightscape.io.model_card import CARD, read_card
from weightscape.io.safetensors import read_metadata
from weightscape.io.source import LocalFile

_HEADER_LIMIT = 8 << 20
_LONGEST = 500
_MOST = 16
_MOST_SOURCES = 128
_LEAST_WEIGHT = 1e-4
_RECIPE = "mergekit_config.yml"
_RECIPE_LIMIT = 256 << 10


def declared_bases(folder: Path, weights: str, name: str, *, alone: bool) -> tuple[str, ...]:
    """List the bases that a model's files claim, as they are written, nearest claim first.

    In order: our own provenance.json and safetensors metadata, adapter_config.json, the model
    card's ``base_model``, config.json's ``_name_or_path``. `alone`: a lone file, whose folder's
    other files do not speak for it. Claims of the model's own `name` or place are left out; files
    that cannot be read claim nothing (opening the model will say what is wrong with them).
    """
    place = os.path.realpath(folder / weights if alone else folder)
    return tuple(_clean(_claims(folder, weights, alone), name, place))[:_MOST]


def declared_sources(folder: Path, name: str) -> tuple[str, ...]:
    """List the models that a merged model's files say it was made from, as they are written.

    Our own provenance.json (`parents`, without those of next to no weight), the recipe that
    mergekit leaves, or a model card that calls the model a merge and names several bases. Empty
    where they say nothing of the kind, or name one model only.
    """
    claims = [*_parents(folder / "provenance.json"), *_models_in(_recipe(folder / _RECIPE))]
    if not claims:
        front = read_card(folder / CARD).front
        bases, tags = front.get("base_model"), front.get("tags")
        merged = isinstance(tags, list) and "merge" in tags
        claims = bases if merged and isinstance(bases, list) else []
    sources = tuple(_clean(claims, name, os.path.realpath(folder)))[:_MOST_SOURCES]
    return sources if len(sources) > 1 else ()


def _clean(claims: Iterable[Any], name: str, place: str) -> Iterator[str]:
    """Give each claim that can be meant once, without those of the model's own name or place."""
    seen = {name}
    for claim in claims:
        text = claim.strip() if isinstance(claim, str) else ""
        told = text and len(text) <= _LONGEST and text.isprintable()
        if told and text not in seen and os.path.realpath(text) != place:
            seen.add(text)
            yield text


def _parents(provenance: Path) -> list[Any]:
    weights = _json_value(provenance, "parents")
    if not isinstance(weights, dict):
        return []
    layers = _json_value(provenance, "layers")
    rows = [weights]
    for layer in layers if isinstance(layers, list) else ():
        of_layer = layer.get("weights") if isinstance(layer, dict) else None
        rows += [of_layer] if isinstance(of_layer, dict) else []
    places = _json_value(provenance, "places")
    called = places if isinstance(places, dict) else {}
    used = [name for name in weights if any(_matters(row.get(name)) for row in rows)]
    return [called.get(name, name) for name in used]


def _matters(weight: Any) -> bool:
    return isinstance(weight, int | float) and abs(weight) >= _LEAST_WEIGHT


def _recipe(file: Path) -> dict[str, Any]:
    """Read a recipe of mergekit, {} where there is none or it cannot be read."""
    try:
        source = LocalFile(file)
        text = source.read(0, min(source.size(), _RECIPE_LIMIT)).decode("utf-8", errors="replace")
        # the base loader makes strings, lists and dicts only
        recipe = yaml.load(text, Loader=yaml.BaseLoader)
    except (WeightscapeError, yaml.YAMLError, RecursionError, ValueError):
        return {}
    return recipe if isinstance(recipe, dict) else {}


def _models_in(recipe: dict[str, Any]) -> list[str]:
    """List the models of a recipe, wherever in it they stand."""
    named: list[str] = []
    left: list[Any] = [recipe]
    met: set[int] = set()
    while left:
        value = left.pop()
        if id(value) in met:
            continue  # aliases may say one thing billions of times
        met.add(id(value))
        if isinstance(value, dict):
            model = value.get("model")
            if isinstance(model, str):
                named.append(model.partition("+")[0])  # behind the plus stands an adapter
            left += list(value.values())[::-1]
        elif isinstance(value, list):
            left += value[::-1]
    return named


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
        yield _recipe(folder / _RECIPE).get("base_model")
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
