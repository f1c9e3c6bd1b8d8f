"""`weightscape label [FILE]`: what the models of the atlas are said to know."""

from collections.abc import Iterable, Mapping, Sequence
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
        typer.Argument(
            metavar="[FILE]", help="A .csv, .tsv or .json of models and labels, or a zoo."
        ),
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
        typer.Option("--class-names", metavar="FILE", help="What labels mean, one a line."),
    ] = None,
    forget: Annotated[
        bool, typer.Option("--forget", help="Take back what the file said, or class names.")
    ] = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Give models the labels of a file; without one, list the labels that the atlas knows.

    Example:  weightscape label models.csv     columns: model, label

    A file of class names has a line for each label, such as "n01443537: goldfish" (or a tab, a
    comma or a space between), or is a .json object of words by label.
    """
    from weightscape.atlas import Atlas
    from weightscape.cli import console
    from weightscape.errors import BadInput

    if kind not in ("class", "task", "tag"):
        raise BadInput(f"--kind must be class, task or tag. Got {kind!r} instead.")
    if file is None and (split or (forget and class_names is None)):
        raise BadInput("--forget and --split are about a file of labels; name it")
    with Atlas(atlas, create=False) as opened, console.progress(quiet or json) as progress:
        words = _words(class_names)
        if file is None:
            answer = _known(opened, progress)
        elif forget:
            answer = _forgotten(opened, file)
        else:
            answer = _labelled(opened, file, cast("LabelKind", kind), split or [])
        answer = _in_words(opened, answer, words, forget)
    if json:
        console.answer(answer)
    else:
        _show(answer, forget)
        if class_names is not None:
            _tell_words(answer, class_names, words, forget)
    unmet = bool(words) and not forget and not answer.explained
    if answer.unknown or unmet:
        raise typer.Exit(_SKIPPED_SOME)


def _words(class_names: Path | None) -> dict[str, str]:
    if class_names is None:
        return {}
    from weightscape.probing.class_names import read_class_names

    return read_class_names(class_names)


def _in_words(
    opened: "Atlas", answer: "LabelAnswer", words: Mapping[str, str], forget: bool
) -> "LabelAnswer":
    """Keep words of labels, or take them back; put those that the atlas has beside its labels."""
    from weightscape.atlas import labelling

    explained = 0
    if words and forget:
        explained = labelling.forget_words(opened.store, words)
    elif words:
        explained = labelling.explain_labels(opened.store, words)
    meant = labelling.label_meanings(opened.store)
    labels = [it.model_copy(update={"words": meant.get(it.label)}) for it in answer.labels]
    return answer.model_copy(update={"explained": explained, "labels": labels})


def _known(opened: "Atlas", progress: "Progress") -> "LabelAnswer":
    from weightscape.atlas.labelling import known_labels, labels_of_models

    models = sorted(labels_of_models(opened.store, progress))
    return _answer(None, models, _counts(known_labels(opened.store)))


def _forgotten(opened: "Atlas", file: Path) -> "LabelAnswer":
    from weightscape.atlas.labelling import forget_labels

    return _answer(file, list(forget_labels(opened.store, source_of(file))), [])


def _labelled(opened: "Atlas", file: Path, kind: "LabelKind", splits: list[str]) -> "LabelAnswer":
    from weightscape.atlas.labelling import label_models
    from weightscape.probing.label_files import read_label_file

    given = read_label_file(file, kind=kind, splits=splits)
    done = label_models(opened.store, given, source_of(file))
    answer = _answer(file, list(done.models), _counts(done.labels.items()))
    told = {"unknown": done.unknown, "ignored": given.ignored, "unlabelled": given.unlabelled}
    return answer.model_copy(update={key: list(names) for key, names in told.items()})


def _answer(
    file: Path | None, models: list[str], labels: "list[LabelCountAnswer]"
) -> "LabelAnswer":
    from weightscape.answers_probes import LabelAnswer

    return LabelAnswer(
        file=None if file is None else str(file),
        models=models,
        labels=labels,
        unknown=[],
        ignored=[],
        unlabelled=[],
        explained=0,
    )


def source_of(file: Path) -> str:
    """Name a file the same wherever the command is given, and a zoo's as its folder."""
    from weightscape.probing.label_files import find_label_file

    return f"file {find_label_file(file).resolve()}"


def _counts(labels: "Iterable[tuple[Label, int]]") -> "list[LabelCountAnswer]":
    from weightscape.answers_probes import LabelCountAnswer

    return [LabelCountAnswer(label=it.label, kind=it.kind, models=many) for it, many in labels]


def _show(answer: "LabelAnswer", forget: bool) -> None:
    from weightscape.cli import console
    from weightscape.cli.summary import plural

    if forget and answer.file is not None:
        console.note(f"{answer.file} says nothing of {len(answer.models)} models any more")
        return
    if answer.labels:
        _table(answer)
        many = plural(len(answer.labels), "label")
        console.note(f"{many} of {plural(len(answer.models), 'model')}")
    elif answer.file is None:
        console.note("no model of the atlas has a label; give some: weightscape label FILE.csv")
    if answer.ignored:
        console.note(f"columns that were not read: {', '.join(answer.ignored)}")
    if answer.unlabelled:
        some = _some(answer.unlabelled)
        many = plural(len(answer.unlabelled), "model")
        console.note(f"no label in the file for {many}: {some}")
    if answer.unknown:
        console.note(f"{len(answer.unknown)} models are not in the atlas: {_some(answer.unknown)}")


def _table(answer: "LabelAnswer") -> None:
    from weightscape.cli import console

    columns, worded = ["label", "kind", "models"], any(it.words for it in answer.labels)
    rows = [
        (it.label, it.kind, it.models, *([it.words or ""] if worded else []))
        for it in answer.labels[:SHOWN]
    ]
    columns += ["in words"] if worded else []
    console.out().print(console.table(columns, rows, right="models"))
    more = len(answer.labels) - SHOWN
    if more > 0:
        console.note(f"and {more} more labels (--json lists them)")


def _tell_words(
    answer: "LabelAnswer", class_names: Path, words: Mapping[str, str], forget: bool
) -> None:
    from weightscape.cli import console

    if forget:
        console.note(f"{answer.explained} labels have no words any more of those in {class_names}")
    elif answer.explained:
        console.note(f"{answer.explained} labels of models are put into words by {class_names}")
    else:
        labels = _some([it.label for it in answer.labels])
        console.note(
            f"none of the {len(words)} labels in {class_names} ({_some(list(words))}) is one of a "
            f"model{f'; those are {labels}' if labels else ''}; --forget takes its words back"
        )


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
