"""The splits that data come with: which are taken, and what is made where one is missing."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from weightscape.errors import BadInput
from weightscape.tasks.labels import is_missing, listed
from weightscape.tasks.records import Records
from weightscape.tasks.sameness import exact_key
from weightscape.tasks.splits import shuffled, split_examples
from weightscape.tasks.task import Example, Split
from weightscape.tasks.task_schema import SplitTable

USUAL_NAMES: Mapping[str, tuple[str, ...]] = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test", "testing"),
}


def choose(source: str, there: Iterable[str], names: Mapping[Any, str] | None) -> dict[str, str]:
    """Say which of the data's splits is which of ours: as told by `names`, or by usual names."""
    known = tuple(there)
    if names is None:
        usual = {
            split: next((name for name in known if name.lower() in several), None)
            for split, several in USUAL_NAMES.items()
        }
        chosen = {split: name for split, name in usual.items() if name is not None}
    else:
        chosen = dict(names)
    for split, name in chosen.items():
        if name not in known:
            raise BadInput(
                f"{source}: has no split {name!r} to be {split!r}; its splits are {listed(known)}"
            )
    if len(set(chosen.values())) < len(chosen):
        raise BadInput(f"{source}: one split cannot be two of ours; got {chosen}")
    if "train" not in chosen and "test" not in chosen:
        raise BadInput(
            f"{source}: its splits are {listed(known)}; say which is which in the task file, for "
            f"example 'split: {{names: {{train: {known[0]}}}}}'"
        )
    if "validation" in chosen and "test" not in chosen:
        raise BadInput(
            f"{source}: has no test split; to test on {chosen['validation']!r}, write in the task "
            f"file 'split: {{names: {{train: {chosen.get('train', 'train')}, "
            f"test: {chosen['validation']}}}}}'"
        )
    return chosen


def rows_by_split(records: Records, column: str, names: Mapping[Any, str] | None) -> dict[int, str]:
    """Read a split column: the rows that are taken, and our split of each."""
    values = [str(records.filled(row, column)).strip() for row in range(len(records.rows))]
    known = list(dict.fromkeys(values))
    chosen = choose(records.source, known, names)
    ours = {name: split for split, name in chosen.items()}
    for row, value in enumerate(values):
        if value not in ours and names is None:
            raise BadInput(
                f"{records.where(row)}: split {value[:60]!r} is none of train, validation, test; "
                "mend it, or say in the task file under 'split: names' which splits are taken"
            )
    return {row: ours[value] for row, value in enumerate(values) if value in ours}


def complete(
    given: Mapping[str, Sequence[Example]], how: SplitTable, strata: Any
) -> dict[str, list[Example]]:
    """Shuffle given splits, and make from the training rows those that are missing.

    A lone training split is split as if it were all the data; where only the validation split is
    missing it is taken from the training rows, in the proportion of the shares.
    """
    if set(given) == {"train"}:
        return split_examples(given["train"], seed=how.seed, shares=how.shares, stratum=strata)
    splits = {split: list(rows) for split, rows in given.items()}
    wanted = how.shares.get("validation", 0)
    if "validation" not in given and "train" in given and wanted:
        share = wanted / (wanted + how.shares.get("train", 0))
        shares: dict[Split, float] = {"validation": share, "train": 1 - share}
        splits |= split_examples(given["train"], seed=how.seed, shares=shares, stratum=strata)
    return {split: shuffled(rows, seed=how.seed) for split, rows in splits.items()}


def drop_overlap(
    given: Mapping[str, Sequence[Example]],
) -> tuple[dict[str, list[Example]], int]:
    """Leave inputs that are tested on out of training and validation; tell how many rows went."""
    seen: set[str] = set()
    kept: dict[str, list[Example]] = {}
    dropped = 0
    for split in ("test", "validation", "train"):
        if split not in given:
            continue
        keys = [exact_key(example.inputs) for example in given[split]]
        pairs = zip(keys, given[split], strict=True)
        kept[split] = [example for key, example in pairs if key not in seen]
        dropped += len(keys) - len(kept[split])
        seen |= set(keys)
    return kept, dropped


def is_split_column(records: Records, column: str, *, stated: bool) -> bool:
    """Tell whether rows say their split themselves; raises BadInput where a stated one is not."""
    there = column in records.columns
    if stated and not there:
        raise BadInput(
            f"{records.source}: no column {column!r} to tell the splits that are asked for; "
            f"its columns are {listed(records.columns, 20)}"
        )
    return there and not is_missing(records.rows[0].get(column))
