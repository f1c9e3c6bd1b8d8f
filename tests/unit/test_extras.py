"""What an error says to install can be installed."""

import ast
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]


def named_extras():
    for file in sorted((ROOT / "src").rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "MissingExtra":
                extra = node.args[0]
                assert isinstance(extra, ast.Constant), f"{file}, line {node.lineno}"
                yield extra.value, f"{file.relative_to(ROOT)}, line {node.lineno}"


def test_every_extra_that_is_missed_is_one_of_the_package():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    named = list(named_extras())
    assert named
    unknown = [where for extra, where in named if extra not in project["optional-dependencies"]]
    assert unknown == []
