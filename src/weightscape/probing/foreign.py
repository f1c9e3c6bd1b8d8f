"""Texts that are unlike everything that an expert has learned: its answers are guesses there."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32

FEWEST = 20
"""Labels that tell how far labels lie apart; with fewer nothing is called foreign."""
USUAL = 0.05
"""Share of the learned labels that lie further from all the others than the limit."""


@dataclass(frozen=True, slots=True)
class Nearest:
    """The learned label that is nearest to a text, and its cosine. foreign: it is no neighbour."""

    label: str
    cosine: float
    foreign: bool


def nearest_labels(
    texts: Float32[np.ndarray, "T size"],
    learned: Float32[np.ndarray, "L size"],
    names: Sequence[str],
) -> list[Nearest]:
    """Find for each text the learned label that is nearest by the encoder's vectors, of norm 1.

    A text is foreign if it lies further from all labels than most labels do from one another:
    what was held out to calibrate an expert were labels among their likes, and nothing is known of
    others. Empty without labels.
    """
    if not len(learned):
        return []
    own = learned @ learned.T
    np.fill_diagonal(own, -np.inf)
    limit = np.quantile(own.max(axis=1), USUAL) if len(learned) >= FEWEST else -np.inf
    cosines = texts @ learned.T
    nearest = cosines.argmax(axis=1)
    best = cosines[np.arange(len(texts)), nearest]
    foreign: Bool[np.ndarray, " T"] = best < limit
    return [
        Nearest(names[place], float(cosine), bool(far))
        for place, cosine, far in zip(nearest, best, foreign, strict=True)
    ]


def foreign_words(
    texts: Float32[np.ndarray, "T size"],
    learned: Float32[np.ndarray, "L size"],
    names: Sequence[str],
) -> dict[int, str]:
    """Say of each foreign text, by its place, that what an expert answers is a guess."""
    return {
        place: f"has learned nothing like this (the nearest is {it.label!r}): its answer is a guess"
        for place, it in enumerate(nearest_labels(texts, learned, names))
        if it.foreign
    }
