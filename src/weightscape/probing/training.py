"""Training an expert: from one layer of many models, and what they know, to an `Expert`."""

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import xxhash
from torch import Tensor

import weightscape
from weightscape.errors import BadInput, MismatchedModels
from weightscape.probing.assembling import assemble, fit_texts, places_of
from weightscape.probing.distances import distances_from
from weightscape.probing.expert import Expert, Floats, KnownModels
from weightscape.probing.fitting import Models, fit
from weightscape.probing.heads import loss_for
from weightscape.probing.layer_set import LayerSet
from weightscape.probing.leave_one_out import learn_probes, regress
from weightscape.probing.network import Network, probe_size
from weightscape.probing.normalising import fit_normalising, normalise
from weightscape.probing.resuming import Fitted
from weightscape.probing.scores import Calibration, accuracy, calibrate, mean_auc, top_one
from weightscape.probing.settings import ProbeTraining
from weightscape.progress import Progress, silent

LEAST_MODELS = 8

log = logging.getLogger(__name__)

TextVectors = Mapping[str, Floats | Tensor | Sequence[float]]


def train_expert(
    layers: LayerSet | Sequence[LayerSet],
    labels: Sequence[frozenset[str]],
    text_vectors: TextVectors | None = None,
    *,
    encoder: str | None = None,
    tree: str = "",
    validation: float | Sequence[bool] = 0.15,
    how: ProbeTraining = ProbeTraining(),
    folder: Path | None = None,
    progress: Progress = silent,
) -> Expert:
    """Train ProbeX on one layer of a tree's models (or several: sets of the same names).

    labels: what each model knows; the head of classes learns those that some training models have
    and others have not. text_vectors: label to its vector by the encoder of that identity; the
    head of texts learns those that any training model has, and labels that only validation models
    have count when the best moment is chosen, as labels never seen. Without vectors there is no
    head of texts. validation: which models only tell when to stop, or how large a share of them.
    folder: where the training keeps its state every few seconds, so that it can be killed.

    The same models, labels, settings and seed give the same expert on the same machine; the order
    of the models changes nothing. Raises BadInput for too few models, no labels, or one label that
    all models have.
    """
    sets = [layers] if isinstance(layers, LayerSet) else list(layers)
    sets, labels, held_out = _in_order(sets, labels, validation, how.seed)
    classes, told, known, texts = _learned(labels, held_out, text_vectors)
    if texts is not None and encoder is None:
        raise BadInput("text_vectors need the identity of their encoder, so that it can be asked")
    fitted_sets = [
        fit_normalising(
            it.stack.take(torch.from_numpy(np.flatnonzero(~held_out))),
            centre=how.centre,
            sized=how.sized,
            share=how.share,
            most=how.reduce_to,
        )
        for it in sets
    ]
    normalisings = tuple(it[0] for it in fitted_sets)
    places = torch.from_numpy(np.flatnonzero(held_out))
    members, all_told = _members(labels, classes), _members(labels, told)
    train_rows = torch.from_numpy(~held_out)
    train = Models([it[1] for it in fitted_sets], members[train_rows], all_told[train_rows])
    valid = Models(
        [
            normalise(it.stack.take(places), how_read)
            for it, how_read in zip(sets, normalisings, strict=True)
        ],
        members[places],
        all_told[places],
    )
    network = Network(
        [probe_size(it, how) for it in train.stacks],
        how,
        labels=len(classes),
        text_size=0 if texts is None else texts.shape[1],
        generator=torch.Generator().manual_seed(how.seed),
    )
    resume = _Resume(
        None if folder is None else Path(folder) / "training.safetensors",
        _identity(sets, train, texts, how),
    )
    if how.way == "descent":
        went = fit(
            network,
            train,
            valid,
            texts,
            how,
            known=known,
            place=resume.place,
            identity=resume.identity,
            progress=progress,
        )
    else:
        axes = None if known is None else places_of(classes, _known(told, known))
        went = _by_leaving_out(network, train, valid, texts, known, axes, how, resume, progress)
    label_fit, text_fit, metrics = _judge(network, valid, texts, known)
    known_models = _known_models(
        sets, network, train, valid, held_out, normalisings[0].mean, how.width
    )
    return Expert(
        tree=tree,
        layers=tuple(it.layer for it in sets),
        low_rank=sets[0].stack.shape.low_rank,
        normalisings=normalisings,
        network=network,
        labels=tuple(classes),
        encoder=encoder if texts is not None else None,
        label_calibration=label_fit,
        text_calibration=text_fit,
        known=known_models,
        metrics={**metrics, **_told_of(went, normalisings, train, valid)},
        how=how,
        made_with=weightscape.__version__,
    )


@dataclass(frozen=True, slots=True)
class _Resume:
    """Where a training's state is kept, and of what."""

    place: Path | None
    identity: str


def _by_leaving_out(
    network: Network,
    train: Models,
    valid: Models,
    texts: Tensor | None,
    known: Tensor | None,
    places: Sequence[int] | None,
    how: ProbeTraining,
    resume: _Resume,
    progress: Progress,
) -> Fitted:
    """Learn probes through ridge regressions; then write them into the network, with its heads."""
    probes, went = learn_probes(
        train.stacks,
        train.members,
        valid.stacks,
        valid.members,
        how,
        place=resume.place,
        identity=resume.identity,
        progress=progress,
    )
    with torch.no_grad():
        solved = regress(probes, train.stacks, train.members)
    axes, vectors = assemble(network, probes, solved, train.members)
    if network.texts is not None and texts is not None and known is not None:
        with torch.no_grad():
            valid_vectors = network(valid.stacks)
        fit_texts(
            network.texts,
            vectors,
            train.told,
            texts,
            known,
            valid_vectors,
            valid.told,
            axes[places],
            loss_for(train.told, how.text_loss),
        )
    return went


