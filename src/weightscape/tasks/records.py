"""Rows as they were read: a mapping of columns each, and the place each one came from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from weightscape.errors import BadInput
from weightscape.tasks.labels import is_missing, listed


@dataclass(frozen=True, slots=True)
class Records:
    """The rows of one file or split, in their order; a row's number is its place, from 0.

    source: what errors call it. columns: those of the first row at least.
    lines: where rows begin in a text file, from 1.
    folder: what an image's path is relative to, and must stay in; None where there are no paths.
    """

    source: str
    columns: tuple[str, ...]
    rows: Sequence[Mapping[str, Any]]
    lines: Sequence[int] | None = None
    folder: Path | None = None

    def where(self, row: int) -> str:
        """Name a row for a message, as its file counts."""
        if self.lines is not None:
            return f"{self.source}, line {self.lines[row]}"
        return f"{self.source}, row {row}"

    def cell(self, row: int, column: str) -> Any:
        """Give what stands in a column; raises BadInput where a row has no such column."""
        record = self.rows[row]
        if column not in record:
            raise BadInput(
                f"{self.where(row)}: no column {column!r}; its columns are {listed(record, 20)}"
            )
        return record[column]

    def filled(self, row: int, column: str) -> Any:
        """Give what stands in a column and must not be empty."""
        value = self.cell(row, column)
        if is_missing(value):
            raise BadInput(
                f"{self.where(row)}: column {column!r} is empty; fill it, or take the row out"
            )
        return value

    def text(self, row: int, column: str) -> str:
        """Give a text, empty where nothing stands; numbers are written out."""
        value = self.cell(row, column)
        if is_missing(value):
            return ""
        if not isinstance(value, str | int | float):
            raise BadInput(
                f"{self.where(row)}: column {column!r} should hold a text, "
                f"but holds a {type(value).__name__}"
            )
        text = str(value)
        if not text.isascii() and any("\ud800" <= letter <= "\udfff" for letter in text):
            raise BadInput(
                f"{self.where(row)}: column {column!r} holds half a character (a lone surrogate); "
                "save the data as UTF-8 again"
            )
        return text
