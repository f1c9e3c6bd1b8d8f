"""JSON that need not be an object at the top, read as strictly as `io.json_files` reads those."""

from pathlib import Path
from typing import Any

from weightscape.io.json_files import parse_object
from weightscape.io.source import read_small


def read_value(file: Path, limit: int) -> Any:
    """Read a small file's JSON, whatever it is at the top; raises NotFound or BadCheckpoint."""
    return parse_object(b'{"value": ' + read_small(file, limit) + b"\n}", file)["value"]
