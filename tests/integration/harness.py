"""Running the command line: in this process where the boundary does not matter, else in another."""

import io
import json
import os
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from unittest import mock

from pydantic import BaseModel

from weightscape.cli.main import main

Schema = TypeVar("Schema", bound=BaseModel)


@dataclass(frozen=True)
class Outcome:
    """What a command left: exit code, stdout, stderr."""

    code: int
    out: str
    err: str

    def error(self) -> str:
        """Return the one line of a user's error; anything else fails."""
        assert self.code == 2, (self.code, self.out, self.err)
        lines = [line for line in self.err.splitlines() if not line.endswith(" ...")]
        assert len(lines) == 1, self.err
        assert "Traceback" not in self.err
        return lines[0]


def run(*argv: object) -> Outcome:
    """Run `weightscape` with these arguments in this process."""
    out, err = io.StringIO(), io.StringIO()
    code: Any = 0
    with (
        mock.patch.object(sys, "argv", ["weightscape", *map(str, argv)]),
        redirect_stdout(out),
        redirect_stderr(err),
    ):
        try:
            main()
        except SystemExit as end:
            code = end.code or 0
    return Outcome(code, out.getvalue(), err.getvalue())


def ask(schema: type[Schema], *argv: object, code: int = 0) -> Schema:
    """Run a verb with `--json` and read its answer by the schema, which forbids other keys."""
    outcome = run(*argv, "--json")
    assert outcome.code == code, outcome
    return schema.model_validate_json(outcome.out)


def start(*argv: object, **options: Any) -> "subprocess.Popen[str]":
    """Start `weightscape` as a process of its own."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **options.pop("env", {})}
    return subprocess.Popen(
        [sys.executable, "-m", "weightscape.cli.main", *map(str, argv)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        **options,
    )


def finish(process: "subprocess.Popen[str]", seconds: float = 120) -> Outcome:
    """Wait for a process and return what it left."""
    out, err = process.communicate(timeout=seconds)
    return Outcome(process.returncode, out, err)


def read_json(path: Path) -> Any:
    """Read a JSON file."""
    return json.loads(path.read_text())
