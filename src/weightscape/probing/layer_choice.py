"""Which layer of a tree tells most: a ridge regression on every layer, short trainings on the best.

The ridge works on inner products of the centred layers, so it ranks dozens of layers in seconds;
what it misses is what only the probes' kinks see, which the short trainings of the finalists
settle. Everything is judged on models that neither was fitted on.
"""

import json
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
import xxhash
from torch import Tensor

from weightscape.errors import BadInput, MismatchedModels, WeightscapeError
from weightscape.io.json_files import read_json
from weightscape.probing.files import write_text
from weightscape.probing.layer_set import LayerSet
from weightscape.probing.layers import Readable, layer_shape, read_layer, same_layer
from weightscape.probing.preparing import classes_to_learn
from weightscape.probing.scores import mean_auc
from weightscape.probing.settings import ProbeTraining
from weightscape.probing.stacks import DenseStack, Stack
from weightscape.probing.training import train_expert
from weightscape.progress import Progress, silent

log = logging.getLogger(__name__)

PENALTIES = (1e-3, 1e-2, 1e-1, 1.0, 10.0)
"""Of the ridge, in units of the mean square of the training layers' norms."""

SHORT_EPOCHS = 40

_BLOCK = 1 << 22


@dataclass(frozen=True, slots=True)
class LayerChoice:
    """The chosen layer, and what all of them reached on the validation models.

    ridge: the mean area under the ROC curve of every layer that could be scored. trained: that of
    the finalists' short trainings.
    """

    layer: str
    ridge: Mapping[str, float]
    trained: Mapping[str, float]


def changed_layers(models: Sequence[Readable], layers: Sequence[str]) -> list[str]:
    """Pick the layers in which the models differ: a part that was frozen tells nothing.

    A few models are enough to see it; give more where some were trained in another part.
    """
    changed = []
    for layer in layers:
        shape = layer_shape(models[0], layer)
        first, *others = (read_layer(it, layer, shape=shape) for it in models)
        if any(not same_layer(first, other) for other in others):
            changed.append(layer)
    return changed


def choose_layer(
    read: Callable[[str], LayerSet],
    layers: Sequence[str],
    labels: Mapping[str, frozenset[str]],
    *,
    held_out: frozenset[str],
    how: ProbeTraining = ProbeTraining(),
    finalists: int = 3,
    kept: Path | None = None,
    identity: str = "",
    progress: Progress = silent,
) -> LayerChoice:
    """Choose the layer by which models' labels are told best.

    read: gives one layer of all models; it is called once or twice a layer, and one set is held at
    a time. labels: by model. held_out: names of the validation models. finalists: layers that get
    a short training; 1 trusts the ridge alone. kept: a JSON file in which the choice is kept for
    the same layers, labels, models, settings and `identity`.

    Raises BadInput where no layer tells anything that can be scored.
    """
    said = _digest(layers, labels, held_out, how, finalists, identity)
    if kept is not None and (found := _read_kept(kept, said, layers)) is not None:
        return found
    ridge: dict[str, float] = {}
    with progress.stage("comparing layers", total=len(layers), unit="layers") as advance:
        for layer in layers:
            try:
                ridge[layer] = _ridge_score(read(layer), labels, held_out, how.sized)
            except MismatchedModels as error:
                log.info("%s is no candidate: %s", layer, error)
            advance(1)
    if not ridge:
        raise BadInput("no layer could be scored; give models whose labels differ")
    best = sorted(ridge, key=lambda layer: (-ridge[layer], layer))[:finalists]
    trained: dict[str, float] = {}
    if len(best) > 1:
        short = replace(how, epochs=min(how.epochs, SHORT_EPOCHS))
        for layer in best:
            layer_set = read(layer)
            expert = train_expert(
                layer_set,
                [labels.get(name, frozenset()) for name in layer_set.names],
                validation=[name in held_out for name in layer_set.names],
                how=short,
                progress=progress,
            )
            area = expert.metrics.get("label_auc", math.nan)
            if not math.isnan(area):
                trained[layer] = area
    # where the validation models divide no class of the short trainings, the ridge decides
    scores = trained or {layer: ridge[layer] for layer in best}
    choice = LayerChoice(min(scores, key=lambda it: (-scores[it], it)), ridge, trained)
    if kept is not None:
        write_text(kept, json.dumps({"identity": said, **asdict(choice)}, indent=2) + "\n")
    return choice


