"""Reading the models that experts have not read yet: one layer of each, into one vector."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from weightscape.atlas.asking import chosen_experts
from weightscape.atlas.expert_groups import Group, expert_groups
from weightscape.atlas.layer_reading import Meter, opened
from weightscape.catalog import vectors as vector_rows
from weightscape.catalog.records import KeptExpert, Model
from weightscape.catalog.store import Store
from weightscape.catalog.vectors import Vector
from weightscape.errors import AtlasError, WeightscapeError
from weightscape.probing.expert import Expert
from weightscape.probing.layers import Readable, read_layer
from weightscape.probing.saving import load_expert
from weightscape.probing.stacks import stack_layers
from weightscape.progress import Progress, silent

log = logging.getLogger(__name__)

_AT_ONCE = 100


@dataclass(frozen=True, slots=True)
class Embedded:
    """What was read. skipped: model to the reason why its layer could not be."""

    models: tuple[str, ...] = ()
    skipped: Mapping[str, str] = field(default_factory=dict)
    bytes_read: int = 0


def embed_new(
    store: Store, *, expert: str | None = None, progress: Progress = silent
) -> tuple[Embedded, tuple[str, ...]]:
    """Read what experts have not read of their trees; return that and what went wrong, in notes.

    expert: the one by name (default: of each tree the newest). Of a model only the expert's layer
    is read. An atlas that may only be looked at stays as it is.
    """
    found: list[str] = []
    skipped: dict[str, str] = {}
    notes: list[str] = []
    read = 0
    for kept in chosen_experts(store, expert):
        try:
            one = embed_group(store, kept, expert_groups(store), progress=progress)
        except AtlasError as problem:
            log.info("no vectors are added: %s", problem)
            continue
        except WeightscapeError as problem:
            notes.append(f"the expert {kept.name!r} cannot read models: {problem}")
            continue
        found += one.models
        skipped.update(one.skipped)
        read += one.bytes_read
    return Embedded(tuple(found), skipped, read), tuple(notes)


def embed_group(
    store: Store,
    kept: KeptExpert,
    groups: Sequence[Group],
    *,
    only: Model | None = None,
    loaded: Expert | None = None,
    progress: Progress = silent,
) -> Embedded:
    """Read the models of an expert's group that have no vector, or one of older files.

    only: this one, and leave the others to the next who asks.
    """
    members = [it for group in groups if group.name == kept.tree for it in group.models]
    with store.read() as connection:
        there = vector_rows.read_models(connection, kept.id)
    waiting = [
        it
        for it in members
        if it.id not in there and it.status != "gone" and (only is None or it.id == only.id)
    ]
    if not waiting:
        return Embedded()
    expert = load_expert(kept.folder) if loaded is None else loaded
    meter, skipped, done = Meter(), dict[str, str](), list[str]()
    with progress.stage(f"reading {expert.layer}", total=len(waiting), unit="models") as advance:
        for start in range(0, len(waiting), _AT_ONCE):
            vectors: dict[int, tuple[str, Vector]] = {}
            for model in waiting[start : start + _AT_ONCE]:
                try:
                    with opened(model, meter) as checkpoint:
                        vectors[model.id] = (model.fingerprint, vector_of(expert, checkpoint))
                    done.append(model.name)
                except (WeightscapeError, OSError) as problem:
                    skipped[model.name] = str(problem)
                advance(1)
            with store.write() as connection:
                vector_rows.put_vectors(connection, kept.id, vectors)
    return Embedded(tuple(done), skipped, meter.bytes_read)


def vector_of(expert: Expert, checkpoint: Readable) -> Vector:
    """Read an expert's layers of one model and give its vector."""
    wanted = zip(expert.layers, expert.shapes, strict=True)
    read = [stack_layers([read_layer(checkpoint, name, shape=it)]) for name, it in wanted]
    found: Vector = expert.embed(read)[0]
    return found


def known_vectors(expert: Expert, models: Iterable[Model]) -> dict[int, tuple[str, Vector]]:
    """Give the vectors of the models that an expert was trained with, as they are kept."""
    rows = {name: row for row, name in enumerate(expert.known.names)}
    return {
        model.id: (model.fingerprint, expert.known.vectors[rows[model.name]])
        for model in models
        if model.name in rows
    }
