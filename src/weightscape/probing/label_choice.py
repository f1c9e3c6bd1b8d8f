"""Labels to choose from, as somebody gives them: between commas, or in a file."""

import os
from pathlib import Path

from weightscape.errors import BadInput, NotFound
from weightscape.io.source import read_text
from weightscape.probing.json_values import read_value
from weightscape.probing.label_files import read_label_file
from weightscape.probing.label_lists import LONGEST, is_label

MOST = 1_000
_LIMIT = 1 << 22
_SUFFIXES = (".txt", ".csv", ".tsv", ".json")


def read_choice(given: str) -> list[str]:
    """Read labels: what stands between commas, or what a file says, each once.

    A .csv, .tsv or .json file is one of models and their labels, as `read_label_file` takes it, or
    a JSON list of labels; any other file has a label a line. What looks like the path of a file
    has to be one.

    Raises NotFound, BadInput where there are no labels, or more than 1,000.

    >>> read_choice("weather, sports,weather")
    ['weather', 'sports']
    """
    file = Path(given)
    if _is_file(file):
        parts = _of_file(file)
    elif _looks_like_file(given):
        what = "is a folder" if file.is_dir() else "no such file"
        raise NotFound(
            f"{given}: {what}; give a file of labels, one a line. A label of that name is given "
            f"with a comma behind it: '{given},'"
        )
    else:
        parts = given.split(",")
    found = list(dict.fromkeys(" ".join(it.split()) for it in parts if it.strip()))
    if not found:
        raise BadInput(
            f"{given[:80]!r}: has no labels; give some between commas, or a file of them"
        )
    if len(found) > MOST:
        raise BadInput(f"{given[:80]}: {len(found):,} labels are too many; give {MOST:,} at most")
    for label in found:
        if not is_label(label):
            raise BadInput(
                f"{given[:80]}: {label[:60]!r} is no label; one has 1 to {LONGEST} characters that "
                "can be printed"
            )
    return found


def _of_file(file: Path) -> list[str]:
    suffix = file.suffix.lower()
    if suffix not in _SUFFIXES[1:]:
        return read_text(file, _LIMIT).splitlines()
    if suffix == ".json":
        told = read_value(file, _LIMIT)
        if isinstance(told, list):
            if not all(isinstance(it, str) for it in told):
                raise BadInput(f"{file}: should be a list of labels, which are texts")
            return told
    read = read_label_file(file)
    if read.doubt:
        raise BadInput(
            f"{file}: has no column model, so that its labels are not known from others; name the "
            "columns model and label, or give a .txt file with a label a line"
        )
    return [label.label for model in read.models for label in model.labels]


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a list of labels may be longer than any file's name
        return False


def _looks_like_file(given: str) -> bool:
    if "," in given or len(given.split()) != 1:
        return False
    return "/" in given or os.sep in given or given.lower().endswith(_SUFFIXES)
