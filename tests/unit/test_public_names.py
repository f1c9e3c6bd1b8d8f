"""The public face: which names the package exposes, and how little it costs to import."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

import weightscape

HEAVY = {"torch", "sklearn", "transformers", "scipy", "numpy", "pandas", "plotly", "sqlalchemy"}


def test_public_names_are_sorted_few_and_there():
    names = weightscape.__all__
    assert names == sorted(names)
    assert len(names) <= 50
    for name in names:
        assert getattr(weightscape, name) is not None
    assert set(names) <= set(dir(weightscape))


def test_type_checkers_see_what_is_loaded_lazily():
    tree = ast.parse(Path(weightscape.__file__).read_text())
    shown = {
        alias.name: node.module
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("weightscape.")
        for alias in node.names
    }
    assert shown == weightscape._HOME_OF
    assert set(shown) == set(weightscape.__all__) - {"__version__"}


def test_public_things_have_docstrings_that_say_what_they_do():
    for name in weightscape.__all__:
        if name != "__version__":
            assert (getattr(weightscape, name).__doc__ or "").strip(), name


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'Atlass'"):
        weightscape.Atlass  # noqa: B018


@pytest.mark.parametrize(
    "doing",
    [
        "import weightscape; weightscape.WeightscapeError",
        "import sys; sys.argv = ['weightscape', '--help']\n"
        "from weightscape.cli.main import main\n"
        "try: main()\nexcept SystemExit as end: assert end.code == 0, end.code",
    ],
    ids=["import", "help"],
)
def test_nothing_heavy_is_imported_before_it_is_needed(doing):
    code = f"{doing}\nimport json, sys; print('\\n' + json.dumps(sorted(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    loaded = {name.split(".")[0] for name in json.loads(run.stdout.splitlines()[-1])}
    assert not loaded & HEAVY
