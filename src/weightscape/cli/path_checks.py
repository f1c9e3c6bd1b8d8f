"""Arguments of `path` and `plane` that make no sense, refused before anything heavy is loaded."""

from collections.abc import Sequence
from pathlib import Path

from weightscape.errors import BadInput


def check_tasks(given: Sequence[str] | None) -> None:
    """Refuse a question without a task before anything is loaded."""
    if not given:
        raise BadInput("which task? give a task file, a packaged task or data: --task T.yml")


def check_choice(option: str, given: str, choices: Sequence[str]) -> None:
    """Refuse a value that an option does not have."""
    if given not in choices:
        raise BadInput(f"{option} is {', '.join(choices[:-1])} or {choices[-1]}, not {given!r}")


def check_least(option: str, given: float, least: float) -> None:
    """Refuse a number that is too small."""
    if not given >= least:
        raise BadInput(f"{option} is {least} or more, not {given}")


def parse_rows(option: str, text: str) -> int | None:
    """Read a number of rows, or "all" (None).

    >>> parse_rows("--rows", "256"), parse_rows("--rows", "all")
    (256, None)
    """
    if text == "all":
        return None
    if not text.isdecimal() or int(text) < 1:
        raise BadInput(f"{option} is a number of rows or all, not {text!r}")
    return int(text)


def check_plots(plots: Sequence[Path] | None) -> None:
    """Refuse pictures that cannot be drawn, before hours of work for them."""
    from weightscape.report.canvas import check_picture

    for plot in plots or ():
        if plot.suffix.lower() != ".html":
            check_picture(plot)
