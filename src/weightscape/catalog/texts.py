"""What is written about models: names, labels and cards, and the search for words in them.

SQLite's index of words (FTS5: stems, BM25) is asked where there is one; other databases, and an
SQLite that was built without it, count the words as they are typed.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import (
    ColumnElement,
    Connection,
    Text,
    bindparam,
    case,
    cast,
    delete,
    func,
    insert,
    or_,
    select,
)
from sqlalchemy import update as change

from weightscape.catalog import dialect
from weightscape.catalog.models import by_ids
from weightscape.catalog.parting import parted
from weightscape.catalog.records import Model
from weightscape.catalog.schema import model_texts, models

MOST_WORDS = 64
_WORD = re.compile(r"[^\W_]+")
# words of questions that say nothing of a model; a question of these alone is asked as it is
_COMMON = frozenset(
    "a about all an and any are as at be by can do does for from has have how i in is it its me my "
    "of on or that the their there this to was we what which who with you your "
    "model models find fine tuned trained".split()
)


@dataclass(frozen=True, slots=True)
class ModelText:
    """What is to be searched of one model. labels: as words. card: its words alone."""

    name: str
    labels: str
    card: str


@dataclass(frozen=True, slots=True)
class Matches:
    """Models whose texts match, the best first, with scores above 0.

    indexed: whether an index of words was asked; without it, words are only found as typed.
    """

    models: tuple[str, ...]
    scores: tuple[float, ...]
    indexed: bool


def stale(connection: Connection) -> list[Model]:
    """List the models whose texts were not read since their files changed."""
    unread = (
        select(models.c.id)
        .outerjoin(model_texts, model_texts.c.model_id == models.c.id)
        .where(models.c.status != "removed")
        .where(
            or_(
                model_texts.c.model_id.is_(None),
                # JSON compares on no database but as text
                cast(model_texts.c.stamp, Text) != cast(models.c.stamp, Text),
            )
        )
    )
    return by_ids(connection, connection.execute(unread).scalars())


def put_texts(connection: Connection, read: Sequence[tuple[Model, ModelText]]) -> None:
    """Keep models' texts, as of their stamps, in place of older ones."""
    for some in parted(model.id for model, _ in read):
        connection.execute(delete(model_texts).where(model_texts.c.model_id.in_(some)))
    rows = [
        {
            "model_id": model.id,
            "stamp": model.stamp,
            "name": text.name,
            "labels": text.labels,
            "card": text.card,
        }
        for model, text in read
    ]
    if rows:
        connection.execute(insert(model_texts), rows)


def relabel(connection: Connection, words: Mapping[int, str]) -> None:
    """Keep other label words of models, by id, whose texts were read."""
    rows = [{"which": model_id, "words": text} for model_id, text in words.items()]
    if rows:
        mine = model_texts.c.model_id == bindparam("which")
        connection.execute(change(model_texts).where(mine).values(labels=bindparam("words")), rows)


def search_words(connection: Connection, text: str, count: int) -> Matches:
    """Find the models whose name, labels or card have words of `text`.

    Words of names count most, those of cards least. Models that have more and rarer words come
    first, ties by name.
    """
    words = words_of(text)
    if not words:
        return Matches((), (), dialect.has_full_text(connection))
    indexed = dialect.has_full_text(connection)
    found = (dialect.match_words if indexed else _count_words)(connection, words, count)
    return Matches(tuple(name for name, _ in found), tuple(score for _, score in found), indexed)


def words_of(text: str) -> list[str]:
    """Take a question apart into the words that are looked for.

    >>> words_of("Which models know movie-review sentiment?")
    ['know', 'movie', 'review', 'sentiment']
    """
    words = list(dict.fromkeys(word.lower() for word in _WORD.findall(text)))
    return ([word for word in words if word not in _COMMON] or words)[:MOST_WORDS]


def _count_words(
    connection: Connection, words: Sequence[str], count: int
) -> list[tuple[str, float]]:
    weighed = ((model_texts.c.name, 4.0), (model_texts.c.labels, 3.0), (model_texts.c.card, 1.0))
    parts = [
        case((func.lower(column).contains(word, autoescape=True), weight), else_=0.0)
        for word in words
        for column, weight in weighed
    ]
    score = _sum(parts).label("score")
    query = (
        select(models.c.name, score)
        .join(models, models.c.id == model_texts.c.model_id)
        .where(models.c.status != "removed")
        .where(_sum(parts) > 0)
        .order_by(score.desc(), models.c.name)
        .limit(count)
    )
    return [(name, float(found)) for name, found in connection.execute(query)]


def _sum(parts: Iterable[ColumnElement[float]]) -> ColumnElement[float]:
    first, *others = parts
    for part in others:
        first = first + part
    return first
