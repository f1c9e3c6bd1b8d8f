"""The docs are true: nothing undocumented, nothing stale, no dead link, and the examples run."""

import re
import sys
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

import weightscape

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
VERB_PAGES = {
    "add": "catalog",
    "list": "catalog",
    "show": "catalog",
    "remove": "catalog",
}
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md")])
OBVIOUS = {"--help", "--version"}


@lru_cache
def script(name: str) -> Any:
    """Import a script as the module that it is."""
    sys.path.insert(0, str(ROOT / "scripts"))
    try:
        return __import__(name)
    finally:
        sys.path.pop(0)


def verbs() -> list[tuple[tuple[str, ...], Any]]:
    return [(path, command) for path, command in script("pages").commands() if path]


def page_of(path: tuple[str, ...]) -> str:
    return (DOCS / f"{VERB_PAGES.get(path[0], path[0])}.md").read_text()


@pytest.mark.parametrize("path, command", verbs(), ids=["-".join(path) for path, _ in verbs()])
def test_every_verb_has_an_example_and_a_page_with_all_its_options(path, command):
    assert "Example:" in (command.help or ""), f"--help of {path} shows no example"
    page = page_of(path)
    assert path[0] in page
    shared = page_of(("chart",)) if path == ("add",) else ""
    for parameter in command.params:
        if parameter.param_type_name == "option" and not OBVIOUS & set(parameter.opts):
            assert parameter.help, f"{parameter.opts} of {path} has no help"
            names = [*parameter.opts, *parameter.secondary_opts]
            assert any(name in page + shared for name in names), (
                f"option {parameter.opts} of {' '.join(path)} is on no page"
            )


@pytest.mark.parametrize("name", ["cli-reference.md", "json.md", "python-api.md"])
def test_generated_pages_are_up_to_date(name):
    wanted = script("pages").PAGES[name]()
    assert (DOCS / name).read_text() == wanted, f"docs/{name} is stale: run `make docs`"


def test_every_public_name_is_documented():
    page = (DOCS / "python-api.md").read_text()
    missing = [
        name
        for name in weightscape.__all__
        if name != "__version__" and not re.search(rf"^## `{name}\b", page, re.MULTILINE)
    ]
    assert not missing


def test_the_readme_s_tree_is_the_real_one():
    block = section("tree", (ROOT / "README.md").read_text())
    lines = re.findall(r"^  (\S+)\s+(\S.*)$", block, re.MULTILINE)
    package = ROOT / "src" / "weightscape"
    real = {f"{it.name}/" for it in package.iterdir() if (it / "__init__.py").is_file()}
    real |= {it.name for it in package.glob("*.py") if not it.name.startswith("__")}
    assert {name for name, _ in lines} == real


def test_layers_in_the_docs_are_those_of_the_contract():
    import tomllib

    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    (contract,) = settings["tool"]["importlinter"]["contracts"]
    wanted = [layer.replace("weightscape.", "") for layer in contract["layers"]]
    design = (DOCS / "design.md").read_text()
    shown = re.search(r"## Layers.*?```text\n(.*?)```", design, re.DOTALL)
    assert shown is not None
    assert shown[1].split("\n")[:-1] == wanted
    named = {name for layer in wanted for name in layer.split(" | ")}
    package = ROOT / "src" / "weightscape"
    there = {
        it.stem for it in package.iterdir() if it.suffix == ".py" or (it / "__init__.py").is_file()
    }
    assert there - {"__init__", "__main__"} == named, (
        "a module stands in no layer of pyproject.toml"
    )


def test_python_files_that_the_docs_name_are_there():
    package = ROOT / "src" / "weightscape"
    for page in ("methods.md", "design.md"):
        for name in re.findall(r"`(\w+/\w+\.py)`", (DOCS / page).read_text()):
            assert (package / name).is_file(), f"{page} names {name}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_lead_somewhere(page):
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / unquote(path)).resolve() if path else page
        assert target.exists(), f"{page.name} links to {link}, which is not there"
        if anchor:
            assert anchor in anchors(target), f"{page.name} links to {link}: no such heading"


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    plain = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings)
    return {heading.replace(" ", "-") for heading in plain}


def test_no_transcript_is_empty():
    for page in PAGES:
        for match in script("transcripts").BLOCK.finditer(page.read_text()):
            assert f"$ {match['command']}\n" in match[0], (
                f"{page.name}: `{match['command']}` was never run: make transcripts"
            )


def test_shown_commands_are_commands():
    import click
    import typer

    from weightscape.cli.main import app

    top = typer.main.get_command(app)
    for page in PAGES:
        shells = re.findall(r"```(?:console|sh)\n(.*?)```", page.read_text(), re.DOTALL)
        for verb in re.findall(r"^(?:\$ )?weightscape ([a-z-]+)", "\n".join(shells), re.MULTILINE):
            context = click.Context(top, info_name="weightscape")
            assert top.get_command(context, verb), f"{page.name} shows weightscape {verb}"


def test_the_readme_s_python_runs(tmp_path, monkeypatch, capsys):
    from weightscape.zoo.digits import make_digits_zoo

    code = re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert code is not None
    monkeypatch.chdir(tmp_path)
    make_digits_zoo(tmp_path / "zoo", models=4, tasks=2, specials=False, steps=20)
    exec(compile(code[1], "README.md", "exec"), {})
    printed = capsys.readouterr().out
    assert "from base: full" in printed
    assert "nearest: " in printed


def section(name: str, text: str) -> str:
    found = re.search(rf"<!-- {name}: .*?-->\n```\w*\n(.*?)```", text, re.DOTALL)
    assert found is not None, f"no block marked {name!r}"
    return found[1]
