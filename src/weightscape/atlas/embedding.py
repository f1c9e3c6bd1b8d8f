"""Reading the models that experts have not read yet: one layer of each, into one vector."""

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from weightscape.atlas.asking import chosen_experts, load_kept, with_current
from weightscape.atlas.expert_groups import is_read, trees_of_group
from weightscape.atlas.layer_reading import Meter, opened
from weightscape.catalog import unreadable as unreadable_rows
from weightscape.catalog import vectors as vector_rows
from weightscape.catalog.records import KeptExpert, Model
from weightscape.catalog.store import Store
from weightscape.catalog.vectors import Vector
from weightscape.errors import (
    AtlasError,
    MismatchedModels,
    MissingExtra,
    NotFound,
    WeightscapeError,
)
from weightscape.probing.expert import Expert
from weightscape.probing.mixture import look
from weightscape.progress import Progress, silent

log = logging.getLogger(__name__)

_AT_ONCE = 100

_PASSING = (OSError, MissingExtra)
"""What may be otherwise at the next try, with the same files: it is not kept."""


@dataclass(frozen=True, slots=True)
class Embedded:
    """What was read. skipped: model to the reason why its layer could not be, now or before."""

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
            one = with_current(store, kept, lambda it: embed_group(store, it, progress=progress))
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
    *,
    only: Model | None = None,
    loaded: Expert | None = None,
    progress: Progress = silent,
) -> Embedded:
    """Read the models of an expert's group that have no vector, or one of older files.

    only: this one, and leave the others to the next who asks. A model that cannot be read as it is
    stays so, with the reason, until its files are others or an expert is trained anew.

    Raises NotFound where the expert was replaced meanwhile: what it has read means nothing to the
    new one.
    """
    with store.read() as connection:
        trees = trees_of_group(kept.tree)
        unread = vector_rows.unread_models(
            connection, kept.id, trees, only=None if only is None else only.id
        )
        skipped = unreadable_rows.unreadable_models(connection, kept.id)
    if only is not None:
        skipped = {name: why for name, why in skipped.items() if name == only.name}
    waiting = [it for it in unread if is_read(it)]
    if not waiting:
        return Embedded(skipped=skipped)
    expert = load_kept(kept) if loaded is None else loaded
    meter, done = Meter(), list[str]()
    with progress.stage(f"reading {expert.layer}", total=len(waiting), unit="models") as advance:
        for start in range(0, len(waiting), _AT_ONCE):
            vectors: dict[int, tuple[str, Vector]] = {}
            unreadable: dict[int, tuple[str, str]] = {}
            for model in waiting[start : start + _AT_ONCE]:
                try:
                    with opened(model, meter) as checkpoint:
                        seen = look(expert, checkpoint)
                    if seen.vector is None:
                        raise MismatchedModels(seen.untouched)
                    vectors[model.id] = (model.fingerprint, seen.vector)
                    done.append(model.name)
                except (WeightscapeError, OSError) as problem:
                    skipped[model.name] = str(problem)
                    if not isinstance(problem, _PASSING):
                        unreadable[model.id] = (model.fingerprint, str(problem))
                advance(1)
            with store.write() as connection:
                unreadable_rows.put_unreadable(connection, kept.id, unreadable)
                if not vector_rows.put_vectors(connection, kept.id, vectors):
                    raise NotFound(f"the expert {kept.name!r} was trained again meanwhile")
    return Embedded(tuple(done), skipped, meter.bytes_read)


def known_vectors(expert: Expert, models: Iterable[Model]) -> dict[int, tuple[str, Vector]]:
    """Give the vectors of the models that an expert was trained with, as they are kept."""
    rows = {name: row for row, name in enumerate(expert.known.names)}
    return {
        model.id: (model.fingerprint, expert.known.vectors[rows[model.name]])
        for model in models
        if model.name in rows
    }
