"""`weightscape search TEXT`: the models that know what a text names."""

from typing import TYPE_CHECKING, Annotated

import typer

from weightscape.cli import options
from weightscape.cli.importing import importing

if TYPE_CHECKING:
    from weightscape.answers_probes import SearchAnswer


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("search", short_help="Models that know what a text names.")(search)


def search(
    text: Annotated[
        list[str], typer.Argument(metavar="TEXT...", help="What the models should know.")
    ],
    atlas: options.AtlasFolder = options.DEFAULT_ATLAS,
    count: Annotated[int, typer.Option("--count", "-n", min=1, help="How many.")] = 10,
    weights_only: Annotated[
        bool, typer.Option("--weights-only", help="Do not look at names, labels and cards.")
    ] = False,
    text_only: Annotated[bool, typer.Option("--text-only", help="Do not look at weights.")] = False,
    expert: Annotated[
        str | None,
        typer.Option("--expert", metavar="NAME", help="Ask this one (default: all, by tree)."),
    ] = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Find models by what they know, from their weights and from what is written of them.

    Example:  weightscape search movie review sentiment
    """
    with importing():
        from weightscape.answers_probes import HitAnswer, SearchAnswer
        from weightscape.atlas.searching import BOTH
        from weightscape.atlas.searching import search as find
        from weightscape.catalog.store import Store
        from weightscape.cli import console
        from weightscape.errors import BadInput

    if weights_only and text_only:
        raise BadInput("use just one of --weights-only and --text-only")
    if expert is not None and text_only:
        raise BadInput("--expert is about weights; leave --text-only out")
    by = BOTH[:1] if weights_only else BOTH[1:] if text_only else BOTH
    words = " ".join(text)
    with Store.open(atlas, create=False) as store, console.progress(quiet or json) as progress:
        found = find(store, words, count=count, by=by, expert=expert, progress=progress)
    answer = SearchAnswer(
        text=words,
        hits=[
            HitAnswer(
                model=it.model,
                score=it.score,
                found_by=list(it.found_by),
                probability=it.probability,
                expert=it.expert,
                words=it.words,
            )
            for it in found.hits
        ],
        experts=list(found.experts),
        read=found.read,
        notes=list(found.notes),
    )
    if json:
        console.answer(answer)
    else:
        _show(answer, quiet)


def _show(answer: "SearchAnswer", quiet: bool) -> None:
    from weightscape.cli import console

    rows = [
        (
            it.model,
            " + ".join(it.found_by),
            "" if it.probability is None else f"{it.probability:.2f}",
            it.expert or "",
        )
        for it in answer.hits
    ]
    read = [*("model", "found by"), *(("probability", "expert") if answer.experts else ())]
    if rows:
        columns = [row[: len(read)] for row in rows]
        console.out().print(console.table(read, columns, right="probability"))
    else:
        console.out().print("no model is found by that; try other words")
    for note in () if quiet else answer.notes:
        console.note(note)
