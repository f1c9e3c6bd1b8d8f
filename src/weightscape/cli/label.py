"""`weightscape label [FILE]`: what the models of the atlas are said to know."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from weightscape.cli import options

if TYPE_CHECKING:
    from weightscape.answers_probes import LabelAnswer, LabelCountAnswer
    from weightscape.atlas import Atlas
    from weightscape.catalog.records import Label, LabelKind
    from weightscape.progress import Progress

SHOWN = 30
_SKIPPED_SOME = 3


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("label", short_help="Say what models know, out of a file.")(label)


def label(
    file: Annotated[
        Path | None,
        typer.Argument(metavar="[FILE]", help="A .csv, .tsv or .json of models and labels."),
    ] = None,
    atlas: options.AtlasFolder = options.DEFAULT_ATLAS,
    kind: Annotated[
        str,
        typer.Option("--kind", metavar="KIND", help="What labels are: class, task or tag."),
    ] = "class",
    split: Annotated[
        list[str] | None,
        typer.Option("--split", metavar="NAME", help="Only models of this split; repeatable."),
    ] = None,
    class_names: Annotated[
        Path | None,
        typer.Option("--class-names", metavar="FILE", help="What labels that are ids mean."),
    ] = None,
    forget: Annotated[
        bool, typer.Option("--forget", help="Take back what the file said of models.")
    ] = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Give models the labels of a file; without one, list the labels that the atlas knows.

    Example:  weightscape label models.csv     columns: model, label
    """
    from weightscape.atlas import Atlas
    from weightscape.cli import console
    from weightscape.errors import BadInput

    if kind not in ("class", "task", "tag"):
        raise BadInput(f"--kind must be class, task or tag. Got {kind!r} instead.")
    if file is None and (forget or split):
        raise BadInput("--forget and --split are about a file of labels; name it")
    with Atlas(atlas, create=False) as opened, console.progress(quiet or json) as progress:
        explained = _explain(opened, class_names)
        if file is None:
            answer = _known(opened, progress)
        elif forget:
            answer = _forgotten(opened, file)
        else:
            answer = _labelled(opened, file, cast("LabelKind", kind), split or [])
    answer = answer.model_copy(update={"explained": explained})
    if json:
        console.answer(answer)
    else:
        _show(answer, forget, class_names)
    if answer.unknown:
        raise typer.Exit(_SKIPPED_SOME)


def _explain(opened: "Atlas", class_names: Path | None) -> int:
    if class_names is None:
        return 0
    from weightscape.atlas.labelling import explain_labels
    from weightscape.probing.class_names import read_class_names

    return explain_labels(opened.store, read_class_names(class_names))


def _known(opened: "Atlas", progress: "Progress") -> "LabelAnswer":
    from weightscape.answers_probes import LabelAnswer
    from weightscape.atlas.labelling import known_labels, labels_of_models

    models = sorted(labels_of_models(opened.store, progress))
    counted = _counts(known_labels(opened.store))
    return LabelAnswer(
        file=None, models=models, labels=counted, unknown=[], ignored=[], explained=0
    )


def _forgotten(opened: "Atlas", file: Path) -> "LabelAnswer":
    from weightscape.answers_probes import LabelAnswer
    from weightscape.atlas.labelling import forget_labels

    models = list(forget_labels(opened.store, _source(file)))
    return LabelAnswer(
        file=str(file), models=models, labels=[], unknown=[], ignored=[], explained=0
    )


def _labelled(opened: "Atlas", file: Path, kind: "LabelKind", splits: list[str]) -> "LabelAnswer":
    from weightscape.answers_probes import LabelAnswer
    from weightscape.atlas.labelling import label_models
    from weightscape.probing.label_files import read_label_file

    given = read_label_file(file, kind=kind, splits=splits)
    done = label_models(opened.store, given, _source(file))
    return LabelAnswer(
        file=str(file),
        models=list(done.models),
        labels=_counts(done.labels.items()),
        unknown=list(done.unknown),
        ignored=list(given.ignored),
        explained=0,
    )


def _source(file: Path) -> str:
    """Name a file the same wherever the command is given."""
    return f"file {file.resolve()}"


def _counts(labels: "Iterable[tuple[Label, int]]") -> "list[LabelCountAnswer]":
    from weightscape.answers_probes import LabelCountAnswer

    return [LabelCountAnswer(label=it.label, kind=it.kind, models=many) for it, many in labels]


def _show(answer: "LabelAnswer", forget: bool, class_names: Path | None) -> None:
    from weightscape.cli import console

    if class_names is not None:
        console.note(f"{answer.explained} labels of models are put into words by {class_names}")
    if forget:
        console.note(f"{answer.file} says nothing of {len(answer.models)} models any more")
        return
    if answer.labels:
        rows = [(it.label, it.kind, it.models) for it in answer.labels[:SHOWN]]
        console.out().print(console.table(["label", "kind", "models"], rows, right="models"))
        more = len(answer.labels) - SHOWN
        if more > 0:
            console.note(f"and {more} more labels (--json lists them)")
        console.note(f"{len(answer.labels)} labels of {len(answer.models)} models")
    elif answer.file is None:
        console.note("no model of the atlas has a label; give some: weightscape label FILE.csv")
    if answer.ignored:
        console.note(f"columns that were not read: {', '.join(answer.ignored)}")
    if answer.unknown:
        some = ", ".join(answer.unknown[:5]) + (", ..." if len(answer.unknown) > 5 else "")
        console.note(f"{len(answer.unknown)} models are not in the atlas: {some}")
