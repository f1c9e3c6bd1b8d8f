"""Tables of labels: a model and what it knows a row, in one column or in several."""

import csv
import io
import string
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from weightscape.catalog.records import Label, LabelKind
from weightscape.errors import BadInput
from weightscape.io.source import read_text
from weightscape.probing.label_lists import LONGEST, is_label, read_list

LIMIT = 256 << 20
CELL_LIMIT = 1 << 17
"""Characters; more than this between two commas comes of a quotation mark that is never closed."""
MODEL_COLUMNS = ("model", "models", "name", "model_name", "path", "file", "id")
LABEL_COLUMNS: Mapping[str, LabelKind] = {
    "label": "class",
    "labels": "class",
    "class": "class",
    "classes": "class",
    "task": "task",
    "tasks": "task",
    "dataset": "task",
    "datasets": "task",
    "tag": "tag",
    "tags": "tag",
}
_NUMBERS, _BEFORE_NUMBERS = string.digits, string.punctuation + string.whitespace


@dataclass(frozen=True, slots=True)
class Columns:
    """Where a table's columns are, by place. ignored: names of those that are not read."""

    model: int
    labels: Mapping[int, LabelKind]
    split: int | None = None
    ignored: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LabelTable:
    """Labels by model, in the order of the rows. splits: that the table has.

    first: the first row of a table that names no columns, which may be names of others.
    """

    labels: Mapping[str, tuple[Label, ...]]
    splits: frozenset[str]
    ignored: tuple[str, ...]
    first: tuple[str, ...] = ()


def read_table(file: Path, kind: LabelKind, splits: Collection[str]) -> LabelTable:
    """Read a .csv or .tsv; rows of one model add up. `kind` is that of labels without a heading.

    Raises BadInput with the line that makes no sense.
    """
    rows = _rows(file)
    if not rows:
        raise BadInput(f"{file}: is empty; it should have a model and its labels a row")
    parted = "tabs" if _is_tabbed(file) else "commas"
    columns = read_columns(rows[0][1])
    first: tuple[str, ...] = ()
    named = rows[0][1]
    widest = max(len(cells) for _, cells in rows)
    if columns is None:
        columns = Columns(0, dict.fromkeys(range(1, widest), kind))
        first = tuple(named)
    else:
        widest = len(named)
        rows = rows[1:]
    if not columns.labels:
        raise BadInput(
            f"{file}: has no column of labels; its columns are {shown(named)}; call one label, "
            f"class, task or tag, and part columns by {parted}"
        )
    found: dict[str, dict[Label, None]] = {}
    known = set()
    for number, cells in rows:
        where = f"{file}, line {number}"
        if any(it.strip() for it in cells[widest:]):
            raise BadInput(
                f"{where}: has {len(cells)} cells, but the first row names {widest} columns; part "
                f"the labels of one cell by ; and put a text with {parted} into quotation marks"
            )
        if split := _cell(cells, columns.split):
            known.add(split)
        if splits and split not in splits:
            continue
        name = _cell(cells, columns.model)
        if not name:
            raise BadInput(f"{where}: names no model")
        if len(name.splitlines()) > 1:
            raise BadInput(
                f"{where}: the model {name[:60]!r} goes over several lines; is a quotation mark "
                "not closed?"
            )
        found.setdefault(name, {}).update(dict.fromkeys(_labels_of(cells, columns, where)))
    labels = {name: tuple(mine) for name, mine in found.items()}
    return LabelTable(labels, frozenset(known), columns.ignored, first)


def read_columns(header: Sequence[str]) -> Columns | None:
    """Read a table's first row as names of columns; None where none of them names a model.

    >>> read_columns(["model", "label 1", "label 2", "notes"])
    Columns(model=0, labels={1: 'class', 2: 'class'}, split=None, ignored=('notes',))
    """
    named = [cell.strip().lower() for cell in header]
    model = next((place for place, name in enumerate(named) if name in MODEL_COLUMNS), None)
    if model is None:
        return None
    kinds = [LABEL_COLUMNS.get(name.rstrip(_NUMBERS).rstrip(_BEFORE_NUMBERS)) for name in named]
    split = named.index("split") if "split" in named else None
    return Columns(
        model,
        {place: kind for place, kind in enumerate(kinds) if kind is not None},
        split,
        tuple(
            header[place].strip()
            for place, kind in enumerate(kinds)
            if kind is None and place not in (model, split) and named[place]
        ),
    )


def shown(columns: Sequence[str]) -> str:
    """Name a table's columns for an error; the first of them if there are many."""
    some = ", ".join(it.strip()[:40] for it in columns[:8])
    return some + (", ..." if len(columns) > 8 else "")


def as_label(text: str, kind: LabelKind, where: str) -> Label:
    """Make a label of a text, or raise BadInput that says where it stands."""
    plain = " ".join(text.split())
    if not is_label(plain):
        raise BadInput(
            f"{where}: {plain[:60]!r} is no label; one has 1 to {LONGEST} characters that can be "
            "printed"
        )
    return Label(plain, kind)


def _labels_of(cells: Sequence[str], columns: Columns, where: str) -> Iterator[Label]:
    for place, kind in columns.labels.items():
        cell = _cell(cells, place)
        try:
            texts = read_list(cell) if cell.startswith("[") else cell.split(";")
        except BadInput as problem:
            raise BadInput(f"{where}: {problem}") from None
        yield from (as_label(text, kind, where) for text in texts if text.strip())


def _cell(cells: Sequence[str], place: int | None) -> str:
    return cells[place].strip() if place is not None and place < len(cells) else ""


def _is_tabbed(file: Path) -> bool:
    return file.suffix.lower() == ".tsv"


def _rows(file: Path) -> list[tuple[int, list[str]]]:
    """Read the rows that are not empty, with the numbers of their last lines."""
    text = read_text(file, LIMIT)
    delimiter = "\t" if _is_tabbed(file) else ","
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    rows, start = [], 1
    try:
        for cells in reader:
            # the reader's own limit is the process's: whoever reads long texts has raised it
            if max(map(len, cells), default=0) > CELL_LIMIT:
                raise csv.Error(f"a cell has more than {CELL_LIMIT:,} characters")
            if any(it.strip() for it in cells):
                rows.append((reader.line_num, cells))
            start = reader.line_num + 1
    except csv.Error as problem:
        # a quotation mark that is never closed is found at the end of the file
        raise BadInput(
            f"{file}, line {start}: is no table: {problem}; close each quotation mark, "
            "and double one that is part of a text"
        ) from None
    return rows
