"""What the ids of classes mean, out of a file such as ImageNet's list of words."""

import csv
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from weightscape.errors import BadInput, NotFound
from weightscape.io.source import read_text
from weightscape.probing.json_values import read_value
from weightscape.probing.label_lists import is_label

FORMAT = (
    "give a line for each label, such as 'n01443537: goldfish' (a tab, a comma or a space will do "
    "as well), or a .json object of words by label"
)
_LIMIT = 64 << 20
_COLON = re.compile(r"[^,:]+:\s+\S")
_COMMA_OR_SPACE = re.compile(r"\s*,\s*|\s+")


def read_class_names(file: Path) -> dict[str, str]:
    """Read what class ids mean: .json (an object, or a list by number), or lines of id and name.

    Between id and name stands a tab if any line has one, ": " if all lines have it; else the first
    comma or space ends the id. Of several names (a list, or names with commas between) the first is
    taken. A zoo's truth.json says it of its classes. Raises NotFound, or BadInput with the line.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder) / "words.txt"
    ...     _ = file.write_text("n01443537\\tgoldfish, Carassius auratus\\n")
    ...     read_class_names(file)
    {'n01443537': 'goldfish'}
    """
    if not file.is_file():
        what = "is a folder, not a file" if file.is_dir() else "no such file"
        raise NotFound(f"{file}: {what} of class names")
    pairs = _of_json(file) if file.suffix.lower() == ".json" else _of_lines(file)
    named: dict[str, str] = {}
    for where, label, words in pairs:
        name = _plain(words)
        if not is_label(label) or not is_label(name):
            raise BadInput(f"{where}: {label[:60]!r} and {words[:60]!r} are no label and its words")
        if named.setdefault(label, name) != name:
            raise BadInput(
                f"{where}: {label[:60]!r} has other words than before; {FORMAT}, each label once"
            )
    if not named:
        raise BadInput(f"{file}: puts no label into words; {FORMAT}")
    return named


def _of_json(file: Path) -> Iterator[tuple[str, str, str]]:
    told = read_value(file, _LIMIT)
    if isinstance(told, dict) and "zoo" in told and isinstance(told.get("classes"), dict):
        told = told["classes"]
    if isinstance(told, list):
        told = {str(number): name for number, name in enumerate(told)}
    if not isinstance(told, dict):
        raise BadInput(f"{file}: should be an object of names by id, or a list of names")
    for label, given in told.items():
        first = given[0] if isinstance(given, list) and given else given
        if not isinstance(first, str):
            raise BadInput(f"{file}: the name of {label[:80]!r} should be a text")
        yield str(file), label, first


def _of_lines(file: Path) -> Iterator[tuple[str, str, str]]:
    numbered = enumerate(read_text(file, _LIMIT).splitlines(), 1)
    lines = [(number, line.strip(" \r\n")) for number, line in numbered if line.strip()]
    cut = _cut(file, [line for _, line in lines])
    for number, line in lines:
        label, words = cut(line)
        if not label.strip() or not words.strip() or label.endswith(":"):
            raise BadInput(
                f"{file}, line {number}: {line[:80]!r} is no label and its words; {FORMAT}"
            )
        yield f"{file}, line {number}", " ".join(label.split()), words


def _cut(file: Path, lines: Sequence[str]) -> Callable[[str], tuple[str, str]]:
    """Tell what parts a label from its words, by all lines: one may be read in two ways."""
    if any("\t" in line for line in lines):
        return lambda line: _two(line.split("\t", 1))
    if all(_COLON.match(line) for line in lines):
        return lambda line: _two(line.split(":", 1))
    if file.suffix.lower() == ".csv":
        return _cells
    return lambda line: _two(_COMMA_OR_SPACE.split(line, maxsplit=1))


def _cells(line: str) -> tuple[str, str]:
    try:
        label, *words = next(csv.reader([line], strict=True))
    except csv.Error:
        return "", ""
    return label, ", ".join(words)


def _two(parts: Sequence[str]) -> tuple[str, str]:
    return parts[0], parts[1] if len(parts) > 1 else ""


def _plain(name: str) -> str:
    first = name.partition(",")[0].strip().strip("\"'")
    return " ".join(first.replace("_", " ").split())
