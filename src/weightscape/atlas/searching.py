"""Finding models by a text: by what experts read in their weights, and by what is written of them.

The two rankings are put into one by the ranks (`probing.fusion`), since a probability and a BM25
score have no common measure.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from weightscape.atlas.asking import Asked, ask_experts, untrained
from weightscape.atlas.embedding import Embedded, embed_new
from weightscape.atlas.labelling import refresh_labels
from weightscape.catalog import texts as text_rows
from weightscape.catalog import vectors as vector_rows
from weightscape.catalog.store import Store
from weightscape.catalog.texts import words_of
from weightscape.errors import AtlasError, BadInput
from weightscape.probing.fusion import fuse
from weightscape.progress import Progress, silent

log = logging.getLogger(__name__)

Finder = Literal["weights", "text"]
BOTH: tuple[Finder, ...] = ("weights", "text")

DEPTH = 100
"""Models of each ranking that are fused; by `count`, the order of the first would depend on it."""

LIKELY = 0.5
"""Share of the highest probability below which weights do not speak for a model, beside words."""

REASONS = 3
"""Reasons why models could not be read that are told, and models that are named for each."""


@dataclass(frozen=True, slots=True)
class Hit:
    """A model that was found.

    score: by which hits are ordered. found_by: which of the two rankings list it. probability: by
    its weights, that it knows what the text names; expert: that said so. words: BM25 of its texts.
    """

    model: str
    score: float
    found_by: tuple[Finder, ...]
    probability: float | None = None
    expert: str | None = None
    words: float | None = None


@dataclass(frozen=True, slots=True)
class Search:
    """What a search found. experts: that were asked. read: models whose weights they have read.

    notes: what a person should know of how it was found.
    """

    hits: tuple[Hit, ...]
    experts: tuple[str, ...] = ()
    read: int = 0
    notes: tuple[str, ...] = ()


def search(
    store: Store,
    text: str,
    *,
    count: int = 10,
    by: Sequence[Finder] = BOTH,
    expert: str | None = None,
    progress: Progress = silent,
) -> Search:
    """Find the models that know what a text names.

    by: the finders to ask; each gives its best hundred at least, whatever the `count`, and what
    both list comes first. Of the weights those are listed, beside words, that are at least half as
    likely to know it as the likeliest. expert: the one to ask, by name (default: of each tree the
    newest). A model's probability is that of its own tree's expert, calibrated on models that were
    held out, so that those of several trees compare. Models that came into the atlas since are read
    first, one layer of each.

    Raises BadInput for a text without words, and where weights alone are asked for and no expert
    has read any; UnknownName for another expert.
    """
    if not by or count < 1:
        raise BadInput("a search needs a finder and a count of at least 1")
    if not words_of(text):
        raise BadInput(f"a search needs some words, and {text[:40]!r} has none")
    try:
        refresh_labels(store, progress)
    except AtlasError as problem:
        log.info("texts stay as they were: %s", problem)
    asked, notes = Asked(), list[str]()
    if "weights" in by:
        embedded, failed = embed_new(store, expert=expert, progress=progress)
        asked = ask_experts(store, text, expert=expert, progress=progress)
        if not asked.probabilities and ("text" not in by or expert is not None):
            raise BadInput("; ".join(asked.notes) or untrained(store))
        notes = list(dict.fromkeys((*failed, *asked.notes)))
        if asked.probabilities:
            notes += (*_unread(store, len(embedded.skipped)), *_unreadable(embedded))
    words: dict[str, float] = {}
    if "text" in by:
        with store.read() as connection:
            matches = text_rows.search_words(connection, text, max(count, DEPTH))
        words = dict(zip(matches.models, matches.scores, strict=True))
        if not matches.indexed:
            notes.append("this database has no index of words: they are found as they are typed")
    return Search(
        hits=tuple(_fused(asked, words, by, count)),
        experts=asked.experts,
        read=len(asked.probabilities),
        notes=tuple(notes),
    )


def _unread(store: Store, told: int) -> list[str]:
    """Count the models that no expert has read, beside those of which it is told why."""
    with store.read() as connection:
        many = vector_rows.count_unread(connection) - told
    if many <= 0:
        return []
    which = "model is" if many == 1 else "models are"
    return [f"{many} {which} read by no expert, and found by words alone"]


def _unreadable(embedded: Embedded) -> list[str]:
    """Tell the first reasons why models could not be read, each with the first models it is of."""
    by_reason: dict[str, list[str]] = {}
    for name, why in embedded.skipped.items():
        by_reason.setdefault(why, []).append(name)
    notes = [
        f"found by words alone: {some_of(names)}: {why}"
        for why, names in list(by_reason.items())[:REASONS]
    ]
    left = sum(map(len, list(by_reason.values())[REASONS:]))
    return notes + ([f"and {left} more, for other reasons"] if left else [])


def some_of(names: Sequence[str], count: int = REASONS) -> str:
    """Name the first few.

    >>> some_of(["a", "b", "c", "d", "e"])
    'a, b, c and 2 more'
    """
    more = f" and {len(names) - count} more" if len(names) > count else ""
    return ", ".join(names[:count]) + more


def _fused(asked: Asked, words: Mapping[str, float], by: Sequence[Finder], count: int) -> list[Hit]:
    rankings: dict[str, Sequence[str]] = {
        "weights": asked.best(max(count, DEPTH), least=LIKELY if "text" in by else 0.0),
        "text": tuple(words),
    }
    hits = []
    for one in fuse({finder: rankings[finder] for finder in BOTH if finder in by})[:count]:
        probability, expert = asked.probabilities.get(one.name, (None, None))
        score = one.score
        if len(by) == 1:  # then its own measure orders the hits as well, and says more
            score = probability if probability is not None else words[one.name]
        found_by = tuple(finder for finder in BOTH if finder in one.found_by)
        hits.append(Hit(one.name, score, found_by, probability, expert, words.get(one.name)))
    return hits
