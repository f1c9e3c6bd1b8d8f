"""Telling what one model knows, from one layer of it: one of the atlas, or one from elsewhere."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from weightscape.atlas.asking import (
    chosen_experts,
    encoder_of,
    load_kept,
    untrained,
    with_current,
)
from weightscape.atlas.embedding import embed_group
from weightscape.atlas.expert_groups import group_name, name_of_group
from weightscape.atlas.layer_reading import Meter, metered, opened
from weightscape.atlas.reading import resolve
from weightscape.catalog import families
from weightscape.catalog import models as model_rows
from weightscape.catalog import vectors as vector_rows
from weightscape.catalog.labels import known_labels, words_of_labels
from weightscape.catalog.records import KeptExpert, Model
from weightscape.catalog.store import Store
from weightscape.catalog.vectors import Vector
from weightscape.errors import AtlasError, BadInput, MismatchedModels, WeightscapeError
from weightscape.io import Adapter, Checkpoint, RemoteCheckpoint, locate, open_any, stored_of
from weightscape.probing.expert import Expert
from weightscape.probing.foreign import foreign_words
from weightscape.probing.mixture import look, mixture_of
from weightscape.probing.oddness import Oddness, oddness_of
from weightscape.probing.prompts import label_vectors
from weightscape.probing.retrieval import top
from weightscape.progress import Progress, silent

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Seen:
    """One model as an expert sees it.

    name: in the atlas, None where it is not in it. kept, expert, vector: None where it is of no
    known tree, and `why` says in words; the vector alone is None where nothing was learned in the
    layer, and `why` says that. distances: to the trees, in units of their reach; only of a model
    that had to be routed. bytes_read: of its files, bytes_on_disk: all of these.
    """

    name: str | None
    kept: KeptExpert | None = None
    expert: Expert | None = None
    vector: Vector | None = None
    distances: Mapping[str, float] = field(default_factory=dict)
    why: str = ""
    bytes_read: int = 0
    bytes_on_disk: int | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ScoredLabel:
    """A label, and the probability that the model knows it.

    by: the head that says so: "classes", which was trained on this label, or "texts", which reads
    what its words mean.
    """

    label: str
    score: float
    by: str


@dataclass(frozen=True, slots=True)
class Description:
    """What is known of a model by its weights; no labels where there is nothing to tell it by.

    notes: which scores are guesses, why it cannot be told whether it is odd.
    """

    seen: Seen
    labels: tuple[ScoredLabel, ...] = ()
    oddness: Oddness | None = None
    notes: tuple[str, ...] = ()


def describe(
    store: Store,
    given: Model | str | Path,
    *,
    labels: Sequence[str] | None = None,
    count: int = 10,
    expert: str | None = None,
    allow_download: bool = False,
    progress: Progress = silent,
) -> Description:
    """Say which labels a model knows, by its tree's expert, the likeliest `count` first.

    given: a model of the atlas, or a path, a URL or a hub's id of another. labels: to choose from,
    which nobody needs to have seen (zero-shot); by default all that the expert learned and all that
    the atlas knows. A model of no known tree gets none rather than guesses, and neither does one
    that has learned nothing in the layer that is read (see `probing.untouched`).

    Raises BadInput where the atlas has no expert, and what opening the model does.
    """
    seen = see(store, given, expert=expert, allow_download=allow_download, progress=progress)
    if seen.expert is None or seen.vector is None or seen.kept is None:
        return Description(seen)
    scored, guessed = _scored(store, seen.kept, seen.expert, seen.vector, labels, progress)
    best = top(np.array([it.score for it in scored], dtype=np.float32), count)
    odd, why = oddness_of(seen.expert, seen.vector, seen.name)
    chosen = tuple(scored[place] for place in best)
    unlike = [it.label for it in chosen if it.label in guessed]
    notes = [] if odd is not None else [why]
    if unlike:
        learned = "has learned nothing like these, their scores are guesses"
        notes.insert(0, f"the expert {learned}: {', '.join(unlike)}")
    return Description(seen, chosen, odd, tuple(notes))


def see(
    store: Store,
    given: Model | str | Path,
    *,
    expert: str | None = None,
    allow_download: bool = False,
    progress: Progress = silent,
) -> Seen:
    """Give a model to the expert of its tree; see `describe`."""
    experts = chosen_experts(store, expert)
    if not experts:
        raise BadInput(untrained(store))
    if isinstance(given, Model):
        return _member(store, given, experts, progress)
    return _stranger(store, given, experts, allow_download, progress)


def _member(store: Store, model: Model, experts: Sequence[KeptExpert], progress: Progress) -> Seen:
    """See a model of the atlas, which is read if no expert has done so yet."""
    group = name_of_group(store, model)
    kept = next((it for it in experts if it.tree == group), None)
    if kept is None:
        tree = "it has no tree" if group is None else f"its tree {group!r} has no expert"
        why = f"{tree}; there are experts of {_named(experts)}"
        return Seen(model.name, why=why, bytes_on_disk=model.nbytes)

    def seen(by: KeptExpert) -> Seen:
        loaded = load_kept(by)
        vector, why, read = _kept_vector(store, model, by, loaded, progress)
        return Seen(model.name, by, loaded, vector, {}, why, read, model.nbytes)

    return with_current(store, kept, seen)


def _kept_vector(
    store: Store,
    model: Model,
    kept: KeptExpert,
    expert: Expert,
    progress: Progress,
) -> tuple[Vector | None, str, int]:
    """Take a model's vector out of the atlas, or read its layer; tell the bytes that took.

    There is none, with the reason, where nothing was learned in the layer.
    """
    read = 0
    try:
        new = embed_group(store, kept, only=model, loaded=expert, progress=progress)
        read = new.bytes_read
    except AtlasError as problem:
        log.info("its vector is not kept: %s", problem)
    with store.read() as connection:
        found = vector_rows.get_vector(connection, kept.id, model.id)
    if found is not None:
        return found, "", read
    meter = Meter()
    try:
        with opened(model, meter) as checkpoint:
            seen = look(expert, checkpoint)
    except MismatchedModels as problem:
        raise MismatchedModels(f"{model.name}: {problem}") from None
    return seen.vector, seen.untouched or "", read + meter.bytes_read


def _stranger(
    store: Store,
    given: str | Path,
    experts: Sequence[KeptExpert],
    allow_download: bool,
    progress: Progress,
) -> Seen:
    """See a model that is not in the atlas: of a model on a server only its layer is fetched."""
    loaded: dict[str, tuple[KeptExpert, Expert]] = {}
    notes: list[str] = []
    for one in experts:
        try:
            loaded.setdefault(one.tree, (one, load_kept(one)))
        except WeightscapeError as problem:
            notes.append(f"the expert {one.name!r} cannot be asked: {problem}")
    if not loaded:
        raise BadInput("; ".join(notes))
    mixture = mixture_of([expert for _, expert in loaded.values()])
    with (
        progress.stage("reading one layer"),
        open_any(str(given), allow_download=allow_download, progress=progress) as checkpoint,
    ):
        meter, tree = Meter(), None
        if isinstance(checkpoint, Adapter):
            tree = _tree_of_base(store, checkpoint)
            if tree is None:
                why = "it is an adapter, and names no base that the atlas has"
                read = _bytes_read(given, checkpoint, meter)
                return Seen(None, None, None, None, {}, why, read, checkpoint.nbytes, tuple(notes))
        placed = mixture.place(metered(checkpoint, meter), tree)
        return Seen(
            None,
            None if placed.route.tree is None else loaded[placed.route.tree][0],
            placed.expert,
            placed.vector,
            placed.route.distances,
            placed.untouched or placed.route.why,
            _bytes_read(given, checkpoint, meter),
            checkpoint.nbytes,
            tuple(notes),
        )


def _bytes_read(
    given: str | Path, checkpoint: Checkpoint | RemoteCheckpoint | Adapter, meter: Meter
) -> int:
    """Tell what a server sent of a model, or what was read of one that is here."""
    stored = checkpoint if isinstance(checkpoint, RemoteCheckpoint) else stored_of(checkpoint)
    if isinstance(stored, RemoteCheckpoint):
        return stored.bytes_read
    # what lies elsewhere and was opened here had to be fetched whole
    return meter.bytes_read if isinstance(locate(str(given)), Path) else checkpoint.nbytes


def _tree_of_base(store: Store, adapter: Adapter) -> str | None:
    """Find the group of an adapter by the base that it names."""
    if not adapter.base:
        return None
    with store.read() as connection:
        models = model_rows.all_models(connection, statuses=("pending", "ready", "gone"))
        base = resolve(adapter.base, models)
        if base is None or base.tree_id is None:
            return None
        return group_name(families.get_tree(connection, base.tree_id).name, low_rank=True)


def _scored(
    store: Store,
    kept: KeptExpert,
    expert: Expert,
    vector: Vector,
    labels: Sequence[str] | None,
    progress: Progress,
) -> tuple[list[ScoredLabel], frozenset[str]]:
    """Score labels: by the head of classes where all have been learned, else by their texts.

    Name those that are unlike all that were learned, too.
    """
    with store.read() as connection:
        words = words_of_labels(connection)
        atlas_labels = sorted({it.label for it, _ in known_labels(connection)})
    classes: dict[str, float] = {}
    if expert.labels:
        scores = expert.label_scores_of(vector[None])[0].tolist()
        classes = dict(zip(expert.labels, scores, strict=True))
    if labels is None:
        asked = list(dict.fromkeys([*expert.labels, *atlas_labels]))
    else:
        asked = list(dict.fromkeys(labels))
    # labels to choose from are measured alike: a head that knows some of them only would be unfair
    learned = classes if labels is None or all(it in classes for it in asked) else {}
    others = [it for it in asked if it not in learned]
    texts: dict[str, float] = {}
    guessed: frozenset[str] = frozenset()
    # what was asked for is answered or refused; labels that are only offered may be left out
    if others and (expert.encoder is not None or labels is not None):
        encoder = encoder_of(expert, kept, {}, progress)
        spelled = label_vectors(encoder, others, words=words)
        known = label_vectors(encoder, expert.labels, words=words)
        guessed = frozenset(others[it] for it in foreign_words(spelled, known, expert.labels))
        found = expert.text_scores_of(vector[None], spelled)
        texts = dict(zip(others, found[0].tolist(), strict=True))
    scored = [
        ScoredLabel(it, learned[it], "classes")
        if it in learned
        else ScoredLabel(it, texts[it], "texts")
        for it in asked
        if it in learned or it in texts
    ]
    return scored, guessed


def _named(experts: Sequence[KeptExpert]) -> str:
    return ", ".join(repr(it.name) for it in experts)
