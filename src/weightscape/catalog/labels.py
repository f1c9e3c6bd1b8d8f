"""Labels: what models are said to know, by source, so that each source is replaced whole."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from sqlalchemy import Connection, Row, delete, func, insert, select

from weightscape.catalog.parting import MOST, parted
from weightscape.catalog.records import Label
from weightscape.catalog.schema import label_words, labels, models


def put_labels(connection: Connection, source: str, said: Mapping[int, Iterable[Label]]) -> None:
    """Keep what a source says of these models (by id), in place of what it said of them before."""
    for some in parted(said):
        mine = labels.c.model_id.in_(some) & (labels.c.source == source)
        connection.execute(delete(labels).where(mine))
    rows = [
        {"model_id": model_id, "source": source, "kind": kind, "label": label}
        for model_id, given in said.items()
        for kind, label in sorted({(it.kind, it.label) for it in given})
    ]
    if rows:
        connection.execute(insert(labels), rows)


def forget_source(connection: Connection, source: str) -> list[int]:
    """Delete all that a source said; return the ids of the models it spoke of."""
    asked = select(labels.c.model_id).where(labels.c.source == source).distinct()
    spoken_of = list(connection.execute(asked.order_by(labels.c.model_id)).scalars())
    connection.execute(delete(labels).where(labels.c.source == source))
    return spoken_of


def all_labels(connection: Connection) -> dict[str, tuple[Label, ...]]:
    """Load the labels of every model that has any, by its name; not of removed models."""
    query = _with_names().order_by(labels.c.label, labels.c.kind, labels.c.source)
    found: dict[str, list[Label]] = {}
    for row in connection.execute(query):
        found.setdefault(row.name, []).append(_label(row))
    return {name: tuple(found[name]) for name in sorted(found)}


def labels_of(connection: Connection, model_ids: Iterable[int]) -> dict[int, tuple[Label, ...]]:
    """Load the labels of these models by id, sorted; () for a model without any."""
    found: dict[int, list[Label]] = {model_id: [] for model_id in model_ids}
    for some in parted(found):
        for row in connection.execute(select(labels).where(labels.c.model_id.in_(some))):
            found[row.model_id].append(_label(row))
    return {model_id: tuple(sorted(mine)) for model_id, mine in found.items()}


def known_labels(connection: Connection) -> list[tuple[Label, int]]:
    """Count the models of each label, whoever said it: the most frequent first."""
    many = func.count(labels.c.model_id.distinct())
    query = (
        select(labels.c.label, labels.c.kind, many.label("many"))
        .join(models, models.c.id == labels.c.model_id)
        .where(models.c.status != "removed")
        .group_by(labels.c.label, labels.c.kind)
        .order_by(many.desc(), labels.c.label, labels.c.kind)
    )
    return [(Label(row.label, row.kind), row.many) for row in connection.execute(query)]


def bearers_of(connection: Connection, names: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Go through the labels of these names and the models that have them, removed ones left out."""
    wanted = sorted(set(names))
    for start in range(0, len(wanted), MOST):
        query = (
            select(labels.c.label, models.c.name)
            .join(models, models.c.id == labels.c.model_id)
            .where(models.c.status != "removed")
            .where(labels.c.label.in_(wanted[start : start + MOST]))
            .distinct()
        )
        for row in connection.execute(query):
            yield row.label, row.name


def put_words(connection: Connection, said: Mapping[str, str]) -> None:
    """Keep what labels mean in words, in place of what was kept of them before."""
    for label, words in said.items():
        connection.execute(delete(label_words).where(label_words.c.label == label))
        connection.execute(insert(label_words).values(label=label, words=words))


def forget_words(connection: Connection, names: Iterable[str]) -> list[str]:
    """Delete what these labels mean in words; return those that had any."""
    known = words_of_labels(connection)
    forgotten = sorted(set(names) & set(known))
    for start in range(0, len(forgotten), MOST):
        some = label_words.c.label.in_(forgotten[start : start + MOST])
        connection.execute(delete(label_words).where(some))
    return forgotten


def words_of_labels(connection: Connection) -> dict[str, str]:
    """Load the labels that were told in words, with these."""
    query = select(label_words).order_by(label_words.c.label)
    return {row.label: row.words for row in connection.execute(query)}


def _with_names() -> Any:
    return (
        select(models.c.name, labels)
        .join(models, models.c.id == labels.c.model_id)
        .where(models.c.status != "removed")
    )


def _label(row: Row[Any]) -> Label:
    return Label(row.label, row.kind, row.source)
