"""JSON that need not be an object at the top, read as strictly as `io.json_files` reads those."""

import codecs
from pathlib import Path
from typing import Any

from weightscape.io.json_files import parse_object
from weightscape.io.source import read_small


def read_value(file: Path, limit: int) -> Any:
    """Read a small file's JSON, whatever it is at the top; raises NotFound or BadCheckpoint."""
    data = read_small(file, limit).removeprefix(codecs.BOM_UTF8)
    return parse_object(b'{"value": ' + data + b"\n}", file)["value"]
