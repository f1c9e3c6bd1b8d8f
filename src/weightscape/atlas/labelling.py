"""What the atlas's models are said to know: by their own files, and by files of labels."""

import logging
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection

from weightscape.catalog import labels as label_rows
from weightscape.catalog import models as model_rows
from weightscape.catalog import texts as text_rows
from weightscape.catalog.records import Label, Model
from weightscape.catalog.store import Store
from weightscape.catalog.texts import ModelText
from weightscape.errors import BadInput, WeightscapeError
from weightscape.io.json_files import read_json
from weightscape.io.model_card import CARD, ModelCard, read_card
from weightscape.probing.label_files import LabelFile, LabelledModel
from weightscape.probing.label_lists import (
    card_labels,
    card_words,
    config_labels,
    metadata_labels,
    provenance_labels,
    words_of_labels,
)
from weightscape.probing.prompts import label_words
from weightscape.progress import Progress, silent

log = logging.getLogger(__name__)

PROVENANCE = "provenance.json"
_AT_ONCE = 500
Labels = dict[str, tuple[Label, ...]]


@dataclass(frozen=True, slots=True)
class Labelled:
    """What a file of labels did. models: by name, those that have labels of it now.

    labels: how many models have each. unknown: as the file names them, those that are not in the
    atlas, or that may be several.
    """

    models: tuple[str, ...]
    labels: Mapping[Label, int]
    unknown: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Said:
    """What one model's files say of it, by source."""

    model: Model
    labels: Mapping[str, Sequence[Label]]
    card: str


def refresh_labels(store: Store, progress: Progress = silent) -> int:
    """Read what the files of models say that are new or changed; tell how many there were.

    What `label_models` was given stays. A model's configuration and metadata are those that the
    atlas has kept, its card and its provenance are read from its folder.
    """
    with store.read() as connection:
        waiting = text_rows.stale(connection)
    with progress.stage("reading cards", total=len(waiting), unit="models") as advance:
        for start in range(0, len(waiting), _AT_ONCE):
            said = [_read(model) for model in waiting[start : start + _AT_ONCE]]
            with store.write() as connection:
                for source in ("config", "metadata", "provenance", "card"):
                    by_model = {it.model.id: it.labels[source] for it in said}
                    label_rows.put_labels(connection, source, by_model)
                mine = label_rows.labels_of(connection, [it.model.id for it in said])
                explained = label_rows.words_of_labels(connection)
                read = [(it.model, _text(it, mine[it.model.id], explained)) for it in said]
                text_rows.put_texts(connection, read)
            advance(len(said))
    return len(waiting)


def label_models(store: Store, given: LabelFile, source: str) -> Labelled:
    """Keep what a file of labels says, in place of what the same source said before.

    source: names the file. Models are found by their name, by the path that the file gives, or by
    the last part of their name where only one has it. Raises BadInput for a table that names no
    columns and whose first column names no model either.
    """
    refresh_labels(store)
    with store.write() as connection:
        everyone = model_rows.all_models(connection, statuses=("pending", "ready", "gone"))
        found, unknown = _resolve(given.models, everyone)
        if given.doubt and not found:
            raise BadInput(given.doubt)
        before = label_rows.forget_source(connection, source)
        label_rows.put_labels(connection, source, found)
        label_rows.put_words(connection, given.words)
        explained = label_rows.words_of_labels(connection)
        mine = label_rows.labels_of(connection, sorted({*before, *found}))
        words = {it: words_of_labels(labels, explained) for it, labels in mine.items()}
        text_rows.relabel(connection, words)
    named = {it.id: it.name for it in everyone}
    many = Counter(label for labels in found.values() for label in set(labels))
    order = sorted(many, key=lambda label: (-many[label], label))
    return Labelled(
        models=tuple(sorted(named[it] for it, labels in found.items() if labels)),
        labels={label: many[label] for label in order},
        unknown=tuple(unknown),
    )


def explain_labels(store: Store, words: Mapping[str, str]) -> int:
    """Keep what labels mean in words, as of class ids; tell how many of them models have."""
    refresh_labels(store)
    with store.write() as connection:
        label_rows.put_words(connection, words)
        return _write_anew(connection, set(words))


