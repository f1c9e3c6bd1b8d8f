"""What the atlas's experts say of its models: the fixed list of labels that the page searches."""

import logging
from collections import Counter

from weightscape.atlas import Atlas
from weightscape.atlas.asking import chosen_experts
from weightscape.catalog.labels import all_labels, words_of_labels
from weightscape.catalog.vectors import load_vectors
from weightscape.errors import WeightscapeError
from weightscape.probing.retrieval import top
from weightscape.probing.saving import load_expert
from weightscape.report.data import PageExpert, PageKnown, PageLabel

log = logging.getLogger(__name__)

LABELS, HITS, EACH = 400, 40, 6
"""Labels of a page, models listed for each, and labels told of each model: a page stays small."""

LEAST = 0.02
"""A probability below this is nothing to list."""


def known_labels(atlas: Atlas) -> PageKnown | None:
    """Score every model by every label that its tree's expert learned; None without experts.

    Labels that most models have come first where there are too many. Vectors are taken out of the
    atlas: no checkpoint is opened, and no text is encoded.
    """
    kept = chosen_experts(atlas.store)
    if not kept:
        return None
    with atlas.store.read() as connection:
        said = all_labels(connection)
        words = words_of_labels(connection)
    bearers = {name: frozenset(it.label for it in labels) for name, labels in said.items()}
    scores: dict[str, list[tuple[str, float]]] = {}
    experts = []
    for one in kept:
        try:
            expert = load_expert(one.folder)
            with atlas.store.read() as connection:
                vectors = load_vectors(connection, one.id)
            if not vectors.models or not expert.labels:
                continue
            found = expert.label_scores_of(vectors.vectors)
        except WeightscapeError as problem:
            log.warning("the page lacks what the expert %r knows: %s", one.name, problem)
            continue
        experts.append(PageExpert(one.name, one.layer, len(vectors.models), dict(expert.metrics)))
        for place, label in enumerate(expert.labels):
            column = found[:, place]
            scores.setdefault(label, []).extend(
                (vectors.models[row], float(column[row]))
                for row in top(column, len(column))
                if column[row] >= LEAST
            )
    if not experts:
        return None
    many = Counter(label for own in bearers.values() for label in own)
    chosen = sorted(sorted(scores, key=lambda it: (-many[it], it))[:LABELS])
    return PageKnown(
        experts=tuple(experts),
        labels=tuple(_label(it, words.get(it, ""), scores[it], bearers) for it in chosen),
        models=_best(scores),
    )


def _label(
    label: str, words: str, found: list[tuple[str, float]], bearers: dict[str, frozenset[str]]
) -> PageLabel:
    best = sorted(found, key=lambda it: (-it[1], it[0]))
    return PageLabel(
        label=label,
        words=words,
        likely=sum(score >= 0.5 for _, score in found),
        hits=tuple((name, score, label in bearers.get(name, ())) for name, score in best[:HITS]),
    )


def _best(scores: dict[str, list[tuple[str, float]]]) -> dict[str, tuple[tuple[str, float], ...]]:
    """Give each model the labels that it likeliest knows."""
    by_model: dict[str, list[tuple[str, float]]] = {}
    for label, found in scores.items():
        for name, score in found:
            by_model.setdefault(name, []).append((label, score))
    return {
        name: tuple(sorted(own, key=lambda it: (-it[1], it[0]))[:EACH])
        for name, own in by_model.items()
    }
