"""Write the pages that follow from the code: every --help, every JSON schema, every public name.

    python scripts/pages.py

tests/unit/test_docs.py fails where a page differs from what this would write.
"""

import inspect
import types
from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

import click
import typer
from click.testing import CliRunner
from pydantic import BaseModel

import weightscape
from weightscape import answers, answers_probes, answers_tasks
from weightscape.cli.main import app
from weightscape.zoo import truth

DOCS = Path(__file__).resolve().parent.parent / "docs"
GENERATED = "<!-- Made by `make docs`; edit the code it comes from. -->\n"
WIDTH = 100


def commands() -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Walk all verbs, and the kinds of those that have kinds."""
    todo: list[tuple[tuple[str, ...], Any]] = [((), typer.main.get_command(app))]
    for path, command in todo:
        yield path, command
        inside = getattr(command, "commands", {})
        todo.extend(((*path, name), inner) for name, inner in inside.items())


def help_of(path: tuple[str, ...]) -> str:
    """Return what `weightscape VERB --help` prints on a terminal of 100 columns."""
    run = CliRunner().invoke(
        typer.main.get_command(app),
        [*path, "--help"],
        prog_name="weightscape",
        terminal_width=WIDTH,
        max_content_width=WIDTH,
    )
    if run.exit_code != 0:
        raise RuntimeError(f"weightscape {' '.join(path)} --help failed: {run.output}")
    return run.output.rstrip()


def cli_reference() -> str:
    """Write the page of all `--help` texts."""
    parts = [
        "# Command line\n",
        GENERATED,
        "Results go to stdout as a table, or as JSON with `--json` ([json.md](json.md)); progress,"
        " notes and errors go to stderr.\n",
        "| exit code | means |\n|---|---|\n"
        "| 0 | done |\n"
        "| 1 | a bug of weightscape, with its traceback |\n"
        "| 2 | something given was wrong; one line says what, and what to do |\n"
        "| 3 | done, but something was skipped; it is listed |\n",
    ]
    for path, _ in commands():
        level = "#" * (2 if len(path) < 2 else 3)
        parts.append(f"{level} `{' '.join(('weightscape', *path))}`\n")
        parts.append(f"```text\n{help_of(path)}\n```\n")
    return "\n".join(parts)


def json_page() -> str:
    """Write the page of all schemas: what verbs answer, what that is made of, and truth.json."""
    every = [
        answer
        for module in (answers, answers_tasks, answers_probes)
        for answer in _models(module, answers.Answer)
    ]
    whole = [answer for answer in every if "--json" in (answer.__doc__ or "")]
    parts = [
        "# JSON answers\n",
        GENERATED,
        "What every verb prints with `--json`. Keys are added, never renamed or taken away. A key"
        " is always there; where there is nothing to say it is null or empty.\n",
        *map(_section, whole),
        "## Their parts\n",
        *(_section(answer) for answer in every if answer not in whole),
        "## `truth.json`\n",
        "What `weightscape zoo` writes into its folder, and prints with `--json`: how every model"
        " was made. `chart` never reads it ([zoo.md](zoo.md)).\n",
        *map(_section, reversed(_models(truth, BaseModel))),
    ]
    return "\n".join(parts)


def _models(module: types.ModuleType, kind: type[BaseModel]) -> list[type[BaseModel]]:
    return [
        thing
        for thing in vars(module).values()
        if inspect.isclass(thing)
        and issubclass(thing, kind)
        and thing is not kind
        and thing.__module__ == module.__name__
    ]


def _section(model: type[BaseModel]) -> str:
    lines = [f"### {model.__name__}\n", inspect.cleandoc(model.__doc__ or "") + "\n"]
    lines += ["| key | type | meaning |", "|---|---|---|"]
    for name, field in model.model_fields.items():
        meaning = (field.description or "").replace("|", "\\|")
        lines.append(f"| `{name}` | {_type(field.annotation)} | {meaning} |")
    return "\n".join(lines) + "\n"


_PLAIN = {
    str: "string",
    int: "integer",
    float: "number",
    bool: "true or false",
    object: "anything",
    Any: "anything",
    type(None): "null",
}


def _type(annotation: Any) -> str:
    """Say a type in JSON's words."""
    if annotation in _PLAIN:
        return _PLAIN[annotation]
    if inspect.isclass(annotation) and issubclass(annotation, BaseModel):
        return f"[{annotation.__name__}](#{annotation.__name__.lower()})"
    origin, arguments = get_origin(annotation), get_args(annotation)
    spelled: dict[Any, Callable[[], str]] = {
        list: lambda: f"list of {_type(arguments[0])}",
        tuple: lambda: f"[{', '.join(map(_type, arguments))}]",
        dict: lambda: f"object: {_type(arguments[0])} to {_type(arguments[1])}",
        Literal: lambda: ", ".join(f"`{value}`" for value in arguments),
        Union: lambda: " or ".join(map(_type, arguments)),
        types.UnionType: lambda: " or ".join(map(_type, arguments)),
    }
    if origin not in spelled:
        raise TypeError(f"no word for {annotation!r} yet: add one to scripts/pages.py")
    return spelled[origin]()


def python_api() -> str:
    """Write the page of the public names: signature and docstring of each."""
    parts = [
        "# Python\n",
        GENERATED,
        "The public names, as `weightscape.NAME`; each is loaded when it is first asked for. The"
        " rest of the errors is in `weightscape.errors`. Names not on this page may change.\n",
    ]
    for name in weightscape.__all__:
        thing = getattr(weightscape, name)
        if inspect.isclass(thing):
            parts.append(f"## `{name}`\n")
            parts.append(_docstring(thing))
            parts.extend(_members(thing))
        elif callable(thing):
            parts.append(f"## `{_signature(name, thing)}`\n")
            parts.append(_docstring(thing))
    return "\n".join(parts)


def _members(thing: type) -> list[str]:
    """List a class's fields, if it is data, and its own public methods."""
    parts = []
    if is_dataclass(thing):
        names = ", ".join(f"`{field.name}`" for field in fields(thing))
        parts.append(f"Fields: {names}.\n")
    methods = [
        f"- `{_signature(member, method)}`: {_first_line(method)}"
        for member, method in vars(thing).items()
        if inspect.isfunction(method) and not member.startswith("_") and method.__doc__
    ]
    return [*parts, "\n".join(methods) + "\n"] if methods else parts


def _signature(name: str, function: Callable[..., Any]) -> str:
    """Write a function's parameters by name: their types are in its source."""
    words = []
    star = False
    for parameter in inspect.signature(function).parameters.values():
        if parameter.name == "self":
            continue
        if parameter.kind is parameter.KEYWORD_ONLY and not star:
            words.append("*")
            star = True
        default = "" if parameter.default is parameter.empty else f"={_default(parameter.default)}"
        words.append(f"{parameter.name}{default}")
    return f"{name}({', '.join(words)})"


def _default(value: Any) -> str:
    """Write a default; one without a readable repr as dots."""
    return repr(value) if isinstance(value, str | int | float | tuple | None) else "..."


def _docstring(thing: Any) -> str:
    return f"```text\n{inspect.getdoc(thing)}\n```\n"


def _first_line(thing: Any) -> str:
    return (inspect.getdoc(thing) or "").splitlines()[0]


PAGES = {"cli-reference.md": cli_reference, "json.md": json_page, "python-api.md": python_api}


def main() -> None:
    for name, write in PAGES.items():
        (DOCS / name).write_text(write(), encoding="utf-8")
        print(f"wrote docs/{name}")


if __name__ == "__main__":
    main()
