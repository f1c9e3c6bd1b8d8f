"""What the ids of classes mean, out of a file such as ImageNet's list of words."""

import re
from pathlib import Path

from weightscape.errors import BadInput, NotFound
from weightscape.io.source import read_text
from weightscape.probing.json_values import read_value
from weightscape.probing.label_lists import is_label

_LIMIT = 64 << 20
_PARTED = re.compile(r"\t|,|\s")


def read_class_names(file: Path) -> dict[str, str]:
    """Read what class ids mean: .json (an object, or a list by number), or lines of id and name.

    A line's id ends at its first tab, comma or space. Of several names (a list, or names with
    commas between) the first is taken. Raises NotFound, or BadInput with the line.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder) / "words.txt"
    ...     _ = file.write_text("n01443537\\tgoldfish, Carassius auratus\\n")
    ...     read_class_names(file)
    {'n01443537': 'goldfish'}
    """
    if not file.is_file():
        raise NotFound(f"{file}: no such file of class names")
    named = _of_json(file) if file.suffix.lower() == ".json" else _of_lines(file)
    for label, name in named.items():
        if not is_label(label) or not is_label(name):
            raise BadInput(f"{file}: {label[:60]!r}, {name[:60]!r} are no id and name of a class")
    return named


def _of_json(file: Path) -> dict[str, str]:
    told = read_value(file, _LIMIT)
    if isinstance(told, list):
        told = {str(number): name for number, name in enumerate(told)}
    if not isinstance(told, dict):
        raise BadInput(f"{file}: should be an object of names by id, or a list of names")
    named = {}
    for label, given in told.items():
        first = given[0] if isinstance(given, list) and given else given
        if not isinstance(first, str):
            raise BadInput(f"{file}: the name of {label[:80]!r} should be a text")
        named[label] = _plain(first)
    return named


def _of_lines(file: Path) -> dict[str, str]:
    lines = read_text(file, _LIMIT).splitlines()
    named = {}
    for number, line in enumerate(lines, 1):
        if line.strip():
            label, *rest = _PARTED.split(line.strip(), maxsplit=1)
            if not rest or not rest[0].strip():
                raise BadInput(
                    f"{file}, line {number}: should be an id and a name; got {line[:80]!r}"
                )
            named[label] = _plain(rest[0])
    return named


def _plain(name: str) -> str:
    first = name.partition(",")[0].strip().strip("\"'")
    return " ".join(first.replace("_", " ").split())
