"""What the atlas's experts say of its models: the fixed list of labels that the page searches."""

import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from sqlalchemy import Connection

from weightscape.atlas import Atlas
from weightscape.atlas.asking import chosen_experts, load_kept, with_current
from weightscape.catalog.labels import bearers_of, words_of_labels
from weightscape.catalog.labels import known_labels as kept_labels
from weightscape.catalog.records import KeptExpert
from weightscape.catalog.store import Store
from weightscape.catalog.vectors import KeptVectors, load_vectors
from weightscape.errors import WeightscapeError
from weightscape.probing.expert import Expert
from weightscape.probing.retrieval import top
from weightscape.report.data import PageExpert, PageKnown, PageLabel

log = logging.getLogger(__name__)

LABELS, HITS, EACH = 400, 40, 6
"""Labels of a page, models listed for each, and labels told of each model: a page stays small."""

LEAST = 0.02
"""A probability below this is nothing to list."""

_AT_ONCE = 4096
"""Models that are scored by all labels at a time."""


@dataclass(slots=True)
class _Found:
    """What is found of a label on the way. hits: the best ones so far."""

    likely: int = 0
    hits: list[tuple[str, float]] = field(default_factory=list)


def known_labels(atlas: Atlas) -> PageKnown | None:
    """Score every model by every label that its tree's expert learned; None without experts.

    Labels that most models have come first where there are too many. Vectors are taken out of the
    atlas: no checkpoint is opened, and no text is encoded. Of the scores, which are as many as
    models times labels, only the best of each label and of each model are kept on the way.
    """
    experts: list[PageExpert] = []
    found: dict[str, _Found] = {}
    best: dict[str, tuple[tuple[str, float], ...]] = {}
    for one, expert, kept in _asked(atlas.store):
        experts.append(PageExpert(one.name, one.layer, len(kept.models), dict(expert.metrics)))
        for start in range(0, len(kept.models), _AT_ONCE):
            names = kept.models[start : start + _AT_ONCE]
            scores = expert.label_scores_of(kept.vectors[start : start + _AT_ONCE])
            _add_hits(found, expert.labels, names, scores)
            for name, own in zip(names, _best(expert.labels, scores), strict=True):
                best.setdefault(name, own)
    if not experts:
        return None
    with atlas.store.read() as connection:
        chosen = {label: found[label] for label in _chosen(connection, found)}
        words = words_of_labels(connection)
        bearers = _bearers(connection, chosen)
    return PageKnown(
        experts=tuple(experts),
        labels=tuple(
            PageLabel(
                label=label,
                words=words.get(label, ""),
                likely=it.likely,
                hits=tuple((name, score, (label, name) in bearers) for name, score in it.hits),
            )
            for label, it in chosen.items()
        ),
        models={name: own for name, own in best.items() if own},
    )


def _asked(store: Store) -> Iterator[tuple[KeptExpert, Expert, KeptVectors]]:
    """Load the experts that know labels, with what they read."""

    def loaded(by: KeptExpert) -> tuple[KeptExpert, Expert, KeptVectors]:
        expert = load_kept(by)
        with store.read() as connection:
            return by, expert, load_vectors(connection, by.id)

    for one in chosen_experts(store):
        try:
            kept, expert, vectors = with_current(store, one, loaded)
            if vectors.models and expert.labels:
                expert.label_scores_of(vectors.vectors[:1])  # or it says what is wrong
                yield kept, expert, vectors
        except WeightscapeError as problem:
            log.warning("the page lacks what the expert %r knows: %s", one.name, problem)


def _chosen(connection: Connection, labels: Iterable[str]) -> list[str]:
    many: Counter[str] = Counter()
    for label, count in kept_labels(connection):
        many[label.label] = max(many[label.label], count)
    return sorted(sorted(labels, key=lambda it: (-many[it], it))[:LABELS])


def _add_hits(
    found: dict[str, _Found], labels: Sequence[str], names: Sequence[str], scores: np.ndarray
) -> None:
    """Let the best of some models take their places among the best so far."""
    for place, label in enumerate(labels):
        column, it = scores[:, place], found.setdefault(label, _Found())
        it.likely += int((column >= 0.5).sum())
        some = [(names[row], float(column[row])) for row in top(column, HITS)]
        some = [*it.hits, *((name, score) for name, score in some if score >= LEAST)]
        it.hits = sorted(some, key=lambda hit: (-hit[1], hit[0]))[:HITS]


def _best(labels: Sequence[str], scores: np.ndarray) -> Iterator[tuple[tuple[str, float], ...]]:
    """Give each model, a row of scores, the labels that it likeliest knows."""
    count = min(EACH, len(labels))
    places = np.argpartition(-scores, count - 1, axis=1)[:, :count]
    for row, own in zip(scores, places, strict=True):
        listed = [(labels[place], float(row[place])) for place in own if row[place] >= LEAST]
        yield tuple(sorted(listed, key=lambda it: (-it[1], it[0])))


def _bearers(connection: Connection, found: dict[str, _Found]) -> set[tuple[str, str]]:
    """Tell which of the hits are said to know what they are listed for: label and model."""
    listed = {(label, name) for label, it in found.items() for name, _ in it.hits}
    return {it for it in bearers_of(connection, found) if it in listed}
