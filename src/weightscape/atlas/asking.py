"""Asking the atlas's experts about a text, each of the models of its tree."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeVar

import numpy as np

from weightscape.atlas.expert_groups import peopled_groups
from weightscape.catalog import experts as expert_rows
from weightscape.catalog import labels as label_rows
from weightscape.catalog import vectors as vector_rows
from weightscape.catalog.records import KeptExpert
from weightscape.catalog.store import Store
from weightscape.catalog.vectors import KeptVectors
from weightscape.errors import BadInput, WeightscapeError
from weightscape.io.cache import cache_folder
from weightscape.probing.encoders import Encoder, open_encoder
from weightscape.probing.expert import Expert
from weightscape.probing.foreign import foreign_words
from weightscape.probing.prompts import label_vectors, learned_label
from weightscape.probing.retrieval import top
from weightscape.probing.saving import load_expert
from weightscape.progress import Progress, silent

T = TypeVar("T")

_LISTED = 8
"""Labels that are named to who asks an expert for another one."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What the experts answered.

    probabilities: by model, that it knows what the text names, and the expert that says so.
    notes: experts that could not be asked, and why; and what is to be known of their answers.
    """

    probabilities: Mapping[str, tuple[float, str]] = field(default_factory=dict)
    experts: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def best(self, count: int, *, least: float = 0.0) -> tuple[str, ...]:
        """Name the models of the highest probabilities, the highest first, ties by name.

        least: a share of the highest; those below are not named.
        """
        limit = least * max((it for it, _ in self.probabilities.values()), default=0.0)
        names = sorted(it for it, (value, _) in self.probabilities.items() if value >= limit)
        scores = np.array([self.probabilities[it][0] for it in names], dtype=np.float32)
        return tuple(names[place] for place in top(scores, count))


def ask_experts(
    store: Store, text: str, *, expert: str | None = None, progress: Progress = silent
) -> Asked:
    """Ask the expert of that name, or of each tree the newest, which models know a text.

    Checkpoints are not read: the experts' vectors of the models are in the atlas. Raises
    UnknownName for an unknown expert, and what is wrong with the one that was named; without a
    name, an expert that cannot be asked is told in the notes.
    """
    kept = chosen_experts(store, expert)
    if not kept:
        return Asked(notes=(untrained(store),))
    encoders: dict[str, Encoder] = {}
    found: dict[str, tuple[float, str]] = {}
    asked, notes = [], []
    with progress.stage("asking the experts", total=len(kept), unit="experts") as advance:
        for one in kept:
            try:
                answers, of_text = with_current(
                    store, one, lambda it: _ask(store, it, text, encoders, progress)
                )
                for model, probability in answers.items():
                    found.setdefault(model, (probability, one.name))
                asked.append(one.name)
                notes += [f"the expert {one.name!r} {of_text}"] if of_text else []
            except WeightscapeError as problem:
                if expert is not None:
                    raise
                notes.append(f"the expert {one.name!r} was not asked: {problem}")
            advance(1)
    return Asked(found, tuple(asked), tuple(notes))


def chosen_experts(store: Store, name: str | None = None) -> list[KeptExpert]:
    """Take the expert of that name, or of each tree the newest; raises UnknownName.

    Without a name, trees that have no models left are passed over.
    """
    with store.read() as connection:
        if name is not None:
            return [expert_rows.get_expert(connection, name)]
        newest_first = expert_rows.all_experts(connection)
    peopled = peopled_groups(store) if newest_first else set()
    newest: dict[str, KeptExpert] = {}
    for one in newest_first:
        if one.tree in peopled:
            newest.setdefault(one.tree, one)
    return list(newest.values())


def load_kept(kept: KeptExpert) -> Expert:
    """Load an expert of the atlas, with the name that its tree has now."""
    return replace(load_expert(kept.folder), tree=kept.tree)


def with_current(store: Store, kept: KeptExpert, work: Callable[[KeptExpert], T]) -> T:
    """Do something with an expert, and once more where it was replaced meanwhile.

    A training puts its expert into the older one's place, and deletes that one's files, whoever
    is about to read them.
    """
    try:
        return work(kept)
    except WeightscapeError:
        with store.read() as connection:
            now = {it.name: it for it in expert_rows.all_experts(connection)}.get(kept.name)
        if now is None or now.id == kept.id:
            raise
        return work(now)


def encoder_of(
    expert: Expert, kept: KeptExpert, encoders: dict[str, Encoder], progress: Progress = silent
) -> Encoder:
    """Open the encoder that an expert was trained with; `encoders` keeps those opened.

    Raises BadInput where it was trained with none, or the encoder is not any more what it was.
    """
    if expert.encoder is None:
        more = " ..." if len(expert.labels) > _LISTED else ""
        raise BadInput(
            f"the expert {kept.name!r} was trained without texts and knows its own labels only: "
            + ", ".join(expert.labels[:_LISTED])
            + more
        )
    if kept.encoder not in encoders:
        folder = cache_folder() / "texts"
        encoders[kept.encoder] = open_encoder(kept.encoder, cache=folder, progress=progress)
    expert.check_encoder(encoders[kept.encoder].identity)
    return encoders[kept.encoder]


def untrained(store: Store) -> str:
    """Say how experts come into an atlas that has none."""
    return (
        "no expert has read the weights of these models; train some with: "
        f"weightscape train-probes --atlas {store.folder}"
    )


def _ask(
    store: Store, kept: KeptExpert, text: str, encoders: dict[str, Encoder], progress: Progress
) -> tuple[dict[str, float], str]:
    """Give each model's probability, and a warning where the answer is a guess.

    A label that was learned is asked of the head of classes, as `describe` does, and needs no
    encoder.
    """
    loaded = load_kept(kept)
    with store.read() as connection:
        vectors: KeptVectors = vector_rows.load_vectors(connection, kept.id)
        words = label_rows.words_of_labels(connection)
    if not vectors.models:
        raise BadInput("it has read no model whose weights are still the same")
    learned = learned_label(text, loaded.labels, words)
    if learned is not None:
        column = loaded.labels.index(learned)
        scores = loaded.label_scores_of(vectors.vectors)[:, column]
        return dict(zip(vectors.models, scores.tolist(), strict=True)), ""
    encoder = encoder_of(loaded, kept, encoders, progress)
    # a text that is a known label means what the label was trained to mean
    asked = label_vectors(encoder, [text], words=words)
    scores = loaded.text_scores_of(vectors.vectors, asked)[:, 0]
    told = foreign_words(asked, label_vectors(encoder, loaded.labels, words=words), loaded.labels)
    return dict(zip(vectors.models, scores.tolist(), strict=True)), told.get(0, "")
