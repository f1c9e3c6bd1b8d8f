"""What a training begins with: models in order, classes to learn, layers as probes read them."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import xxhash
from numpy.typing import NDArray
from torch import Tensor

from weightscape.errors import BadInput, MismatchedModels
from weightscape.probing.expert import Floats
from weightscape.probing.fitting import Models
from weightscape.probing.layer_set import LayerSet
from weightscape.probing.normalising import Normalising, fit_normalising, normalise
from weightscape.probing.settings import ProbeTraining

log = logging.getLogger(__name__)

LEAST_MODELS = 8

MOST_MODELS = 3000
"""Models to learn from by regressions: the square of this many numbers is held a few times."""

TextVectors = Mapping[str, Floats | Tensor | Sequence[float]]


@dataclass(frozen=True, slots=True)
class Prepared:
    """All that a training follows from.

    sets: the layers of all models, in the order of their names; held_out: which of them are not
    learned from. classes: of the head of classes; told: labels of the head of texts with their
    texts [told, size], and known: which of them training models have. train, valid: the models of
    both sides, normalised.
    """

    sets: tuple[LayerSet, ...]
    held_out: NDArray[np.bool_]
    classes: tuple[str, ...]
    told: tuple[str, ...]
    texts: Tensor | None
    known: Tensor | None
    normalisings: tuple[Normalising, ...]
    train: Models
    valid: Models

    def identity(self, how: ProbeTraining) -> str:
        """Hash all that the training follows from, so that it goes on only as what it was."""
        digest = xxhash.xxh3_128(repr((how, [(it.layer, it.names) for it in self.sets])).encode())
        tensors = [self.train.members, self.train.told]
        tensors += [] if self.texts is None else [self.texts]
        for stack in self.train.stacks:
            parts = (getattr(stack, name, None) for name in ("matrices", "b", "a"))
            tensors += [it for it in parts if it is not None]
        for tensor in tensors:
            digest.update(tensor.contiguous().numpy().data)
        return str(digest.hexdigest())


def prepare(
    sets: Sequence[LayerSet],
    labels: Sequence[frozenset[str]],
    text_vectors: TextVectors | None,
    validation: float | Sequence[bool],
    how: ProbeTraining,
) -> Prepared:
    """Put models into order, hold some out, and normalise their layers by the others' mean.

    Raises BadInput for what `train_expert` says.
    """
    ordered, labels, held_out = _in_order(sets, labels, validation, how.seed)
    if how.way == "left-out":
        held_out = _bounded(held_out, how.seed)
    training = [it for it, held in zip(labels, held_out, strict=True) if not held]
    classes = classes_to_learn(labels, training)
    told, known, texts = _with_texts(labels, training, text_vectors)
    rows = torch.from_numpy(~held_out)
    fitted = [
        fit_normalising(
            it.stack.take(torch.nonzero(rows)[:, 0]),
            centre=how.centre,
            sized=how.sized,
            share=how.share,
            most=how.reduce_to,
        )
        for it in ordered
    ]
    places = torch.nonzero(~rows)[:, 0]
    members, all_told = _members(labels, classes), _members(labels, told)
    read = [
        normalise(it.stack.take(places), one) for it, (one, _) in zip(ordered, fitted, strict=True)
    ]
    return Prepared(
        sets=tuple(ordered),
        held_out=held_out,
        classes=tuple(classes),
        told=tuple(told),
        texts=texts,
        known=known,
        normalisings=tuple(one for one, _ in fitted),
        train=Models([stack for _, stack in fitted], members[rows], all_told[rows]),
        valid=Models(read, members[places], all_told[places]),
    )


def classes_to_learn(
    labels: Sequence[frozenset[str]], training: Sequence[frozenset[str]]
) -> list[str]:
    """List the labels that some training models have and others have not, sorted.

    Raises BadInput where there is none.
    """
    there = sorted(frozenset().union(*labels))
    if not there:
        raise BadInput("no model has a label; give labels first")
    seen = frozenset().union(*training)
    everywhere = frozenset.intersection(*training)
    classes = [label for label in there if label in seen and label not in everywhere]
    if not classes:
        raise BadInput(
            f"all training models have the same labels ({', '.join(there[:5])}); "
            "nothing tells them apart, give models that differ"
        )
    return classes


def _in_order(
    sets: Sequence[LayerSet],
    labels: Sequence[frozenset[str]],
    validation: float | Sequence[bool],
    seed: int,
) -> tuple[list[LayerSet], list[frozenset[str]], NDArray[np.bool_]]:
    """Bring models into the order of their names and say which are held out."""
    names = sets[0].names
    if any(it.names != names for it in sets):
        raise MismatchedModels("the layers are not of the same models; select() them by name first")
    if len(labels) != len(names):
        raise BadInput(f"{len(labels)} sets of labels were given for {len(names)} models")
    if len(names) < LEAST_MODELS:
        raise BadInput(f"{len(names)} models are too few to learn from; {LEAST_MODELS} at least")
    order = sorted(range(len(names)), key=lambda place: names[place])
    held_out = _held_out(order, validation, seed)
    picked = torch.tensor(order)
    ordered = [
        LayerSet(
            it.layer, tuple(names[place] for place in order), it.stack.take(picked), it.skipped
        )
        for it in sets
    ]
    return ordered, [labels[place] for place in order], held_out


def _held_out(
    order: Sequence[int], validation: float | Sequence[bool], seed: int
) -> NDArray[np.bool_]:
    if isinstance(validation, int | float):
        if not 0 < validation < 1:
            raise BadInput(f"the validation share must be between 0 and 1, got {validation}")
        drawn = np.zeros(len(order), bool)
        many = max(2, round(validation * len(order)))
        drawn[np.random.default_rng(seed).permutation(len(order))[:many]] = True
        return drawn
    if len(validation) != len(order):
        raise BadInput(f"validation says {len(validation)} models, but there are {len(order)}")
    held_out = np.array([bool(validation[place]) for place in order])
    if not held_out.any() or held_out.all():
        raise BadInput("some models must be held out for validation, and some must not")
    return held_out


def _bounded(held_out: NDArray[np.bool_], seed: int) -> NDArray[np.bool_]:
    """Hold out more models where there are too many to learn from by regressions."""
    training = np.flatnonzero(~held_out)
    if len(training) <= MOST_MODELS:
        return held_out
    log.info("%d of %d models are learned from, the others held out", MOST_MODELS, len(training))
    fewer = np.ones(len(held_out), bool)
    fewer[np.random.default_rng(seed).permutation(training)[:MOST_MODELS]] = False
    return fewer


def _with_texts(
    labels: Sequence[frozenset[str]],
    training: Sequence[frozenset[str]],
    vectors: TextVectors | None,
) -> tuple[list[str], Tensor | None, Tensor | None]:
    """Tell the labels with texts, which of these training models have, and the texts."""
    if vectors is None:
        return [], None, None
    seen = frozenset().union(*training)
    everywhere = frozenset.intersection(*training)
    there = sorted(frozenset().union(*labels))
    told = [label for label in there if label in vectors and label not in everywhere]
    if not any(label in seen for label in told):
        raise BadInput("no training model has a label with a text vector")
    texts = torch.stack([torch.as_tensor(vectors[it], dtype=torch.float32) for it in told])
    return told, torch.tensor([label in seen for label in told]), texts


def _members(labels: Sequence[frozenset[str]], columns: Sequence[str]) -> Tensor:
    rows = [[float(label in own) for label in columns] for own in labels]
    return torch.tensor(rows).view(len(labels), len(columns))
