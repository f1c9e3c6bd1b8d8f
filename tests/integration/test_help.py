"""What a person sees who asks for help, or types nothing."""

import subprocess
import sys

import pytest
from harness import run

from weightscape import __version__
from weightscape.cli.main import VERBS


def test_without_arguments_the_verbs_are_listed() -> None:
    shown = run()
    asked = run("--help")

    assert asked.code == 0 and asked.err == ""
    assert run("-h") == asked
    assert all(f"  {verb}" in asked.out for verb in VERBS)
    assert shown.out + shown.err == asked.out
    assert shown.code in (0, 2)


@pytest.mark.parametrize("verb", VERBS)
def test_help_of_every_verb_opens_with_an_example(verb: str) -> None:
    outcome = run(verb, "--help")

    assert outcome.code == 0
    text = outcome.out
    assert "Example:" in text and f"weightscape {verb}" in text.split("Example:")[1]
    assert text.index("Example:") < text.find("--") or "--" in text.split("Example:")[1]
    assert run(verb, "-h").out == text
    assert max(map(len, text.splitlines())) <= 100
    described = [line for line in text.splitlines() if line.strip().startswith("--")]
    assert all(len(line.split()) > 2 for line in described), described


@pytest.mark.parametrize("kind", ["text", "digits"])
def test_help_of_every_kind_of_zoo_opens_with_an_example(kind: str) -> None:
    outcome = run("zoo", kind, "--help")
    assert outcome.code == 0
    assert f"weightscape zoo {kind}" in outcome.out.split("Example:")[1]


def test_the_version() -> None:
    assert run("--version").out == f"weightscape {__version__}\n"


def test_help_imports_nothing_heavy() -> None:
    heavy = ["torch", "sklearn", "scipy", "pandas", "transformers", "plotly", "matplotlib"]
    script = (
        "import sys; sys.argv = ['weightscape', '--help']\n"
        "from weightscape.cli.main import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        f"sys.exit(' '.join(name for name in {heavy} if name in sys.modules) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_it_runs_as_a_program_of_its_own() -> None:
    command = [sys.executable, "-m", "weightscape.cli.main", "list", "--atlas", "nowhere"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1 and "nowhere" in done.stderr


def test_the_module_runs_as_the_command_does() -> None:
    shown = subprocess.run(
        [sys.executable, "-m", "weightscape", "--help"], capture_output=True, text=True, check=True
    )
    assert all(f"  {verb}" in shown.stdout for verb in VERBS)
