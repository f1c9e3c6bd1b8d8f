"""Values out of JSON that a stranger may have written, each checked for what it must be.

They raise ValueError (or KeyError) with what is wrong; whoever read the file says which it was.
"""

import math
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

MOST = 1 << 14
"""Layers, labels, sizes of a network: more than this in a file is no expert."""


def strict(kind: type, told: Mapping[str, Any]) -> dict[str, Any]:
    """Take the fields of a dataclass of plain values; refuse others and other types."""
    found = {}
    for field in fields(kind):
        value = told[field.name]
        if not isinstance(value, int | float | str | None):
            raise ValueError(f"setting {field.name} is a {type(value).__name__}")
        found[field.name] = value
    if len(told) != len(found):
        raise ValueError("it has settings that are not known")
    return found


def names(told: Any, what: str, most: int = MOST) -> tuple[str, ...]:
    """Take a list of names, each of which stands there once."""
    if not isinstance(told, list) or len(told) > most:
        raise ValueError(f"{what} should be a list of at most {most:,} names")
    found = tuple(text(name, what) for name in told)
    if len(set(found)) != len(found):
        raise ValueError(f"one of {what} stands there twice")
    return found


def finite(told: Any, what: str) -> float:
    """Take a number that is finite as a float."""
    if isinstance(told, bool) or not isinstance(told, int | float):
        raise ValueError(f"{what} should be a number, but is a {type(told).__name__}")
    found = float(told)
    if not math.isfinite(found):
        raise ValueError(f"{what} is {found}")
    return found


def text(told: Any, what: str) -> str:
    """Take text."""
    if not isinstance(told, str):
        raise ValueError(f"{what} should be text, but is a {type(told).__name__}")
    return told


def count(told: Any, what: str) -> int:
    """Take a whole number that may be the size of something."""
    if type(told) is not int or not 0 <= told <= MOST:
        raise ValueError(f"{what} should be a whole number up to {MOST:,}")
    return told
