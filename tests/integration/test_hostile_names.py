"""Names and metadata are untrusted: nothing in them is obeyed, and nothing breaks on them."""

import csv
import io
import os
import re
import sys
from pathlib import Path

import pytest
from harness import Outcome, ask, run
from populations import Population
from test_charting import dot_edges

from weightscape.answers import ChartAnswer, ListAnswer, ShowAnswer

NAMES = [
    "two\nlines",
    "bell\x07and\x1b[2Jclear\x1b]0;title\x07",
    "c1\x9b31mred",
    "[bold]rich[/bold]",
    "[link=file:etc]here[/link]",
    "quote\"s'and`ticks`",
    "back\\slash",
    "<script>alert(1)</script>",
    "&amp;{{ 7*7 }}{% raw %}",
    "=cmd|' /C calc'!A0",
    "-rf",
    "--json",
    "naïve-模型-🦙",
    "right\u202eot-left",
    "zero\u200bwidth",
    "x" * 220,
    "%s%n{0}",
    "; drop table models; --",
    " spaces at the ends ",
    "con",
]


@pytest.fixture
def hostile(population: Population) -> Population:
    population.root("base")
    for name in NAMES:
        population.child(name, "base")
    return population


def check_terminal(outcome: Outcome) -> None:
    """Let through rich's own colours only: no other escape, no control character."""
    for text in (outcome.out, outcome.err):
        plain = re.sub(r"\x1b\[[0-9;]*m", "", text)
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", plain), repr(plain)


def test_every_verb_survives_and_prints_no_control_characters(
    hostile: Population, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = ask(ChartAnswer, "chart", hostile.folder, "--plot", "overview.png")
    assert sorted(answer.given) == sorted(hostile.tensors)
    assert {(it.parent, it.child) for it in answer.tree.edges} == hostile.edges
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "300")

    verbs = [["chart", hostile.folder, "-q"], ["list"], ["tree"], ["map"], ["near", "base"]]
    for verb in verbs:
        outcome = run(*verb)
        assert outcome.code == 0
        check_terminal(outcome)
    assert "[bold]rich[/bold]" in run("list").out
    for name in NAMES:
        outcome = run("show", "--", name)
        assert outcome.code == 0, (name, outcome)
        check_terminal(outcome)
        outcome = run("near", "--", name + "?")
        outcome.error()
        check_terminal(outcome)


def test_exports_keep_the_names(hostile: Population) -> None:
    run("chart", hostile.folder)

    dot = run("tree", "--format", "dot").out
    assert dot_edges(dot) == hostile.edges
    rows = list(csv.DictReader(io.StringIO(run("tree", "--format", "csv").out, newline="")))
    assert {row["child"].lstrip("'") for row in rows} == set(hostile.tensors)
    assert not any(cell[:1] in tuple("=+-@") for row in rows for cell in row.values() if cell)


def test_the_page_takes_no_name_for_markup(hostile: Population) -> None:
    answer = ask(ChartAnswer, "chart", hostile.folder)

    page = Path(answer.page).read_text()
    assert "<script>alert(1)</script>" not in page
    assert "</script><script>" not in page


def test_hostile_metadata_is_shown_and_not_obeyed(population: Population) -> None:
    config = {"model_type": "bert\x1b[2J", "_name_or_path": "[red]\x1b]0;x\x07", "deep": [[[1]]]}
    population.root("base")
    population.write("child", population.tensors["base"], config=config)
    outcome = run("chart", population.folder)
    assert outcome.code == 0
    check_terminal(outcome)
    shown = ask(ShowAnswer, "show", "child")
    assert shown.config == config
    check_terminal(run("show", "child"))


def test_bad_files_of_hostile_names_are_told_in_one_line_each(population: Population) -> None:
    population.root("base")
    for name in NAMES:
        folder = population.folder / name
        folder.mkdir(parents=True)
        (folder / "model.safetensors").write_bytes(b"nothing")

    answer = ask(ChartAnswer, "chart", population.folder, code=3)
    assert len(answer.skipped) == len(NAMES)
    outcome = run("chart", population.folder)
    check_terminal(outcome)
    lines = [line for line in outcome.err.splitlines() if line.startswith("skipped")]
    assert len(lines) == len(NAMES)


def test_hostile_tensor_names_are_told_safely(population: Population) -> None:
    population.root("base")
    population.child("child", "base")
    tensors = dict(population.tensors["base"])
    broken = tensors["pooler.dense.weight"].clone()
    broken[0, 0] = float("nan")
    tensors["evil.\x1b[2J\n[bold].weight"] = broken
    population.write("odd", tensors)

    assert run("chart", population.folder).code == 0
    check_terminal(run("show", "odd"))


@pytest.mark.skipif(sys.platform != "linux", reason="names of any bytes are Linux's")
def test_names_that_are_no_utf8_are_skipped_and_the_rest_is_charted(
    population: Population,
) -> None:
    population.root("base")
    population.child("child", "base")
    twin = population.folder / "child"
    odd = Path(os.fsdecode(os.fsencode(population.folder) + b"/\xff\xfe-odd"))
    odd.mkdir()
    for file in twin.iterdir():
        os.link(file, odd / file.name)

    answer = ask(ChartAnswer, "chart", population.folder, code=3)

    assert answer.given == ["base", "child"]
    assert len(answer.skipped) == 1 and "UTF-8" in answer.skipped[0].reason
    outcome = run("chart", population.folder)
    assert outcome.code == 3
    check_terminal(outcome)
    for verb in ("list", "tree", "map"):
        assert run(verb).code == 0
    outcome = run("chart", odd)
    assert outcome.code in (2, 3)
    check_terminal(outcome)
    assert ask(ListAnswer, "list").models


def test_an_atlas_in_a_folder_of_a_hostile_name(population: Population, tmp_path: Path) -> None:
    population.root("base")
    for name in ("a\x1b[2J b", "per%20cent?#x", "quote'\"s", "[red]"):
        atlas = tmp_path / name
        outcome = run("chart", population.folder, "--atlas", atlas)
        assert outcome.code == 0
        check_terminal(outcome)
        assert (atlas / "index.html").exists()
        assert (atlas / "atlas.sqlite").exists()
        check_terminal(run("list", "--atlas", atlas))
        check_terminal(run("list", "--atlas", str(atlas) + "\x1b[2J"))
