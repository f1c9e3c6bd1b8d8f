"""A task: labelled examples, split once and for all, and how much of each text a model reads."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count
from typing import Any, Literal, NamedTuple, get_args

from weightscape.errors import BadInput, UnknownName
from weightscape.tasks.labels import in_order, listed
from weightscape.tasks.sameness import exact_key

KindName = Literal["classification", "pair", "seq2seq", "causal", "custom"]
KINDS: tuple[KindName, ...] = get_args(KindName)

Row = tuple[str, str]
"""A text and the name of its label."""

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)


class Example(NamedTuple):
    """A row of a task: what a model is given, what it should answer, and where the row stands.

    inputs: a text; two texts of a pair; an array, or an image's path; the whole record of a custom
    task.
    target: the number of a label; a number to be predicted; the text to be written. While a task
    is being made, the name of the label.
    row: its number in the data as they were read, from 0: how results name it. Of data in one
    file per split, its number in that split's file.
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

    def subset(self, split: str = "train", *, rows: Iterable[int]) -> "Task":
        """Keep only these row numbers (`Example.row`) of a split; other splits stay as they are.

        The split's order is kept. Raises BadInput where a number is not in the split.
        """
        wanted = {int(row) for row in rows}
        there = self.rows(split)
        strangers = wanted - {example.row for example in there}
        if strangers:
            raise BadInput(
                f"split {split!r} of task {self.name!r} has no row {min(strangers)}; give numbers "
                "of rows as its examples carry them (Example.row)"
            )
        kept = tuple(example for example in there if example.row in wanted)
        return replace(self, splits={**self.splits, split: kept})


def make_task(
    name: str, domain: str, splits: Mapping[str, Sequence[Row]], *, max_tokens: int = 40
) -> Task:
    """Make a task of texts and labels that are split already; rows are numbered as they come.

    Raises BadInput when there are fewer than two labels, or when a text is in two splits.
    """
    row = count()
    examples = {
        split: [Example(text, label, next(row)) for text, label in rows]
        for split, rows in splits.items()
    }
    return build_task(Task(name, domain, (), {}, max_tokens), examples)


def build_task(
    like: Task, splits: Mapping[str, Sequence[Example]], *, regression: bool = False
) -> Task:
    """Give a task its rows: refuse what is on two sides, and number the labels.

    `like` says all but the rows; without labels of its own they come from the training rows (all
    rows where there are none), in order. Examples carry label names, or what is to be predicted.
    Raises BadInput for an input in two splits, a label that is unknown or alone.
    """
    refuse_shared(like.name, splits)
    if regression or like.kind not in ("classification", "pair"):
        return replace(like, splits={split: tuple(rows) for split, rows in splits.items()})
    known = splits.get("train") or [row for rows in splits.values() for row in rows]
    labels = like.labels or in_order(example.target for example in known)
    if len(labels) < 2:
        raise BadInput(f"task {like.name!r} needs two labels or more; its rows have {list(labels)}")
    numbers = {label: number for number, label in enumerate(labels)}
    numbered = {
        split: tuple(_numbered(like, split, example, numbers) for example in rows)
        for split, rows in splits.items()
    }
    return replace(like, labels=labels, splits=numbered)


def _numbered(like: Task, split: str, example: Example, numbers: Mapping[str, int]) -> Example:
    number = numbers.get(example.target)
    if number is None:
        whose = "its list of labels has" if like.labels else "its training rows have"
        raise BadInput(
            f"task {like.name!r}, split {split!r}, row {example.row}: unknown label "
            f"{str(example.target)[:60]!r}; {whose} {listed(numbers)}"
        )
    return example._replace(target=number)


def refuse_shared(name: str, splits: Mapping[str, Sequence[Example]]) -> None:
    """Raise BadInput where inputs stand in two splits: how many, and where the first one does."""
    seen: dict[str, tuple[str, Example]] = {}
    shared: dict[str, tuple[str, Example]] = {}
    for split, rows in splits.items():
        for example in rows:
            key = exact_key(example.inputs)
            if seen.setdefault(key, (split, example))[0] != split:
                shared.setdefault(key, (split, example))
    if not shared:
        return
    key, (second, example) = next(iter(shared.items()))
    first, before = seen[key]
    many = f"; {len(shared)} inputs are" if len(shared) > 1 else "; it is the only one"
    raise BadInput(
        f"task {name!r} has {_shown(example.inputs)} in splits {first!r} (row {before.row}) and "
        f"{second!r} (row {example.row}){many}; a model would be tested on what it was trained on. "
        "In a task file 'split: {overlap: drop}' leaves such inputs out of training"
    )


def _shown(inputs: Any) -> str:
    if isinstance(inputs, str):
        return f"the text {inputs[:60]!r}"
    if isinstance(inputs, tuple):
        return "the pair " + ", ".join(repr(str(part)[:60]) for part in inputs)
    return f"the input {str(inputs)[:80]!r}"
