"""Training the experts of an atlas: one for each group of models that enough is known of."""

import logging
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from time import monotonic

import xxhash

from weightscape.atlas import expert_layers
from weightscape.atlas.embedding import embed_group, known_vectors
from weightscape.atlas.expert_groups import Group, expert_groups
from weightscape.atlas.expert_labels import Known, guessed, hold_out, labels_to_learn
from weightscape.atlas.labelling import label_meanings, labels_of_models
from weightscape.atlas.layer_reading import Meter, opened
from weightscape.catalog import experts as expert_rows
from weightscape.catalog import vectors as vector_rows
from weightscape.catalog.records import KeptExpert, LabelKind
from weightscape.catalog.store import Store
from weightscape.errors import MissingExtra, UnknownName, WeightscapeError
from weightscape.probing.encoders import Encoder
from weightscape.probing.expert import Expert
from weightscape.probing.layer_set import Opener, read_set
from weightscape.probing.layers import Readable
from weightscape.probing.prompts import text_vectors
from weightscape.probing.saving import load_expert, save_expert
from weightscape.probing.settings import ProbeTraining
from weightscape.probing.training import LEAST_MODELS, train_expert
from weightscape.progress import Progress, silent

log = logging.getLogger(__name__)

FOLDER = "experts"
ALL_KINDS: tuple[LabelKind, ...] = ("class", "task", "tag")
DEFAULT_MEMORY = 4 << 30


@dataclass(frozen=True, slots=True)
class Training:
    """What experts are trained on, and how.

    models: names of those to learn from, None for all that have labels. layer: None to have it
    chosen. kinds: of labels. least: labelled models that a tree needs. validation: share of them
    that is held out. memory: bytes that a layer of all models may take where it is chosen.
    """

    models: frozenset[str] | None = None
    layer: str | None = None
    kinds: tuple[LabelKind, ...] = ALL_KINDS
    least: int = LEAST_MODELS
    validation: float = 0.15
    memory: int = DEFAULT_MEMORY
    how: ProbeTraining = field(default_factory=ProbeTraining)


@dataclass(frozen=True, slots=True)
class Trained:
    """An expert, and what its training took.

    as_before: it was there already, of the same models, labels and settings. guessed: the metrics
    of guessing (`expert_labels.guessed`). embedded: models that have a vector of it. skipped: model
    to the reason why its layer could not be read. bytes_read: of tensors; bytes_on_disk: what the
    models that were read take whole.
    """

    kept: KeptExpert
    expert: Expert
    as_before: bool
    guessed: Mapping[str, float]
    embedded: int
    skipped: Mapping[str, str]
    seconds: float
    bytes_read: int
    bytes_on_disk: int


@dataclass(frozen=True, slots=True)
class TrainedAll:
    """All experts of an atlas. left_out: names of groups that have none, to the reasons."""

    experts: tuple[Trained, ...] = ()
    left_out: Mapping[str, str] = field(default_factory=dict)


def train_experts(
    store: Store, asked: Training, encoder: Encoder | None, progress: Progress = silent
) -> TrainedAll:
    """Train an expert for every tree of the atlas that has enough models with labels.

    The adapters on a tree get one of their own. An expert that is there of the same models, labels
    and settings stays; a training that was stopped goes on. All models of a group get their vector,
    the labelled and the others. Without an encoder experts know their labels only, and no text.
    """
    labels = labels_of_models(store, progress)
    trained: list[Trained] = []
    left_out: dict[str, str] = {}
    with store.lock("experts", progress.note):
        for group in expert_groups(store):
            mine = [
                it.name
                for it in group.models
                if it.status != "gone" and (asked.models is None or it.name in asked.models)
            ]
            learned = labels_to_learn(labels, mine, asked.kinds)
            why = _too_little(learned, mine, asked)
            if why is None:
                try:
                    trained.append(_train_one(store, group, learned, asked, encoder, progress))
                except MissingExtra:
                    raise  # the next tree's would say the same
                except WeightscapeError as problem:
                    why = str(problem)
            if why is not None:
                left_out[group.name] = why
    return TrainedAll(tuple(trained), left_out)


def _too_little(learned: Known, models: Sequence[str], asked: Training) -> str | None:
    """Say why nothing can be learned from these models, if so."""
    least = max(asked.least, LEAST_MODELS)
    if len(learned) < least:
        have = len(learned) or "none"
        return f"{have} of its {len(models)} models have labels that others share; {least} must"
    if len(frozenset().union(*learned.values())) == 1 and len(learned) == len(models):
        (only,) = frozenset().union(*learned.values())
        return f"all its models have the one label {only!r}; nothing tells them apart"
    return None


