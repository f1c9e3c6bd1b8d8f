"""Rows that teach nothing are left out, and counted: empty, repeated, contradicting ones."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from weightscape.tasks.labels import is_missing
from weightscape.tasks.sameness import exact_key
from weightscape.tasks.task import Example


@dataclass(frozen=True, slots=True)
class Cleaned:
    """The rows that are left, with their numbers, and how many were left out for what."""

    kept: tuple[Example, ...]
    empty: int = 0
    repeated: int = 0
    contradicting: int = 0

    @property
    def told(self) -> str:
        """Say in a few words what was left out; nothing if nothing was."""
        counts = {
            "empty": self.empty,
            "repeated": self.repeated,
            "with contradicting targets": self.contradicting,
        }
        return ", ".join(f"{count:,} {what}" for what, count in counts.items() if count)


def clean_examples(examples: Sequence[Example], *, one_target: bool = True) -> Cleaned:
    """Leave out empty inputs and repeats, and with `one_target` inputs that have several targets.

    Of a repeat the first row is kept. Inputs are compared up to white space.

    >>> rows = [Example("a", "x", 0), Example("a ", "x", 1), Example("b", "x", 2)]
    >>> clean_examples([*rows, Example("b", "y", 3), Example(" ", "x", 4)])
    Cleaned(kept=(Example(inputs='a', target='x', row=0),), empty=1, repeated=1, contradicting=2)
    """
    targets: dict[str, set[Hashable]] = {}
    first: list[tuple[str, Example]] = []
    seen: set[tuple[str, Hashable]] = set()
    rows_of: dict[str, int] = {}
    empty = 0
    for example in examples:
        if _is_empty(example):
            empty += 1
            continue
        key = exact_key(example.inputs)
        rows_of[key] = rows_of.get(key, 0) + 1
        targets.setdefault(key, set()).add(example.target)
        if (key, example.target) not in seen:
            seen.add((key, example.target))
            first.append((key, example))
    against = {key for key, several in targets.items() if one_target and len(several) > 1}
    kept = tuple(example for key, example in first if key not in against)
    contradicting = sum(rows_of[key] for key in against)
    repeated = len(examples) - empty - contradicting - len(kept)
    return Cleaned(kept, empty, repeated, contradicting)


def _is_empty(example: Example) -> bool:
    if isinstance(example.inputs, tuple):
        return all(is_missing(part) for part in example.inputs)
    return is_missing(example.inputs)
