"""What label a cell of a data file means, and the order in which labels are numbered."""

import math
from collections.abc import Iterable
from typing import Any


def label_name(value: Any) -> str:
    """Give a label its name: what stands in the cell, a whole float (1.0) as the integer it is.

    >>> label_name(1.0), label_name(True), label_name(" pos ")
    ('1', 'True', 'pos')
    """
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value).strip()


def is_missing(value: Any) -> bool:
    """Tell whether a cell is empty: nothing, NaN, or a blank text."""
    if isinstance(value, float):
        return math.isnan(value)
    return value is None or (isinstance(value, str) and not value.strip())


def in_order(names: Iterable[str]) -> tuple[str, ...]:
    """Sort labels that are all whole numbers by number, others by name.

    >>> in_order({"10", "9"}), in_order({"b", "a", "1"})
    (('9', '10'), ('1', 'a', 'b'))
    """
    known = sorted(set(names))
    if all(name.removeprefix("-").isdecimal() and name.isascii() for name in known):
        known.sort(key=int)
    return tuple(known)


def listed(names: Iterable[object], most: int = 8) -> str:
    """List names for a message, the first few of many."""
    every = [repr(str(name)[:40]) for name in names]
    return ", ".join(every[:most]) + (", ..." if len(every) > most else "")
