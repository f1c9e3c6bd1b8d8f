"""`weightscape tune PART`: the best weights of models for a task, from a few labelled rows."""

import typer

from weightscape.cli import tune_adapt, tune_experts, tune_run, tune_search, tune_studies


def register(app: typer.Typer) -> None:
    """Add the verb and its parts."""
    tune = typer.Typer(
        name="tune",
        help="Find the weights that make the best model for a task out of several.\n\n"
        "Example:  weightscape tune run --base B --sources S --sources T --target mine.yml -o OUT",
        no_args_is_help=True,
        rich_markup_mode=None,
    )
    for part in (tune_run, tune_experts, tune_adapt, tune_search, tune_studies):
        part.register(tune)
    app.add_typer(tune)
