"""Rows into examples: which columns a kind of task reads, and what stands in them."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from weightscape.errors import BadInput
from weightscape.tasks.labels import label_name, listed
from weightscape.tasks.records import Records
from weightscape.tasks.sameness import plain
from weightscape.tasks.task import Example, KindName
from weightscape.tasks.task_schema import ColumnsTable, TaskTable


def kind_of(table: TaskTable, columns: Sequence[str]) -> KindName:
    """Tell the kind of a task: as stated, or by the columns there are."""
    if table.kind is not None:
        return table.kind
    named = table.columns
    if table.function is not None:
        return "custom"
    if named.first in columns and named.second in columns:
        return "pair"
    if named.target in columns and named.label not in columns:
        return "seq2seq"
    return "classification"


def examples_of(
    records: Records, kind: KindName, table: TaskTable, rows: Sequence[int]
) -> list[Example]:
    """Turn these rows into examples with label names, numbers or texts as targets.

    Raises BadInput naming the row for a missing column, an empty target, a number that is none,
    or an image outside the data's folder.
    """
    if kind == "custom":
        return [Example(dict(records.rows[row]), None, row) for row in rows]
    if kind in ("seq2seq", "causal"):
        _check_columns(records, (table.columns.text, table.columns.target))
        target: Callable[[Records, int, str], Any] = _written
        at_target = table.columns.target
    else:
        target, at_target = _labels(table), table.columns.label
    read = _inputs(records, kind, table.columns, at_target)
    return [Example(read(records, row), target(records, row, at_target), row) for row in rows]


def _inputs(
    records: Records, kind: KindName, columns: ColumnsTable, at_target: str
) -> Callable[[Records, int], Any]:
    if kind == "pair":
        _check_columns(records, (columns.first, columns.second, at_target))
        return lambda records, row: (
            plain(records.text(row, columns.first)),
            plain(records.text(row, columns.second)),
        )
    if kind == "classification" and _has_images(records, columns):
        _check_columns(records, (columns.image, at_target))
        return lambda records, row: _image(records, row, columns.image)
    _check_columns(records, (columns.text, at_target))
    if kind == "classification":
        return lambda records, row: plain(records.text(row, columns.text))
    # white space may mean something where texts are written (code, line ends)
    return lambda records, row: records.text(row, columns.text)


def _has_images(records: Records, columns: ColumnsTable) -> bool:
    stated = "image" in columns.model_fields_set
    return stated or (columns.image in records.columns and columns.text not in records.columns)


def _check_columns(records: Records, names: Iterable[str]) -> None:
    missing = [name for name in names if name not in records.columns]
    if missing:
        raise BadInput(
            f"{records.where(0)}: no column {missing[0]!r}; its columns are "
            f"{listed(records.columns, 20)}; say which is meant in the task file under 'columns'"
        )


def _written(records: Records, row: int, column: str) -> str:
    records.filled(row, column)
    return records.text(row, column)


def _labels(table: TaskTable) -> Callable[[Records, int, str], Any]:
    if table.labels == "number":
        return _number
    codes: Mapping[str, str] | None = table.labels if isinstance(table.labels, dict) else None

    def label(records: Records, row: int, column: str) -> str:
        value = records.filled(row, column)
        if not isinstance(value, str | int | float):
            raise BadInput(
                f"{records.where(row)}: column {column!r} should hold a label, but holds a "
                f"{type(value).__name__}"
            )
        name = label_name(value)
        if codes is None:
            if name.lower() == "nan" and name not in (table.labels or ()):
                raise BadInput(
                    f"{records.where(row)}: column {column!r} holds {name!r}, which is how many "
                    "programs write an empty cell; take the row out, or list it under 'labels' if "
                    "it is a label"
                )
            return name
        if name not in codes:
            raise BadInput(
                f"{records.where(row)}: unknown label {name[:60]!r}; 'labels' has {listed(codes)}"
            )
        return codes[name]

    return label


def _number(records: Records, row: int, column: str) -> float:
    value = records.filled(row, column)
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise BadInput(
            f"{records.where(row)}: column {column!r} should hold a finite number, but holds "
            f"{str(value)[:60]!r}"
        )
    return number


def _image(records: Records, row: int, column: str) -> Any:
    value = records.filled(row, column)
    if not isinstance(value, str):
        if hasattr(value, "shape"):
            return value
        raise BadInput(
            f"{records.where(row)}: column {column!r} should hold an image or a path, but holds a "
            f"{type(value).__name__}"
        )
    if records.folder is None:
        raise BadInput(
            f"{records.where(row)}: column {column!r} holds paths, which are read beside a data "
            "file only; store the images in the data set"
        )
    folder = records.folder.resolve()
    try:
        path = (folder / value).resolve()
        there = path.is_file()
    except (OSError, ValueError, RuntimeError) as error:
        raise BadInput(f"{records.where(row)}: {value[:80]!r} is no path: {error}") from None
    if not path.is_relative_to(folder):
        raise BadInput(
            f"{records.where(row)}: image {value[:80]!r} lies outside the data's folder {folder}"
        )
    if not there:
        raise BadInput(f"{records.where(row)}: there is no image {value[:80]!r} in {folder}")
    return Path(path)
