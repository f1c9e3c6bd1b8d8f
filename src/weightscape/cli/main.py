"""`weightscape VERB ...`: the verbs, and the one place that turns errors into exit codes."""

import importlib
import sys
from collections.abc import Sequence

import typer

from weightscape import __version__

app = typer.Typer(
    name="weightscape",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)

# One file a verb, in the order of `--help`: the main job first, then the catalog.
VERBS = (
    "chart",
    "demo",
    "zoo",
    "tree",
    "map",
    "near",
    "add",
    "list",
    "show",
    "remove",
    "label",
    "train-probes",
    "search",
    "describe",
    "fine-tune",
    "evaluate",
    "path",
    "plane",
    "region",
    "start",
    "tune",
)

# Those that keep what they have done, so that the same command goes on where it was stopped.
GOING_ON = (
    "chart", "demo", "zoo", "add", "train-probes", "fine-tune", "path", "plane", "region", "start",
    "tune",
)  # fmt: skip

INTERRUPTED = 130
CLOSED_PIPE = 141


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"weightscape {__version__}")
        raise typer.Exit


@app.callback()
def weightscape(
    version: bool = typer.Option(
        False, "--version", callback=_version, is_eager=True, help="Show the version."
    ),
) -> None:
    """Chart the landscape of model weights: which model came from which, and which belong together.

    \b
    Example:  weightscape chart DIR     a folder of checkpoints
              weightscape demo          a small zoo, made and charted
    """


def _load_verbs() -> None:
    for verb in VERBS:
        importlib.import_module(f"weightscape.cli.{verb.replace('-', '_')}").register(app)


_load_verbs()


def stopped_words(arguments: Sequence[str]) -> str:
    """Say what becomes of a command that was stopped.

    >>> stopped_words(["chart", "models"])
    'stopped; run the same command again to go on'
    >>> stopped_words(["evaluate", "model"])
    'stopped; run again, the same command begins anew'
    """
    verb = next((it for it in arguments if it in VERBS), None)
    if verb in GOING_ON:
        return "stopped; run the same command again to go on"
    return "stopped; run again, the same command begins anew"


def main() -> None:
    """Run the command line; 0 done, 2 a user's error, 3 something was skipped, 1 a bug."""
    from weightscape.cli.console import err, printable
    from weightscape.errors import WeightscapeError

    try:
        app()
    except WeightscapeError as problem:
        err().print(f"error: {printable(str(problem))}", markup=False, soft_wrap=True, style="red")
        sys.exit(2)
    except OSError as problem:
        # a full disk, a folder that may not be written: the machine's doing, not a bug's
        what = problem.strerror or str(problem)
        where = f"{problem.filename}: " if problem.filename is not None else ""
        line = f"error: {printable(where + what)}"
        err().print(line, markup=False, soft_wrap=True, style="red")
        sys.exit(2)
    except SystemExit as end:
        # typer ends with this code on Ctrl-C and says nothing
        if isinstance(end.__context__, BrokenPipeError):
            sys.exit(CLOSED_PIPE)  # as a shell tells of `weightscape list | head`
        if end.code == INTERRUPTED:
            err().print(stopped_words(sys.argv[1:]), markup=False)
        raise


if __name__ == "__main__":
    main()
