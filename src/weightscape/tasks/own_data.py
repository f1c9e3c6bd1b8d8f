"""A user's own labelled rows: CSV, TSV or JSON lines, with a text and a label column."""

import csv
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from weightscape.errors import BadInput, NotFound
from weightscape.tasks.splits import split_rows
from weightscape.tasks.task import Row, Task, clean_rows, make_task

DELIMITERS = {".csv": ",", ".tsv": "\t"}
JSON_LINES = (".jsonl", ".ndjson")


def read_rows(file: Path, *, text: str = "text", label: str = "label") -> list[Row]:
    """Read a file's rows; raises NotFound or BadInput, which names the line."""
    kind = file.suffix.lower()
    if kind not in DELIMITERS and kind not in JSON_LINES:
        known = ", ".join((*DELIMITERS, *JSON_LINES))
        raise BadInput(f"{file}: cannot read rows of a {kind or 'nameless'} file; known: {known}")
    if not file.is_file():
        raise NotFound(f"{file}: no such file")
    try:
        content = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadInput(f"{file}: not UTF-8 text at byte {error.start}; convert it first") from None
    lines = content.splitlines(keepends=True)
    records = _json_records(file, lines) if kind in JSON_LINES else _table(file, lines)
    return [
        (str(_column(file, line, record, text)), str(_column(file, line, record, label)))
        for line, record in records
    ]


def task_from_file(
    file: Path,
    *,
    text: str = "text",
    label: str = "label",
    domain: str = "",
    seed: int = 0,
    max_tokens: int = 40,
) -> Task:
    """Make a task of one file of rows: cleaned, and split by `seed` label by label."""
    rows = clean_rows(read_rows(file, text=text, label=label))
    if not rows:
        raise BadInput(f"{file}: no row has a text and one label")
    return make_task(file.stem, domain, split_rows(rows, seed=seed), max_tokens=max_tokens)


def _table(file: Path, lines: Iterable[str]) -> Iterator[tuple[int, Mapping[str, Any]]]:
    csv.field_size_limit(1 << 27)  # the 128 KiB default is less than a long document
    reader = csv.DictReader(lines, delimiter=DELIMITERS[file.suffix.lower()], strict=True)
    try:
        for record in reader:
            yield reader.line_num, record
    except csv.Error as error:
        raise BadInput(f"{file}, line {reader.line_num}: {error}") from None


def _json_records(file: Path, lines: Iterable[str]) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except ValueError as error:
            raise BadInput(f"{file}, line {number}: not JSON ({error})") from None
        if not isinstance(record, dict):
            raise BadInput(f"{file}, line {number}: expected an object, got {line.strip()[:40]!r}")
        yield number, record


def _column(file: Path, line: int, record: Mapping[str, Any], name: str) -> Any:
    value = record.get(name)
    if value is None:
        columns = ", ".join(repr(key) for key in record if key is not None)
        raise BadInput(f"{file}, line {line}: no column {name!r}; its columns are {columns}")
    return value
