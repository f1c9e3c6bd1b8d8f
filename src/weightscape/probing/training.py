"""Training an expert: from one layer of many models, and what they know, to an `Expert`."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

import weightscape
from weightscape.errors import BadInput
from weightscape.probing.assembling import assemble, fit_attention, fit_labels, fit_texts, places_of
from weightscape.probing.distances import distances_from
from weightscape.probing.expert import Expert, KnownModels
from weightscape.probing.fitting import Models, fit
from weightscape.probing.heads import loss_for
from weightscape.probing.layer_set import LayerSet
from weightscape.probing.leave_one_out import learn_probes, regress
from weightscape.probing.network import Network, probe_size
from weightscape.probing.origin import Origin, no_delta
from weightscape.probing.preparing import MOST_MODELS, Prepared, TextVectors, prepare
from weightscape.probing.resuming import Fitted
from weightscape.probing.scores import Calibration, accuracy, calibrate, mean_auc, top_one
from weightscape.probing.settings import ProbeTraining
from weightscape.progress import Progress, silent

_AT_ONCE = 1024
"""Models whose answers to the probes are held at once."""


def train_expert(
    layers: LayerSet | Sequence[LayerSet],
    labels: Sequence[frozenset[str]],
    text_vectors: TextVectors | None = None,
    *,
    encoder: str | None = None,
    tree: str = "",
    origin: Origin | None = None,
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
    head of texts. origin: the base's layers (see `origin_of`), so that who has learned nothing is
    told. validation: which models only tell when to stop, or how large a share of them; of more
    than `MOST_MODELS` others, that many are drawn to learn from, and the rest is held out as well.
    folder: where the training keeps its state every few seconds, so that it can be killed.

    The same models, labels, settings and seed give the same expert on the same machine; the order
    of the models changes nothing. Raises BadInput for too few models, no labels, or one label that
    all models have.
    """
    sets = [layers] if isinstance(layers, LayerSet) else list(layers)
    if text_vectors is not None and encoder is None:
        raise BadInput("text_vectors need the identity of their encoder, so that it can be asked")
    ready = prepare(sets, labels, text_vectors, validation, how)
    low_rank = sets[0].stack.shape.low_rank
    if origin is None and low_rank:
        origin = no_delta([it.stack for it in ready.sets])
    state = None if folder is None else Path(folder) / "training.safetensors"
    learned = _learn(ready, how, state, progress)
    label_fit, text_fit, metrics = _judge(learned.network, ready)
    return Expert(
        tree=tree,
        layers=tuple(it.layer for it in ready.sets),
        low_rank=low_rank,
        normalisings=ready.normalisings,
        network=learned.network,
        labels=ready.classes,
        encoder=encoder if ready.texts is not None else None,
        label_calibration=label_fit,
        text_calibration=text_fit,
        known=_known_models(learned, ready),
        metrics={**metrics, **_told_of(learned.went, ready)},
        how=how,
        made_with=weightscape.__version__,
        origin=origin,
    )


@dataclass(frozen=True, slots=True)
class _Learned:
    """A trained network, how that went, and the vectors [N, width] of the training models."""

    network: Network
    went: Fitted
    vectors: Tensor


def _learn(ready: Prepared, how: ProbeTraining, state: Path | None, progress: Progress) -> _Learned:
    """Draw a network and train it. state: the file that a killed training goes on from."""
    network = Network(
        [probe_size(it, how) for it in ready.train.stacks],
        how,
        labels=len(ready.classes),
        text_size=0 if ready.texts is None else ready.texts.shape[1],
        generator=torch.Generator().manual_seed(how.seed),
    )
    if how.way == "left-out":
        return _by_leaving_out(network, ready, how, state, progress)
    went = fit(
        network,
        ready.train,
        ready.valid,
        ready.texts,
        how,
        known=ready.known,
        place=state,
        identity=ready.identity(how),
        progress=progress,
    )
    return _Learned(network, went, _vectors(network, ready.train))


def _by_leaving_out(
    network: Network, ready: Prepared, how: ProbeTraining, state: Path | None, progress: Progress
) -> _Learned:
    """Learn probes through ridge regressions; then write them into the network, with its heads.

    A training model's vector is by the regression of all others: by its own it would be what it
    was said to know, learned by heart, and no witness of it.
    """
    train, valid = ready.train, ready.valid
    looked_at = valid.take(torch.arange(min(len(valid), MOST_MODELS)))
    probes, went = learn_probes(
        train.stacks,
        train.members,
        looked_at.stacks,
        looked_at.members,
        how,
        place=state,
        identity=ready.identity(how),
        progress=progress,
    )
    with torch.no_grad():
        solved = regress(probes, train.stacks, train.members)
    axes, each = assemble(network, probes, solved, train.members)
    vectors = fit_attention(network, each, train.members, looked_at, axes)
    if network.labels is not None:
        fit_labels(network.labels, vectors, axes, train.members)
    if network.texts is not None and ready.texts is not None and ready.known is not None:
        known = [it for it, has in zip(ready.told, ready.known.tolist(), strict=True) if has]
        fit_texts(
            network.texts,
            vectors,
            train.told,
            ready.texts,
            ready.known,
            _vectors(network, looked_at),
            looked_at.told,
            axes[places_of(ready.classes, known)],
            loss_for(train.told, how.text_loss),
        )
    return _Learned(network, went, vectors)


@torch.no_grad()
def _vectors(network: Network, models: Models) -> Tensor:
    parts = torch.split(torch.arange(len(models)), _AT_ONCE)
    return torch.cat([network([it.take(part) for it in models.stacks]) for part in parts])


@torch.no_grad()
def _judge(network: Network, ready: Prepared) -> tuple[Calibration, Calibration, dict[str, float]]:
    """Calibrate both heads on the validation models, and score them there.

    What these models cannot tell, since they all have a label or none has, is no metric.
    """
    network.eval()
    valid, texts, known = ready.valid, ready.texts, ready.known
    vectors = _vectors(network, valid)
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


def _known_models(learned: _Learned, ready: Prepared) -> KnownModels:
    held_out, layers = ready.held_out, ready.sets[0]
    vectors = np.empty((len(held_out), learned.vectors.shape[1]), np.float32)
    vectors[~held_out] = learned.vectors.numpy()
    vectors[held_out] = _vectors(learned.network, ready.valid).numpy()
    centre = ready.normalisings[0].mean
    return KnownModels(layers.names, held_out, vectors, distances_from(centre, layers.stack))


def _told_of(went: Fitted, ready: Prepared) -> dict[str, float]:
    return {
        "best_epoch": float(went.best_epoch),
        "epochs": float(went.epoch),
        "training_models": float(len(ready.train)),
        "validation_models": float(len(ready.valid)),
    }
