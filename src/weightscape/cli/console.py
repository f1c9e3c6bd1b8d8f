"""The terminal: progress bars with time left and notes on stderr, results on stdout."""

import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from time import monotonic
from typing import Any

from pydantic import BaseModel
from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    ProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.progress import Progress as Bars
from rich.table import Table

from weightscape.progress import Advance, Progress

# Columns of a pipe, which has no width of its own.
WIDEST = 1000
# Seconds between two lines of a stage where no bar can be drawn.
SILENCE = 30.0


def out() -> Console:
    """Return the console for results; a pipe or a file gets tables as wide as they are."""
    piped = not sys.stdout.isatty() and "COLUMNS" not in os.environ
    return Console(
        file=sys.stdout, highlight=False, soft_wrap=piped, width=WIDEST if piped else None
    )


def err() -> Console:
    """Return the console for everything else."""
    return Console(file=sys.stderr, highlight=False)


class TerminalProgress:
    """Draws stages as bars that vanish when done; without a terminal, as a line now and then."""

    def __init__(self, console: Console, quiet: bool) -> None:
        self._console = console
        self._quiet = quiet

    @contextmanager
    def stage(self, label: str, *, total: float | None = None, unit: str = "") -> Iterator[Advance]:
        """Draw one stage of work."""
        if self._quiet or total == 0:
            yield lambda amount: None
        elif not self._console.is_terminal:
            self.note(f"{label} ...")
            yield self._telling(label, total, unit)
        else:
            with Bars(*_columns(unit), console=self._console, transient=True) as bars:
                task = bars.add_task(escape(printable(label)), total=total)
                yield lambda amount: bars.advance(task, amount)

    def _telling(self, label: str, total: float | None, unit: str) -> Advance:
        """Tell every half minute how far a stage is, and how long it will go on."""
        done, began = 0.0, monotonic()
        last = began

        def advance(amount: float) -> None:
            nonlocal done, last
            done, now = done + amount, monotonic()
            if now - last >= SILENCE and (total is None or done < total):
                last = now
                self.note(f"{label}: {_how_far(done, total, unit, now - began)} ...")

        return advance

    def note(self, message: str) -> None:
        """Print one line."""
        if not self._quiet:
            self._console.print(escape(printable(message)), soft_wrap=True)


def _columns(unit: str) -> list[ProgressColumn]:
    shared: list[ProgressColumn] = [TextColumn("{task.description}"), BarColumn(bar_width=28)]
    amount: list[ProgressColumn] = (
        [DownloadColumn(binary_units=True), TransferSpeedColumn()]
        if unit == "B"
        else [MofNCompleteColumn(), TextColumn(unit)]
    )
    return [*shared, *amount, TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn()]


def _how_far(done: float, total: float | None, unit: str, seconds: float) -> str:
    """Say how much of a stage is done, and the time left if it goes on as it went.

    >>> _how_far(25, 100, "steps", 60)
    '25 of 100 steps, about 3 min left'
    >>> _how_far(3, None, "", 60)
    '3'
    """
    many = size if unit == "B" else lambda count: f"{count:,.0f}"
    named = unit if unit != "B" else ""
    if total is None:
        return f"{many(done)} {named}".strip()
    said = f"{many(done)} of {many(total)} {named}".strip()
    return f"{said}, about {duration(seconds * (total / done - 1))} left" if done else said


def duration(seconds: float) -> str:
    """Write a length of time for a person.

    >>> duration(42), duration(200), duration(9000)
    ('42 s', '3 min', '2 h 30 min')
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


@contextmanager
def progress(quiet: bool = False) -> Iterator[Progress]:
    """Open the terminal for a long function's progress."""
    yield TerminalProgress(err(), quiet)


def note(message: str) -> None:
    """Print one line on stderr."""
    err().print(escape(printable(message)), soft_wrap=True)


def answer(data: BaseModel) -> None:
    """Print a result as JSON on stdout."""
    sys.stdout.write(json.dumps(data.model_dump(mode="json"), indent=2, allow_nan=False) + "\n")


def export(text: str) -> None:
    """Print a result for another program as it is; on a terminal, nothing that it would obey."""
    if sys.stdout.isatty():
        text = "\n".join(printable(line) for line in text.split("\n"))
    sys.stdout.write(text)


def table(columns: Sequence[str], rows: Sequence[Sequence[Any]], *, right: str = "") -> Table:
    """Make a plain table; `right` lists (space separated) the columns that hold numbers."""
    numbers = set(right.split())
    made = Table(box=None, pad_edge=False, header_style="bold", show_header=any(columns))
    for column in columns:
        made.add_column(column, justify="right" if column in numbers else "left", overflow="fold")
    for row in rows:
        # names come out of files: no markup of theirs is obeyed, no control character printed
        made.add_row(*(escape(printable(str(cell))) for cell in row))
    return made


def printable(text: str) -> str:
    """Replace control characters, which could move a terminal's cursor or change its title.

    >>> printable("a\\x1b[2Jb")
    'a\\\\x1b[2Jb'
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def size(count: float) -> str:
    """Write a number of bytes for a person.

    >>> size(90868376)
    '86.7 MiB'
    """
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(count) < 1024 or unit == "GiB":
            break
        count /= 1024
    return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
