"""`weightscape remove MODEL...`: take models out of the atlas."""

from typing import Annotated

import typer

from weightscape.cli import options


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("remove", short_help="Take models out of the atlas (not their files).")(remove)


def remove(
    models: Annotated[list[str], typer.Argument(metavar="MODEL", help="Names to take out.")],
    atlas: options.AtlasFolder = options.DEFAULT_ATLAS,
    seed: options.Seed = 0,
    json: options.Json = False,
) -> None:
    """Take models out of the atlas; their files stay where they are.

    Example:  weightscape remove old-run/checkpoint-100
    """
    from weightscape.answers import RemoveAnswer
    from weightscape.atlas import Atlas
    from weightscape.cli import console

    with Atlas(atlas, create=False) as opened:
        opened.remove(models, seed=seed)
    if json:
        console.answer(RemoveAnswer(removed=models))
    else:
        for name in models:
            console.out().print(f"removed {console.printable(name)}", markup=False)
