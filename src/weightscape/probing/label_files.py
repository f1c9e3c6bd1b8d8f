"""Files that say what models know: a table, JSON, or the truth of a zoo."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from weightscape.catalog.records import Label, LabelKind
from weightscape.errors import BadInput, NotFound, UnsupportedFormat
from weightscape.io.json_files import parse_object
from weightscape.io.source import read_text
from weightscape.probing.label_tables import LIMIT, LabelTable, as_label, read_table, shown

TRUTH = "truth.json"
"""Stands in a zoo's folder and says what its models know."""


@dataclass(frozen=True, slots=True)
class LabelledModel:
    """A model as a file names it, by name or path, and what it is said to know."""

    model: str
    labels: tuple[Label, ...]
    path: Path | None = None


@dataclass(frozen=True, slots=True)
class LabelFile:
    """What a file of labels says. words: what labels mean. ignored: columns that were not read.

    doubt: what is wrong with a table that names no columns, if what it names are no models.
    """

    models: tuple[LabelledModel, ...]
    words: Mapping[str, str] = field(default_factory=dict)
    ignored: tuple[str, ...] = ()
    doubt: str = ""

    @property
    def unlabelled(self) -> tuple[str, ...]:
        """Name the models that the file has no labels for."""
        return tuple(it.model for it in self.models if not it.labels)


def find_label_file(given: Path) -> Path:
    """Give the file of labels that a path leads to: of a folder, its truth.json."""
    return given / TRUTH if given.is_dir() else given


def read_label_file(
    file: Path, *, kind: LabelKind = "class", splits: Collection[str] = ()
) -> LabelFile:
    """Read a file of labels, or the truth.json of a folder.

    .csv, .tsv: a model and its labels a row, in one column (parted by ";", or written as a list)
    or in several; rows of one model add up. Columns are told by the first row (model, label, class,
    task, tag, with or without a number); without one, the first column is the model and the others
    are labels of this kind. .json: an object of lists of labels by model, or a zoo's truth.json.
    splits: the ones to read of a truth.json or a column `split` (default: all).

    Raises NotFound, UnsupportedFormat, or BadInput with the line that makes no sense.
    """
    given, file = file, find_label_file(file)
    if given.is_dir() and not file.is_file():
        raise BadInput(
            f"{given}: is a folder without a {TRUTH}; name a .csv, .tsv or .json file of labels"
        )
    if not file.is_file():
        raise NotFound(f"{file}: no such file of labels")
    suffix = file.suffix.lower()
    if suffix in (".csv", ".tsv"):
        table = read_table(file, kind, splits)
        _check_splits(file, splits, table.splits)
        models = tuple(LabelledModel(name, labels) for name, labels in table.labels.items())
        return LabelFile(models, ignored=table.ignored, doubt=_doubt(file, table))
    if suffix != ".json":
        raise UnsupportedFormat(f"{file}: labels are read from .csv, .tsv and .json files")
    told = parse_object(read_text(file, LIMIT).encode(), file)
    if "zoo" in told and isinstance(told.get("models"), dict):
        return _read_truth(file, told, splits)
    _check_splits(file, splits, ())
    return LabelFile(tuple(LabelledModel(it, _listed(file, told, it, kind)) for it in told))


def _doubt(file: Path, table: LabelTable) -> str:
    if not table.first:
        return ""
    return (
        f"{file}: has no column model, and what stands first in its rows are no models of the "
        f"atlas; its columns are {shown(table.first)}; name one of them model and one label"
    )


def _listed(file: Path, told: Mapping[str, Any], model: str, kind: LabelKind) -> tuple[Label, ...]:
    given = told[model]
    listed = given if isinstance(given, list) else [given]
    if not all(isinstance(it, str) for it in listed):
        raise BadInput(f"{file}: the labels of {model[:80]!r} should be a list of texts")
    return _labels(listed, kind, file)


def _read_truth(file: Path, told: Mapping[str, Any], splits: Collection[str]) -> LabelFile:
    """Read what a zoo says of its models: their classes, and the task and domain of others."""
    models, known = [], set()
    for name, model in told["models"].items():
        if not isinstance(model, dict):
            raise BadInput(f"{file}: model {name[:80]!r} should be an object")
        split = model.get("split")
        if isinstance(split, str):
            known.add(split)
        if splits and split not in splits:
            continue
        classes, where = model.get("classes"), model.get("path")
        tasks = [model[it] for it in ("task", "domain") if isinstance(model.get(it), str)]
        listed = classes if isinstance(classes, list) else []
        labels = _labels([it for it in listed if isinstance(it, str)], "class", file)
        path = file.parent / where if isinstance(where, str) and "\0" not in where else None
        models.append(LabelledModel(name, labels + _labels(tasks, "task", file), path))
    _check_splits(file, splits, known)
    words = told.get("classes")
    return LabelFile(tuple(models), _meanings(file, words) if isinstance(words, dict) else {})


def _meanings(file: Path, words: Mapping[str, Any]) -> dict[str, str]:
    meant = {}
    for label, text in words.items():
        if not isinstance(text, str):
            raise BadInput(f"{file}: what class {label[:80]!r} means should be a text")
        plain = as_label(label, "class", str(file)).label
        meant[plain] = as_label(text, "class", str(file)).label
    return meant


def _labels(texts: Sequence[str], kind: LabelKind, file: Path) -> tuple[Label, ...]:
    return tuple(as_label(it, kind, str(file)) for it in texts if it.strip())


def _check_splits(file: Path, splits: Collection[str], known: Collection[str]) -> None:
    missing = sorted(set(splits) - set(known))
    if missing:
        there = f"it has {', '.join(sorted(known))}" if known else "it has none"
        raise BadInput(f"{file}: has no split {missing[0]!r}; {there}")