def _train_one(
    store: Store,
    group: Group,
    labels: Known,
    asked: Training,
    encoder: Encoder | None,
    progress: Progress,
) -> Trained:
    began = monotonic()
    identity = _identity(group, labels, asked, encoder, label_meanings(store))
    home = store.folder / FOLDER / _folder_name(group.name)
    kept, expert = _as_before(store, group.name, identity)
    meter, skipped = Meter(), dict[str, str]()
    as_before = expert is not None
    if expert is None:
        expert, skipped = _train(
            store, group, labels, asked, encoder, home, identity, meter, progress
        )
        kept = _keep(store, group, expert, encoder, identity, labels, home / identity)
        _forget_others(home, identity)
    assert kept is not None
    new = embed_group(store, kept, expert_groups(store), loaded=expert, progress=progress)
    with store.read() as connection:
        there = vector_rows.read_models(connection, kept.id)
    read = meter.bytes_read + new.bytes_read
    touched = set(new.models) | (set() if as_before else set(expert.known.names))
    return Trained(
        kept=kept,
        expert=expert,
        as_before=as_before,
        guessed=guessed(expert, labels),
        embedded=len(there & {it.id for it in group.models}),
        skipped=skipped | dict(new.skipped),
        seconds=monotonic() - began,
        bytes_read=read,
        bytes_on_disk=sum(it.nbytes for it in group.models if it.name in touched),
    )


def _train(
    store: Store,
    group: Group,
    labels: Known,
    asked: Training,
    encoder: Encoder | None,
    home: Path,
    identity: str,
    meter: Meter,
    progress: Progress,
) -> tuple[Expert, dict[str, str]]:
    """Choose the layer, read it of all labelled models, and learn."""
    models = [it for it in group.models if it.name in labels]
    texts = None
    if encoder is not None:
        with progress.stage("encoding labels"):
            words = label_meanings(store)
            texts = text_vectors(encoder, sorted(frozenset().union(*labels.values())), words=words)
    held_out = hold_out(labels, asked.validation, asked.how.seed)
    layer = asked.layer
    if layer is None:
        layer = expert_layers.choose(
            models,
            labels,
            held_out,
            _for_few(asked.how, len(models)),
            memory=asked.memory,
            meter=meter,
            kept=home / "layer.json",
            progress=progress,
        ).layer
    openers: dict[str, Readable | Opener] = {it.name: partial(opened, it, meter) for it in models}
    layers = read_set(openers, layer, progress=progress)
    expert = train_expert(
        layers,
        [labels[name] for name in layers.names],
        texts,
        encoder=None if encoder is None else encoder.identity,
        tree=group.name,
        validation=[name in held_out for name in layers.names],
        how=_for_few(asked.how, len(layers)),
        folder=home / identity,
        progress=progress,
    )
    return expert, dict(layers.skipped)


def _for_few(how: ProbeTraining, models: int) -> ProbeTraining:
    """Take smaller batches of few models, so that an epoch has several steps all the same."""
    return replace(how, batch_size=min(how.batch_size, max(8, models // 4)))


def _keep(
    store: Store,
    group: Group,
    expert: Expert,
    encoder: Encoder | None,
    identity: str,
    labels: Known,
    folder: Path,
) -> KeptExpert:
    """Write an expert, and take it into the atlas with the vectors of its models."""
    save_expert(expert, folder)
    told = {
        "identity": identity,
        "metrics": dict(expert.metrics),
        "guessed": guessed(expert, labels),
        "labels": sorted(frozenset().union(*labels.values())),
        "encoder": expert.encoder,
        "made_with": expert.made_with,
    }
    row = KeptExpert(
        name=group.name,
        folder=str(folder.resolve()),
        tree=group.name,
        layer=expert.layer,
        encoder="" if encoder is None else encoder.opened_by,
        told=told,
    )
    with store.write() as connection:
        kept = expert_rows.keep_expert(connection, row)
        vector_rows.put_vectors(connection, kept.id, known_vectors(expert, group.models))
    return kept


def _as_before(store: Store, name: str, identity: str) -> tuple[KeptExpert | None, Expert | None]:
    """Find the expert that this very training has made, if its files are still whole."""
    try:
        with store.read() as connection:
            kept = expert_rows.get_expert(connection, name)
    except UnknownName:
        return None, None
    if kept.told.get("identity") != identity:
        return None, None
    try:
        return kept, load_expert(kept.folder)
    except WeightscapeError as problem:
        log.warning("the expert %r is trained again: %s", name, problem)
        return None, None


def _forget_others(home: Path, identity: str) -> None:
    """Delete the experts that were trained for a group before, and the state of this training."""
    for other in home.iterdir():
        if other.is_dir() and other.name != identity:
            shutil.rmtree(other, ignore_errors=True)
    (home / identity / "training.safetensors").unlink(missing_ok=True)


def _identity(
    group: Group,
    labels: Known,
    asked: Training,
    encoder: Encoder | None,
    words: Mapping[str, str],
) -> str:
    """Hash all that an expert follows from."""
    files = {it.name: it.fingerprint for it in group.models}
    plain = [
        [(name, files[name], sorted(own)) for name, own in sorted(labels.items())],
        [(label, words.get(label)) for label in sorted(frozenset().union(*labels.values()))],
        replace(asked, models=None),
        None if encoder is None else (encoder.identity, encoder.templates),
    ]
    return str(xxhash.xxh3_64(repr(plain).encode()).hexdigest())


def _folder_name(name: str) -> str:
    plain = re.sub(r"[^\w.+-]+", "_", name, flags=re.ASCII).strip(".")[:60]
    return plain if plain == name else f"{plain}-{xxhash.xxh3_64(name.encode()).hexdigest()[:8]}"
