"""The numbers that a tokenizer gives its tokens, looked at before memory is given to them."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from weightscape.errors import BadCheckpoint
from weightscape.io.source import read_small

TOKENIZER = "tokenizer.json"
LARGEST_FILE = 256 << 20
_SPARE = 1 << 20


def check_token_numbers(folder: Path) -> None:
    """Refuse a tokenizer whose tokens are numbered far beyond how many there are.

    What is built from it is as long as the highest number, whoever wrote that.

    Raises BadCheckpoint for such a number, or a file that is no JSON or larger than 256 MiB.
    """
    file = folder / TOKENIZER
    if not file.is_file():
        return
    try:
        told = json.loads(read_small(file, LARGEST_FILE))
    except (ValueError, RecursionError) as problem:
        raise BadCheckpoint(f"is no JSON: {problem}", file=file) from None
    numbers = list(_numbers(told))
    most = 2 * len(numbers) + _SPARE
    if numbers and not 0 <= min(numbers) <= max(numbers) < most:
        wrong = min(numbers) if min(numbers) < 0 else max(numbers)
        raise BadCheckpoint(f"numbers a token {wrong:,}; it has {len(numbers):,} tokens", file=file)


def _numbers(told: Any) -> Iterator[int]:
    if not isinstance(told, dict):
        return
    model = told.get("model")
    vocabulary = model.get("vocab") if isinstance(model, dict) else None
    if isinstance(vocabulary, dict):
        yield from (number for number in vocabulary.values() if isinstance(number, int))
    elif isinstance(vocabulary, list):  # numbered by their order
        yield from range(len(vocabulary))
    added = told.get("added_tokens")
    for token in added if isinstance(added, list) else ():
        if isinstance(token, dict) and isinstance(token.get("id"), int):
            yield token["id"]
