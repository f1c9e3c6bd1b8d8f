"""A task: labelled examples, split once and for all, and how much of each text a model reads."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from weightscape.errors import BadInput, UnknownName

Row = tuple[str, str]
"""A text and the name of its label, as a data file has them."""

Split = Literal["train", "validation", "test"]


class Example(NamedTuple):
    """A text and the number of its label."""

    text: str
    label: int


@dataclass(frozen=True, slots=True)
class Task:
    """A data set, its splits, and how to feed it to a model.

    domain: the family of tasks it belongs to ("sentiment", "topic", ...).
    labels: their names; an example's label counts into it.
    max_tokens: texts are cut to this many tokens.
    """

    name: str
    domain: str
    labels: tuple[str, ...]
    splits: Mapping[str, tuple[Example, ...]]
    max_tokens: int = 40
    kind: Literal["classification"] = "classification"

    def rows(self, split: str) -> tuple[Example, ...]:
        """Give the examples of a split, which must not be empty."""
        if split not in self.splits:
            raise UnknownName(f"split of task {self.name!r}", split, self.splits)
        if not self.splits[split]:
            raise BadInput(f"split {split!r} of task {self.name!r} has no rows")
        return self.splits[split]


def clean_rows(rows: Iterable[Row]) -> list[Row]:
    """Normalise white space, drop repeated texts, and drop texts that have two labels.

    >>> clean_rows([("a  b", "x"), ("a b ", "x"), ("c", "x"), ("c", "y"), (" ", "x")])
    [('a b', 'x')]
    """
    labels_of: dict[str, set[str]] = {}
    for text, label in rows:
        plain = re.sub(r"\s+", " ", text).strip()
        if plain:
            labels_of.setdefault(plain, set()).add(label)
    return [(text, *labels) for text, labels in labels_of.items() if len(labels) == 1]  # type: ignore[misc]


def make_task(
    name: str,
    domain: str,
    splits: Mapping[str, Sequence[Row]],
    *,
    max_tokens: int = 40,
) -> Task:
    """Make a task of split rows; labels are numbered by name.

    Raises BadInput when there are fewer than two labels, or when a text is in two splits.
    """
    labels = tuple(sorted({label for rows in splits.values() for _, label in rows}))
    if len(labels) < 2:
        raise BadInput(f"task {name!r} needs two labels or more; its rows have {list(labels)}")
    number = {label: i for i, label in enumerate(labels)}
    seen: dict[str, str] = {}
    for split, rows in splits.items():
        for text, _ in rows:
            if seen.setdefault(text, split) != split:
                raise BadInput(
                    f"task {name!r} has the text {text[:60]!r} in splits {seen[text]!r} and "
                    f"{split!r}; a model would be tested on what it was trained on"
                )
    numbered = {
        split: tuple(Example(text, number[label]) for text, label in rows)
        for split, rows in splits.items()
    }
    return Task(name, domain, labels, numbered, max_tokens)