def _known(told: Sequence[str], known: Tensor) -> list[str]:
    return [label for label, is_known in zip(told, known.tolist(), strict=True) if is_known]


def _in_order(
    sets: list[LayerSet],
    labels: Sequence[frozenset[str]],
    validation: float | Sequence[bool],
    seed: int,
) -> tuple[list[LayerSet], list[frozenset[str]], np.ndarray]:
    """Bring models into the order of their names and say which are held out."""
    names = sets[0].names
    if any(it.names != names for it in sets):
        raise MismatchedModels("the layers are not of the same models; select() them by name first")
    if len(labels) != len(names):
        raise BadInput(f"{len(labels)} sets of labels were given for {len(names)} models")
    if len(names) < LEAST_MODELS:
        raise BadInput(f"{len(names)} models are too few to learn from; {LEAST_MODELS} at least")
    order = sorted(range(len(names)), key=lambda place: names[place])
    if isinstance(validation, int | float):
        if not 0 < validation < 1:
            raise BadInput(f"the validation share must be between 0 and 1, got {validation}")
        held_out = np.zeros(len(names), bool)
        many = max(2, round(validation * len(names)))
        held_out[np.random.default_rng(seed).permutation(len(names))[:many]] = True
    else:
        if len(validation) != len(names):
            raise BadInput(f"validation says {len(validation)} models, but there are {len(names)}")
        held_out = np.array([bool(validation[place]) for place in order])
        if not held_out.any() or held_out.all():
            raise BadInput("some models must be held out for validation, and some must not")
    picked = torch.tensor(order)
    ordered = [
        LayerSet(
            it.layer, tuple(names[place] for place in order), it.stack.take(picked), it.skipped
        )
        for it in sets
    ]
    return ordered, [labels[place] for place in order], held_out


def _learned(
    labels: Sequence[frozenset[str]], held_out: np.ndarray, vectors: TextVectors | None
) -> tuple[list[str], list[str], Tensor | None, Tensor | None]:
    """Tell the classes to learn, the labels with texts, which of these training has, and texts."""
    training = [it for it, held in zip(labels, held_out, strict=True) if not held]
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
    if vectors is None:
        return classes, [], None, None
    told = [label for label in there if label in vectors and label not in everywhere]
    if not any(label in seen for label in told):
        raise BadInput("no training model has a label with a text vector")
    texts = torch.stack([torch.as_tensor(vectors[it], dtype=torch.float32) for it in told])
    known = torch.tensor([label in seen for label in told])
    return classes, told, known, texts


def _members(labels: Sequence[frozenset[str]], columns: Sequence[str]) -> Tensor:
    rows = [[float(label in own) for label in columns] for own in labels]
    return torch.tensor(rows).view(len(labels), len(columns))


def _identity(
    sets: Sequence[LayerSet], train: Models, texts: Tensor | None, how: ProbeTraining
) -> str:
    """Hash all that a training follows from, so that it goes on only as what it was."""
    digest = xxhash.xxh3_128(repr((how, [(it.layer, it.names) for it in sets])).encode())
    tensors = [train.members, train.told, *([] if texts is None else [texts])]
    for stack in train.stacks:
        tensors += [
            it
            for it in (getattr(stack, name, None) for name in ("matrices", "b", "a"))
            if it is not None
        ]
    for tensor in tensors:
        digest.update(tensor.contiguous().numpy().data)
    return str(digest.hexdigest())


@torch.no_grad()
def _judge(
    network: Network, valid: Models, texts: Tensor | None, known: Tensor | None
) -> tuple[Calibration, Calibration, dict[str, float]]:
    """Calibrate both heads on the validation models, and score them there."""
    network.eval()
    vectors = network(valid.stacks)
    label_fit = text_fit = Calibration()
    metrics = {}
    if network.labels is not None:
        logits = network.labels(vectors)
        label_fit = calibrate(logits, valid.members)
        metrics["label_auc"] = mean_auc(logits, valid.members)
        metrics["label_accuracy"] = accuracy(label_fit.apply(logits), valid.members)
    if network.texts is not None and texts is not None and known is not None:
        logits = network.texts(vectors, texts)
        text_fit = calibrate(logits, valid.told)
        metrics["text_auc"] = mean_auc(logits, valid.told)
        metrics["text_accuracy"] = accuracy(text_fit.apply(logits), valid.told)
        metrics["text_top1"] = top_one(logits, valid.told)
        if not bool(known.all()):
            metrics["unseen_text_auc"] = mean_auc(logits[:, ~known], valid.told[:, ~known])
    found = {name: value for name, value in metrics.items() if not math.isnan(value)}
    return label_fit, text_fit, found


@torch.no_grad()
def _known_models(
    sets: Sequence[LayerSet],
    network: Network,
    train: Models,
    valid: Models,
    held_out: np.ndarray,
    centre: Tensor,
    width: int,
) -> KnownModels:
    vectors = np.empty((len(held_out), width), np.float32)
    vectors[~held_out] = network(train.stacks).numpy()
    vectors[held_out] = network(valid.stacks).numpy()
    return KnownModels(sets[0].names, held_out, vectors, distances_from(centre, sets[0].stack))


def _told_of(
    went: Fitted, normalisings: Sequence[object], train: Models, valid: Models
) -> dict[str, float]:
    return {
        "best_epoch": float(went.best_epoch),
        "epochs": float(went.epoch),
        "training_models": float(len(train)),
        "validation_models": float(len(valid)),
    }
