"""Fixtures of the tests that run whole verbs on tiny populations."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import populations
import pytest
from browsing import Show, start_browser, watch
from harness import run
from populations import Population


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run every test in a folder of its own, so that a forgotten --atlas writes no litter here."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def population(tmp_path: Path) -> Population:
    """Give an empty population in a folder of this test."""
    return Population(tmp_path / "models")


@pytest.fixture
def family(tmp_path: Path) -> Population:
    """Give a root with six children of two tasks and a grandchild, not charted."""
    return populations.family_tree(tmp_path / "models")


@pytest.fixture(scope="module")
def charted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Population, Path]]:
    """Give the same family and its charted atlas, shared by tests that change neither."""
    folder = tmp_path_factory.mktemp("charted")
    made = populations.family_tree(folder / "models")
    outcome = run("chart", made.folder, "--atlas", folder / "atlas")
    assert outcome.code == 0, outcome
    yield made, folder / "atlas"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Give a browser to the tests of a module."""
    with start_browser() as running:
        yield running


@pytest.fixture
def show(browser: Any, tmp_path: Path) -> Iterator[Show]:
    """Write and open pages; at the end nothing may have gone wrong or left the page."""
    with watch(browser, tmp_path) as opened:
        yield opened
