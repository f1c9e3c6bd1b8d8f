import json
import subprocess
import sys

import pytest

import weightscape.atlas


def loaded_by(doing):
    code = f"{doing}\nimport json, sys; print(json.dumps(sorted(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    return set(json.loads(run.stdout))


def test_a_search_does_not_wait_for_what_charts_an_atlas():
    loaded = loaded_by("import weightscape.atlas.searching")
    assert "torch" in loaded  # experts are read with it
    unwanted = {"scipy", "sklearn", "networkx", "transformers", "weightscape.atlas.facade"}
    assert not loaded & unwanted


def test_the_public_names_are_there_when_they_are_asked_for():
    for name in weightscape.atlas.__all__:
        assert getattr(weightscape.atlas, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'Atlass'"):
        weightscape.atlas.Atlass  # noqa: B018