def _ridge_score(
    layer_set: LayerSet,
    labels: Mapping[str, frozenset[str]],
    held_out: frozenset[str],
    sized: bool,
) -> float:
    """Score a layer by kernel ridge regression of the labels, with the best of the penalties.

    sized: each model's difference from the mean is brought to one size first, as for the probes.
    """
    out = torch.tensor([name in held_out for name in layer_set.names])
    train, valid = torch.nonzero(~out)[:, 0], torch.nonzero(out)[:, 0]
    if len(train) < 2 or not len(valid):
        raise MismatchedModels("too few models have this layer")
    own = [labels.get(name, frozenset()) for name in layer_set.names]
    every = classes_to_learn(own, [own[place] for place in train.tolist()])
    members = torch.tensor([[float(it in one) for it in every] for one in own], dtype=torch.float64)
    gram = centred_gram(layer_set.stack, train)
    size = float(gram[train, train].mean())
    if size <= 0.0:
        raise MismatchedModels("the models do not differ in it")
    if sized:
        lengths = gram.diagonal().clamp_min(1e-12 * size).sqrt()
        gram = gram * (size / lengths[:, None] / lengths)
    inner, across = gram[train][:, train] / size, gram[valid][:, train] / size
    told = members[train] - members[train].mean(0)
    values, vectors = torch.linalg.eigh(inner)
    scores = [
        mean_auc(across @ (_inverse(values, vectors, it) @ told), members[valid])
        for it in PENALTIES
    ]
    if not np.isfinite(scores).any():
        # no class divides the validation models: each training model is told by the others instead
        scores = [
            mean_auc(_left_out(_inverse(values, vectors, it), told), members[train])
            for it in PENALTIES
        ]
    if not np.isfinite(scores).any():
        raise MismatchedModels("no label divides its models")
    return float(np.nanmax(scores))


def _inverse(values: Tensor, vectors: Tensor, penalty: float) -> Tensor:
    return (vectors / (values + penalty)) @ vectors.T


def _left_out(inverse: Tensor, told: Tensor) -> Tensor:
    """Predict each model's labels by a regression without it (see `leave_one_out`)."""
    return told - inverse @ told / inverse.diagonal()[:, None]


def centred_gram(stack: Stack, train: Tensor) -> Tensor:
    """Give inner products [N, N] of layers around the mean of those at `train`, in float64."""
    if isinstance(stack, DenseStack):
        flat = stack.matrices.flatten(1)
        gram = torch.zeros(len(stack), len(stack), dtype=torch.float64)
        width = max(1, _BLOCK // len(stack))
        for start in range(0, flat.shape[1], width):
            block = flat[:, start : start + width]
            block = block - block[train].mean(0)
            gram += (block @ block.T).double()
        return gram
    many, rank = len(stack), stack.a.shape[1]
    left = stack.b.transpose(1, 2).flatten(0, 1)
    right = stack.a.flatten(0, 1)
    # <B_i A_i, B_j A_j> = sum over both ranks of (B_i' B_j) (A_i A_j')
    gram = ((left @ left.T) * (right @ right.T)).double()
    gram = gram.view(many, rank, many, rank).sum((1, 3))
    towards = gram[:, train].mean(1)
    return gram - towards[:, None] - towards[None] + gram[train][:, train].mean()


def _digest(*parts: object) -> str:
    plain = [
        sorted((name, sorted(own)) for name, own in part.items())
        if isinstance(part, Mapping)
        else sorted(part)
        if isinstance(part, frozenset)
        else part
        for part in parts
    ]
    return xxhash.xxh3_128(repr(plain).encode()).hexdigest()


def _read_kept(path: Path, said: str, layers: Sequence[str]) -> LayerChoice | None:
    if not path.is_file():
        return None
    try:
        told = read_json(path)
        if told.get("identity") != said or told["layer"] not in layers:
            return None
        scores = [
            {str(layer): float(score) for layer, score in told[kind].items()}
            for kind in ("ridge", "trained")
        ]
        return LayerChoice(told["layer"], *scores)
    except (WeightscapeError, LookupError, TypeError, ValueError, AttributeError) as error:
        log.warning("%s is damaged (%s); the layer is chosen again", path, error)
        return None
