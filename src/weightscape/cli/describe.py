"""`weightscape describe MODEL`: what a model knows, by one layer of its weights."""

from typing import TYPE_CHECKING, Annotated

import typer

from weightscape.cli import options

if TYPE_CHECKING:
    from weightscape.answers_probes import DescribeAnswer
    from weightscape.atlas import Atlas
    from weightscape.atlas.describing import Description
    from weightscape.catalog.records import Model


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("describe", short_help="What a model knows, by its weights.")(describe)


def describe(
    model: Annotated[
        str,
        typer.Argument(metavar="MODEL", help="A name in the atlas, a path, a URL, a hub id."),
    ],
    atlas: options.AtlasFolder = options.DEFAULT_ATLAS,
    labels: Annotated[
        str | None,
        typer.Option("--labels", metavar="A,B,...", help="Choose from these, or a file's lines."),
    ] = None,
    count: Annotated[int, typer.Option("--count", "-n", min=1, help="How many labels.")] = 10,
    expert: Annotated[
        str | None,
        typer.Option("--expert", metavar="NAME", help="Ask this one (default: its tree's)."),
    ] = None,
    allow_download: options.AllowDownload = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Name what a model knows, from one layer of its weights; nothing else of it is read.

    Example:  weightscape describe ./unknown-model --labels weather,sports,finance

    Labels need not have been seen in training. A model of no tree that the atlas's experts know
    gets no labels, nor one that has learned nothing in that layer. Of a model on a server headers
    and the layer are fetched.
    """
    from weightscape.atlas import Atlas
    from weightscape.atlas.describing import describe as see
    from weightscape.cli import console
    from weightscape.probing.label_choice import read_choice

    asked = None if labels is None else read_choice(labels)
    with Atlas(atlas, create=False) as opened, console.progress(quiet or json) as progress:
        found = see(
            opened.store,
            find(model, opened),
            labels=asked,
            count=count,
            expert=expert,
            allow_download=allow_download,
            progress=progress,
        )
    answer = _answer(model, found)
    if json:
        console.answer(answer)
    else:
        _show(answer, quiet)


def find(given: str, opened: "Atlas") -> "Model | str":
    """Find a model of the atlas, or say where another is."""
    from weightscape.cli import path_work
    from weightscape.io import HubPlace, WebPlace, locate

    place = locate(given)
    if isinstance(place, WebPlace) or (isinstance(place, HubPlace) and given.startswith("hub:")):
        return opened.at(given) or given
    (end,) = path_work.find_models([given], opened)
    return end.source if end.name is None else opened.model(end.name)


def _answer(given: str, found: "Description") -> "DescribeAnswer":
    from weightscape.answers_probes import DescribeAnswer, OddnessAnswer, ScoredLabelAnswer

    seen = found.seen
    odd = found.oddness
    return DescribeAnswer(
        model=seen.name or given,
        known=seen.expert is not None,
        tree=None if seen.kept is None else seen.kept.tree,
        expert=None if seen.kept is None else seen.kept.name,
        layer=None if seen.kept is None else seen.kept.layer,
        labels=[ScoredLabelAnswer(label=it.label, score=it.score, by=it.by) for it in found.labels],
        oddness=None
        if odd is None
        else OddnessAnswer(
            score=float(odd.scores[0]), share=float(odd.shares[0]), far=bool(odd.far[0])
        ),
        distances=dict(seen.distances),
        bytes_read=seen.bytes_read,
        bytes_on_disk=seen.bytes_on_disk,
        notes=[*([seen.why] if seen.why else []), *seen.notes, *found.notes],
    )


def _show(answer: "DescribeAnswer", quiet: bool) -> None:
    from weightscape.cli import console

    if not answer.known:
        line = f"{answer.model}: no expert knows it"
        console.out().print(console.printable(line), markup=False, soft_wrap=True)
    elif not answer.labels:
        line = f"{answer.model}: nothing to tell by"
        console.out().print(console.printable(line), markup=False, soft_wrap=True)
    else:
        rows = [(it.label, _score(it.score), it.by) for it in answer.labels]
        console.out().print(console.table(["label", "score", "by"], rows, right="score"))
    for note in () if quiet else _notes(answer):
        console.note(note)


def _score(score: float) -> str:
    """Write a probability; small ones order labels that nobody has seen, so they stay apart.

    >>> _score(0.9731), _score(0.0031)
    ('0.97', '0.0031')
    """
    return f"{score:.2f}" if score >= 0.1 else f"{score:.2g}"


def _notes(answer: "DescribeAnswer") -> list[str]:
    from weightscape.cli import console
    from weightscape.probing.oddness import ODD

    notes = list(answer.notes)
    if answer.known:
        read = "its vector is in the atlas"
        if answer.bytes_read:
            whole = (
                "" if answer.bytes_on_disk is None else f" of {console.size(answer.bytes_on_disk)}"
            )
            read = f"read {console.size(answer.bytes_read)}{whole}"
        notes.append(f"by the expert {answer.expert!r}, from {answer.layer}; {read}")
    if answer.oddness is not None and answer.oddness.share <= ODD:
        which = "far from" if answer.oddness.far else "near to"
        notes.append(
            f"it is odd for its tree: hardly a model of it is as {which} the others "
            f"(p = {answer.oddness.share:.3f})"
        )
    return notes
