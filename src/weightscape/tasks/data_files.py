"""One file of rows: CSV, TSV, JSON lines or Parquet."""

import csv
import io
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from weightscape.errors import BadInput, MissingExtra, NotFound
from weightscape.tasks.labels import listed
from weightscape.tasks.records import Records

DELIMITERS = {".csv": ",", ".tsv": "\t"}
JSON_LINES = (".jsonl", ".ndjson")
PARQUET = (".parquet",)
SUFFIXES = (*DELIMITERS, *JSON_LINES, *PARQUET)

TEXT_FILE_LIMIT = 2 << 30
FIELD_LIMIT = 1 << 27  # Python's default of 128 KiB is less than a long document


def read_data_file(file: Path) -> Records:
    """Read a file's rows; raises NotFound or BadInput, which names the line."""
    suffix = file.suffix.lower()
    if suffix not in SUFFIXES:
        raise BadInput(
            f"{file}: cannot read rows of a {suffix or 'nameless'} file; known: "
            f"{', '.join(SUFFIXES)}"
        )
    check_file(file)
    if suffix in PARQUET:
        return _parquet(file)
    content = read_text(file, TEXT_FILE_LIMIT)
    numbered = list(
        _json_lines(file, content)
        if suffix in JSON_LINES
        else _table(file, content, DELIMITERS[suffix])
    )
    if not numbered:
        raise BadInput(f"{file}: holds no rows")
    lines, rows = zip(*numbered, strict=True)
    return Records(str(file), tuple(rows[0]), rows, lines, file.parent)


def check_file(file: Path) -> None:
    """Refuse what is no regular file that is there."""
    try:
        if file.is_file():
            return
        there = file.exists()
    except (OSError, ValueError) as error:  # a name that is too long, or has a NUL in it
        said = getattr(error, "strerror", None) or error
        raise BadInput(f"{str(file)[:200]!r} cannot be a file: {said}") from None
    if there:
        raise BadInput(f"{file}: is a folder or no regular file; give a file of rows")
    raise NotFound(f"{file}: no such file")


def read_text(file: Path, limit: int) -> str:
    """Read a UTF-8 file that is no larger than `limit` bytes; a byte order mark is left out."""
    try:
        size = file.stat().st_size
        if size > limit:
            raise BadInput(f"{file}: is {size:,} bytes; more than {limit:,} is not read from it")
        content = file.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadInput(f"{file}: not UTF-8 text at byte {error.start}; convert it first") from None
    except OSError as error:
        raise BadInput(f"{file}: cannot be read: {error.strerror}") from None
    if "\0" in content:
        line = content.count("\n", 0, content.index("\0")) + 1
        raise BadInput(f"{file}, line {line}: holds a NUL character; it is no text file")
    return content


def _table(file: Path, content: str, delimiter: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    csv.field_size_limit(FIELD_LIMIT)
    # not split into lines first: texts may hold characters that Python takes for line ends
    reader = csv.reader(io.StringIO(content, newline=""), delimiter=delimiter, strict=True)
    end = 0
    try:
        header: list[str] = []
        for fields in reader:
            line, end = end + 1, reader.line_num
            if not fields:
                continue
            if not header:
                header = _header(file, fields)
            elif len(fields) != len(header):
                raise BadInput(
                    f"{file}, line {line}: {len(fields)} fields, but the header names "
                    f"{len(header)} ({listed(header)}); put quotes around texts that hold "
                    f"{delimiter!r}"
                )
            else:
                yield line, dict(zip(header, fields, strict=True))
    except csv.Error as error:
        raise BadInput(f"{file}, line {reader.line_num}: {error}") from None


def _header(file: Path, fields: list[str]) -> list[str]:
    twice = [name for name in fields if fields.count(name) > 1]
    if twice:
        raise BadInput(f"{file}, line 1: the header names column {twice[0]!r} twice")
    return fields


def _json_lines(file: Path, content: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for number, line in enumerate(content.split("\n"), 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise BadInput(f"{file}, line {number}: not JSON ({error})") from None
        if not isinstance(record, dict):
            raise BadInput(f"{file}, line {number}: expected an object, got {line.strip()[:40]!r}")
        yield number, record


def _parquet(file: Path) -> Records:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise MissingExtra("tasks", "the package pyarrow, to read Parquet") from None
    try:
        table = parquet.ParquetFile(file).read()
        rows = table.to_pylist()
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        said = str(error).splitlines()[0][:200]
        raise BadInput(f"{file}: cannot be read as Parquet: {said}") from None
    if not rows:
        raise BadInput(f"{file}: holds no rows")
    return Records(str(file), tuple(table.column_names), rows, folder=file.parent)
