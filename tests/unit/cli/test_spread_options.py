"""Options that are declared once for several verbs."""

from dataclasses import dataclass
from typing import Annotated

import typer
from typer.testing import CliRunner

from weightscape.cli.spread import spread


@dataclass(frozen=True)
class Shared:
    size: Annotated[int, typer.Option("--size", help="How large.")] = 3
    names: Annotated[list[str] | None, typer.Option("--name")] = None
    loud: Annotated[bool, typer.Option("--loud/--quiet")] = False


def app():
    made = typer.Typer(rich_markup_mode=None)

    @made.command()
    @spread
    def say(
        word: Annotated[str, typer.Argument()],
        shared: Shared = Shared(),
        last: Annotated[int, typer.Option("--last")] = 0,
    ) -> None:
        """Say what was given."""
        typer.echo(f"{word} {shared} {last}")

    return made


def test_fields_are_options_and_come_back_as_the_dataclass():
    told = CliRunner().invoke(
        app(), ["word", "--name", "a", "--name", "b", "--loud", "--last", "1"]
    )
    assert told.output == "word " + str(Shared(3, ["a", "b"], True)) + " 1\n"
    assert CliRunner().invoke(app(), ["word"]).output == f"word {Shared()} 0\n"


def test_help_has_them_where_the_parameter_stood():
    told = CliRunner().invoke(app(), ["--help"]).output
    places = [told.index(it) for it in ("Say what was given", "--size", "How large", "--last")]
    assert places == sorted(places) and "default: 3" in told
    assert CliRunner().invoke(app(), ["word", "--size", "x"]).exit_code == 2
