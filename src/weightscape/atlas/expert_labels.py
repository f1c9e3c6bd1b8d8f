"""What an expert is to learn: the labels of its models, who is held out, what guessing is worth."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping

import numpy as np

from weightscape.catalog.records import Label, LabelKind
from weightscape.probing.expert import Expert

LEAST_BEARERS = 2
"""Models that must have a label: what one model alone has cannot be told from that model."""

Known = dict[str, frozenset[str]]


def labels_to_learn(
    given: Mapping[str, Iterable[Label]], models: Iterable[str], kinds: Collection[LabelKind]
) -> Known:
    """Pick the labels of these kinds that several of the models have, by model.

    A model without a label is not among them: what nobody said of it may be true all the same.
    """
    said = {name: {it.label for it in given.get(name, ()) if it.kind in kinds} for name in models}
    bearers = Counter(label for labels in said.values() for label in labels)
    common = {label for label, many in bearers.items() if many >= LEAST_BEARERS}
    return {name: frozenset(labels & common) for name, labels in said.items() if labels & common}


def hold_out(models: Iterable[str], share: float, seed: int) -> frozenset[str]:
    """Draw the models that only tell when to stop and how sure to be: at least two.

    The order of the models changes nothing.
    """
    names = sorted(models)
    many = max(2, round(share * len(names)))
    drawn = np.random.default_rng(seed).permutation(len(names))[:many]
    return frozenset(names[place] for place in drawn)


def guessed(expert: Expert, labels: Mapping[str, frozenset[str]]) -> dict[str, float]:
    """Score guesses on the models that were held out, to compare an expert's metrics with.

    label_accuracy: of answering for each class what most training models have. text_top1: of
    naming the label that most training models have; text_top1_chance: of naming any label.
    """
    held = expert.known.held_out
    named = [labels.get(name, frozenset()) for name in expert.known.names]
    everywhere = frozenset.intersection(
        *(it for it, out in zip(named, held, strict=True) if not out)
    )
    # as the expert does, guesses leave out what all training models have
    told = [own - everywhere for own in named]
    training = [it for it, out in zip(told, held, strict=True) if not out]
    validation = [it for it, out in zip(told, held, strict=True) if out]
    many = Counter(label for own in training for label in own)
    usual = frozenset(it for it in expert.labels if many[it] * 2 >= len(training))
    found = {}
    if expert.labels and validation:
        right = [len(expert.labels) - len((own ^ usual) & {*expert.labels}) for own in validation]
        found["label_accuracy"] = float(np.mean(right)) / len(expert.labels)
    there = frozenset().union(*told)
    if expert.encoder is not None and validation and many:
        best = min(many, key=lambda label: (-many[label], label))
        found["text_top1"] = float(np.mean([best in own for own in validation]))
        found["text_top1_chance"] = float(np.mean([len(own) for own in validation])) / len(there)
    return found
