"""A task: labelled examples, split once and for all, and how much of each text a model reads."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any, Literal, NamedTuple

from weightscape.errors import BadInput, UnknownName

KindName = Literal["classification", "pair", "seq2seq", "causal", "custom"]

Row = tuple[str, str]
"""A text and the name of its label, as a data file has them."""

Split = Literal["train", "validation", "test"]


class Example(NamedTuple):
    """A row of a task: what a model is given, what it should answer, and where the row stands.

    inputs: a text; two texts of a pair; an array or an image; the whole record of a custom task.
    target: the number of a label; a number to be predicted; the text to be written.
    row: its number in the data as they were read, from 0: how results name it.
    """

    inputs: Any
    target: Any
    row: int


@dataclass(frozen=True, slots=True)
class Task:
    """A data set, its splits, how to feed it to a model, and how to score the answers.

    domain: the family of tasks it belongs to ("sentiment", "topic", ...).
    labels: their names; an example's target counts into it. Empty where targets are numbers
    (a regression) or texts.
    max_tokens, target_tokens: texts to read and to write are cut to this many tokens.
    metrics: names in `weightscape.tasks.metrics.METRICS`, the first being the one that is meant
    where one is asked for.
    function: a custom kind's `(module, examples) -> RowScores`; None for the others.
    """

    name: str
    domain: str
    labels: tuple[str, ...]
    splits: Mapping[str, tuple[Example, ...]]
    max_tokens: int = 40
    kind: KindName = "classification"
    metrics: tuple[str, ...] = ("accuracy",)
    target_tokens: int = 32
    function: Callable[..., Any] | None = None

    @property
    def is_regression(self) -> bool:
        """Tell whether its targets are numbers instead of labels."""
        return self.kind in ("classification", "pair") and not self.labels

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
    row = count()
    numbered = {
        split: tuple(Example(text, number[label], next(row)) for text, label in rows)
        for split, rows in splits.items()
    }
    return Task(name, domain, labels, numbered, max_tokens)
