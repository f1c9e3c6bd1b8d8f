"""`weightscape tune studies`: searches that were begun, to go on with or to forget."""

from collections import Counter
from contextlib import ExitStack
from typing import TYPE_CHECKING, Annotated

import typer

from weightscape.cli import options

if TYPE_CHECKING:
    from weightscape.answers_tasks import StudyAnswer
    from weightscape.catalog.records import KeptStudy
    from weightscape.catalog.store import Store


def register(tune: typer.Typer) -> None:
    """Add this part of the verb."""
    tune.command("studies", short_help="List searches that were begun, or forget some.")(studies)


def studies(
    forget: Annotated[
        list[str] | None,
        typer.Option("--forget", metavar="NAME", help="Delete a study's candidates; repeatable."),
    ] = None,
    out: options.Out = None,
    atlas: options.AtlasFolder = options.DEFAULT_ATLAS,
    json: options.Json = False,
) -> None:
    """List the searches that the atlas (or a folder of results) keeps, newest first.

    Example:  weightscape tune studies

    `tune search` with the same models and target, or with --study NAME, goes on with one. What is
    forgotten begins anew; blends that were written stay.
    """
    from weightscape.answers_tasks import StudiesAnswer
    from weightscape.catalog import studies as rows
    from weightscape.catalog.store import DATABASE, Store
    from weightscape.cli import console, tune_words
    from weightscape.errors import UnknownName

    homes = [out] if out is not None else [atlas, atlas / "tunes" / "kept"]
    with ExitStack() as opened:
        stores = [
            opened.enter_context(Store.open(home, create=False))
            for home in homes
            if (home / DATABASE).is_file()
        ]
        there = [(store, study) for store in stores for study in _all(store)]
        for name in forget or ():
            if all(study.name != name for _, study in there):
                raise UnknownName("study", name, [study.name for _, study in there])
        for store, study in there:
            if study.name in (forget or ()):
                with store.write() as connection:
                    rows.forget(connection, study.id)
        told = [_told(store, it) for store, it in there if it.name not in (forget or ())]
    answer = StudiesAnswer(studies=told, forgotten=list(dict.fromkeys(forget or ())))
    if json:
        console.answer(answer)
    else:
        tune_words.print_studies(answer, homes[0])


def _all(store: "Store") -> "list[KeptStudy]":
    from weightscape.catalog import studies as rows

    with store.read() as connection:
        return rows.all_studies(connection)


def _told(store: "Store", study: "KeptStudy") -> "StudyAnswer":
    from weightscape.answers_tasks import StudyAnswer
    from weightscape.catalog import studies as rows

    with store.read() as connection:
        trials = rows.load_trials(connection, study.id)
        best = rows.best_trial(connection, study.id)
    identity = study.identity
    return StudyAnswer(
        name=study.name,
        task=identity["task"],
        models=[name for name, _ in identity["models"]],
        sampler=identity["sampler"],
        space=identity["space"]["kind"],
        trials=dict(Counter(it.state for it in trials)),
        best=None if best is None else best[1],
        made=study.made,
    )
