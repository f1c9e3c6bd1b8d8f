"""Names that stay unique: the second of a name gets `~2` behind it."""

from collections.abc import Container


def free_name(name: str, taken: Container[str]) -> str:
    """Return the name if it is free, else with the first number behind it that is.

    >>> free_name("base", {"base", "base~2"})
    'base~3'
    """
    free, number = name, 1
    while free in taken:
        number += 1
        free = f"{name}~{number}"
    return free
