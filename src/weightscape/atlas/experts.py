"""Training the experts of an atlas: one for each group of models that enough is known of."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from time import monotonic

from weightscape.atlas import expert_layers
from weightscape.atlas.embedding import embed_group
from weightscape.atlas.expert_groups import expert_groups
from weightscape.atlas.expert_job import Job, Training, as_before, publish
from weightscape.atlas.expert_labels import Known, guessed, hold_out, labels_to_learn
from weightscape.atlas.expert_origin import origin_of_group, without_unmoved
from weightscape.atlas.labelling import label_meanings, labels_of_models
from weightscape.atlas.layer_reading import Meter, opened
from weightscape.catalog import vectors as vector_rows
from weightscape.catalog.records import KeptExpert, Model
from weightscape.catalog.store import Store
from weightscape.errors import MissingExtra, WeightscapeError
from weightscape.probing.encoders import Encoder
from weightscape.probing.expert import Expert
from weightscape.probing.layer_set import LayerSet, Opener, read_set, select
from weightscape.probing.layers import Readable
from weightscape.probing.preparing import LEAST_MODELS
from weightscape.probing.prompts import text_vectors
from weightscape.probing.training import train_expert
from weightscape.progress import Progress, silent


@dataclass(frozen=True, slots=True)
class Trained:
    """An expert, and what its training took.

    as_before: it was there already, of the same models, labels and settings. guessed: the metrics
    of guessing (`expert_labels.guessed`). embedded: models that have a vector of it. skipped: model
    to the reason why its layer could not be read. bytes_read: of the layer; bytes_compared: of all
    that were compared to choose it; bytes_on_disk: what the models that were read take whole.
    """

    kept: KeptExpert
    expert: Expert
    as_before: bool
    guessed: Mapping[str, float]
    embedded: int
    skipped: Mapping[str, str]
    seconds: float
    bytes_read: int
    bytes_compared: int
    bytes_on_disk: int


@dataclass(frozen=True, slots=True)
class _Meters:
    """What was read of the layer, and to choose it."""

    layer: Meter = field(default_factory=Meter)
    choice: Meter = field(default_factory=Meter)


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
                    trained.append(_train_one(Job(store, group, learned, asked, encoder), progress))
                except MissingExtra:
                    raise  # the next tree's would say the same
                except WeightscapeError as problem:
                    why = str(problem)
            if why is not None:
                left_out[group.name] = why
    return TrainedAll(tuple(trained), left_out)


def _too_little(learned: Known, models: Sequence[str], asked: Training) -> str | None:
    """Say why nothing can be learned from these models, if so."""
    if not models:
        return "none of its models is to be learned from"
    least = max(asked.least, LEAST_MODELS)
    if len(learned) < least:
        have = len(learned) or "none"
        return f"{have} of its {len(models)} models have labels that others share; {least} must"
    if len(frozenset().union(*learned.values())) == 1 and len(learned) == len(models):
        (only,) = frozenset().union(*learned.values())
        return f"all its models have the one label {only!r}; nothing tells them apart"
    return None


def _train_one(job: Job, progress: Progress) -> Trained:
    began, identity = monotonic(), job.identity
    meters, skipped = _Meters(), dict[str, str]()
    there = as_before(job, identity)
    if there is not None:
        kept, expert = there
    else:
        expert, skipped = _train(job, identity, meters, progress)
        kept = publish(job, identity, expert)
    new = embed_group(job.store, kept, loaded=expert, progress=progress)
    with job.store.read() as connection:
        read = vector_rows.read_models(connection, kept.id)
    touched = set(new.models) | (set() if there is not None else set(expert.known.names))
    return Trained(
        kept=kept,
        expert=expert,
        as_before=there is not None,
        guessed=guessed(expert, job.labels),
        embedded=len(read & {it.id for it in job.group.models}),
        skipped=_but_base(skipped | dict(new.skipped), expert),
        seconds=monotonic() - began,
        bytes_read=meters.layer.bytes_read + new.bytes_read,
        bytes_compared=meters.choice.bytes_read,
        bytes_on_disk=sum(it.nbytes for it in job.group.models if it.name in touched),
    )


def _but_base(skipped: Mapping[str, str], expert: Expert) -> dict[str, str]:
    """Tell who was skipped; that a base has learned nothing is no loss."""
    base = "" if expert.origin is None else expert.origin.name
    return {name: why for name, why in skipped.items() if name != base}


def _train(
    job: Job, identity: str, meters: _Meters, progress: Progress
) -> tuple[Expert, dict[str, str]]:
    """Choose the layer, read it of all labelled models, and learn; tell who was skipped."""
    models = [it for it in job.group.models if it.name in job.labels]
    asked, encoder = job.asked, job.encoder
    texts = None
    if encoder is not None:
        with progress.stage("encoding labels"):
            texts = text_vectors(encoder, job.every_label, words=label_meanings(job.store))
    held_out = hold_out(job.labels, asked.validation, asked.how.seed)
    sets = _read(models, _layers(job, models, held_out, meters, progress), meters.layer, progress)
    origin = origin_of_group(job.store, job.group, sets, tuple(job.labels), meters.layer)
    sets, skipped = without_unmoved(sets, origin)
    names = sets[0].names
    expert = train_expert(
        sets,
        [job.labels[name] for name in names],
        texts,
        encoder=None if encoder is None else encoder.identity,
        tree=job.group.name,
        origin=origin,
        validation=[name in held_out for name in names],
        how=asked.how,
        folder=job.home / identity,
        progress=progress,
    )
    return expert, skipped


def _layers(
    job: Job,
    models: Sequence[Model],
    held_out: frozenset[str],
    meters: _Meters,
    progress: Progress,
) -> Sequence[str]:
    """Take the layers that were asked for, or choose one."""
    asked = job.asked
    if asked.layer is not None:
        return [asked.layer] if isinstance(asked.layer, str) else list(dict.fromkeys(asked.layer))
    chosen = expert_layers.choose(
        models,
        job.labels,
        held_out,
        asked.how,
        memory=asked.memory,
        meter=meters.choice,
        kept=job.home / "layer.json",
        progress=progress,
    )
    return [chosen.layer]


def _read(
    models: Sequence[Model], layers: Sequence[str], meter: Meter, progress: Progress
) -> list[LayerSet]:
    """Read the layers of the models that have them all."""
    openers: dict[str, Readable | Opener] = {it.name: partial(opened, it, meter) for it in models}
    sets = [read_set(openers, layer, progress=progress) for layer in layers]
    skipped = {name: why for it in sets for name, why in it.skipped.items()}
    names = [it.name for it in models if it.name not in skipped]
    chosen = [select(it, names) for it in sets]
    return [LayerSet(it.layer, it.names, it.stack, skipped) for it in chosen]
