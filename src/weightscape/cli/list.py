"""`weightscape list`: the models of an atlas."""

import typer

from weightscape.cli import options


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("list", short_help="The models of the atlas.")(list_models)


def list_models(
    atlas: options.AtlasFolder = options.DEFAULT_ATLAS,
    json: options.Json = False,
) -> None:
    """List the models of the atlas.

    Example:  weightscape list
    """
    from weightscape.answers import ListAnswer
    from weightscape.atlas import Atlas
    from weightscape.cli import console, gather

    with Atlas(atlas, create=False) as opened:
        models = gather.model_list(opened)
    if json:
        console.answer(ListAnswer(models=models))
        return
    rows = [
        (
            it.name if it.status == "ready" else f"{it.name} ({it.status})",
            it.family or "",
            (it.region or "").removeprefix("region:"),
            it.parent or "",
            it.edge or "",
            it.dtype,
            console.size(it.bytes) + (", 1 layer here" if it.part_of else ""),
        )
        for it in models
    ]
    columns = ["model", "family", "region", "parent", "kind", "dtype", "size"]
    console.out().print(console.table(columns, rows, right="size"))
