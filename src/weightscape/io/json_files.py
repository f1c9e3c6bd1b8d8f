"""JSON from strangers: bounded in size and depth, no key twice, an object at the top."""

import json
from pathlib import Path
from typing import Any

from weightscape.errors import BadCheckpoint
from weightscape.io.source import read_small

CONFIG_LIMIT = 8 << 20
"""config.json and its like; the largest seen in the wild (label maps) are below 5 MB."""

INDEX_LIMIT = 32 << 20
"""Bytes for some 300,000 tensors; the largest models have about a third of that."""

_TRUSTED_SIZE = 1 << 20


def read_json(path: Path, limit: int = CONFIG_LIMIT) -> dict[str, Any]:
    """Read a file that holds one JSON object, as data.

    Raises BadCheckpoint naming the file, NotFound if there is none.
    """
    return parse_object(read_small(path, limit), path)


def parse_object(data: bytes, file: Path | str) -> dict[str, Any]:
    """Parse one JSON object strictly; `file` is what errors name."""
    _refuse_bomb(data, file)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadCheckpoint(
            f"its JSON is not valid UTF-8 at byte {error.start}", file=file
        ) from None
    try:
        parsed = json.loads(text, object_pairs_hook=_once_each)
    except RecursionError:
        raise BadCheckpoint("its JSON is nested too deeply", file=file) from None
    except ValueError as error:
        raise BadCheckpoint(f"its JSON is invalid: {error}", file=file) from None
    if not isinstance(parsed, dict):
        raise BadCheckpoint(
            f"its JSON should be an object, but is a {type(parsed).__name__}", file=file
        )
    return parsed


def _refuse_bomb(data: bytes, file: Path | str) -> None:
    """Refuse large JSON of mostly brackets, which would parse into many times its size."""
    brackets = data.count(b"{") + data.count(b"[")
    # a tensor's entry in a header of safetensors has three brackets in 47 bytes or more
    if len(data) > _TRUSTED_SIZE and brackets > len(data) // 10:
        raise BadCheckpoint(
            f"its JSON holds {brackets:,} brackets in {len(data):,} bytes; it describes no model",
            file=file,
        )


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise ValueError(f"key {key[:200]!r} stands there twice")
            seen.add(key)
    return found
