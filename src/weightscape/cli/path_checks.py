"""Arguments that make no sense, refused before anything heavy is loaded or computed."""

import os
from collections.abc import Sequence
from pathlib import Path

from weightscape.errors import BadInput

PICTURES = (".png", ".svg", ".pdf", ".html")


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
        raise BadInput(f"{option} is a number of rows, 1 or more, or all, not {text!r}")
    return int(text)


def check_plots(plots: Sequence[Path] | None) -> None:
    """Refuse pictures that cannot be drawn or written, before hours of work for them."""
    for plot in plots or ():
        if plot.suffix.lower() not in PICTURES:
            raise BadInput(f"a picture's name must end in {', '.join(PICTURES)}; got {plot.name!r}")
        folder = plot.absolute().parent
        if not folder.is_dir():
            raise BadInput(f"--plot {plot}: there is no folder {folder}; make it first")
        if plot.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
            raise BadInput(f"--plot {plot}: it cannot be written there; choose another place")


def check_output(option: str, folder: Path | None) -> None:
    """Refuse a folder that cannot be made: something else is in the way, or it may not be."""
    if folder is None:
        return
    there = folder.absolute()
    while not there.exists() and there != there.parent:
        there = there.parent
    if not there.is_dir():
        raise BadInput(f"{option} {folder}: {there} is no folder; choose another place")
    if not os.access(there, os.W_OK | os.X_OK):
        raise BadInput(f"{option} {folder}: nothing may be written in {there}; choose another")