def forget_words(store: Store, names: Iterable[str]) -> int:
    """Delete what these labels mean in words; tell how many had any."""
    with store.write() as connection:
        forgotten = label_rows.forget_words(connection, names)
        _write_anew(connection, set(forgotten))
    return len(forgotten)


def _write_anew(connection: Connection, names: set[str]) -> int:
    """Write anew what a search reads of the models with these labels; count those that any has."""
    explained = label_rows.words_of_labels(connection)
    everyone = [it.id for it in model_rows.all_models(connection)]
    by_model = label_rows.labels_of(connection, everyone)
    met = {it.label for labels in by_model.values() for it in labels} & names
    text_rows.relabel(
        connection,
        {
            model_id: words_of_labels(labels, explained)
            for model_id, labels in by_model.items()
            if any(it.label in met for it in labels)
        },
    )
    return len(met)


def forget_labels(store: Store, source: str) -> tuple[str, ...]:
    """Delete what a source said; name the models that it spoke of."""
    with store.read() as connection:
        by_model = label_rows.all_labels(connection)
    label_models(store, LabelFile(()), source)
    return tuple(
        name for name, labels in by_model.items() if any(it.source == source for it in labels)
    )


def labels_of_models(store: Store, progress: Progress = silent) -> Labels:
    """Give the labels of every model that has any, by its name, newly read where that is needed."""
    _refresh_if_writable(store, progress)
    with store.read() as connection:
        return label_rows.all_labels(connection)


def known_labels(store: Store, progress: Progress = silent) -> list[tuple[Label, int]]:
    """Count the models of every label that the atlas knows, the most frequent first."""
    _refresh_if_writable(store, progress)
    with store.read() as connection:
        return label_rows.known_labels(connection)


def label_meanings(store: Store) -> dict[str, str]:
    """Give the labels that were told in words, with these: what an encoder should be given."""
    with store.read() as connection:
        return label_rows.words_of_labels(connection)


def _refresh_if_writable(store: Store, progress: Progress) -> None:
    """Read what is new, or do with what was read before where the atlas may only be looked at."""
    try:
        refresh_labels(store, progress)
    except WeightscapeError as problem:
        log.info("labels and cards stay as they were: %s", problem)


def _read(model: Model) -> _Said:
    place = Path(model.path)
    # a lone file's folder may hold other models: what lies beside it does not speak for it
    own = place.is_dir()
    card = read_card(place / CARD) if own else ModelCard()
    labels = {
        "config": config_labels(model.config),
        "metadata": metadata_labels(model.metadata),
        "provenance": provenance_labels(_provenance(place)) if own else [],
        "card": card_labels(card),
    }
    return _Said(model, labels, card_words(card))


def _provenance(folder: Path) -> Mapping[str, object]:
    try:
        return read_json(folder / PROVENANCE)
    except WeightscapeError:
        return {}


def _text(said: _Said, labels: Sequence[Label], explained: Mapping[str, str]) -> ModelText:
    return ModelText(_name_words(said.model.name), words_of_labels(labels, explained), said.card)


def _name_words(name: str) -> str:
    """Write a name as it is and as words, so that both find it."""
    return " ".join(dict.fromkeys((name, label_words(name))))


def _resolve(
    rows: Iterable[LabelledModel], everyone: Sequence[Model]
) -> tuple[dict[int, list[Label]], list[str]]:
    """Find the models that rows name; those of one model add up."""
    by_name = {it.name: it for it in everyone}
    by_path = {it.path: it for it in everyone if it.status != "gone"}
    last = Counter(name.rpartition("/")[2] for name in by_name)
    by_last = {
        part: it for name, it in by_name.items() if last[part := name.rpartition("/")[2]] == 1
    }
    found: dict[int, list[Label]] = {}
    unknown = []
    for row in rows:
        model = (
            (by_path.get(str(row.path.resolve())) if row.path is not None else None)
            or by_name.get(row.model)
            or by_path.get(_resolved(row.model))
            or by_last.get(row.model)
        )
        if model is None:
            unknown.append(row.model)
        else:
            found.setdefault(model.id, []).extend(row.labels)
    return found, unknown


def _resolved(given: str) -> str:
    try:
        return str(Path(given).expanduser().resolve())
    except (OSError, ValueError, RuntimeError):
        return given
