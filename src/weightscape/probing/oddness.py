"""How odd a model is for its tree: one-class scores from the vectors of the known models.

Two ways (Horwitz et al., arXiv:2410.13569, section 5): the mean distance to the k = 2 nearest known
models, and the Mahalanobis distance with the covariance of Ledoit and Wolf (2004). Probes learn to
look away from what tells no label, so that a model of other labels may lie nearer to the middle of
all than the known ones do (bench/probex/oddness.py): near is as telling as far.
"""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from weightscape.errors import BadInput
from weightscape.probing.expert import Expert, Floats

OddnessMethod = Literal["neighbours", "mahalanobis"]

ODD = 0.05
"""A p-value that is a reason to look."""

LEAST_TO_TELL = math.ceil(2 / ODD) - 1
"""Models to compare with: of fewer, not even one that is farther than all has so small a value."""


@dataclass(frozen=True, slots=True)
class Oddness:
    """How odd models are.

    scores: [M], distances. shares: [M], how many of the known models are as far or farther, or as
    near or nearer, whichever is fewer, as a two-sided p-value: 2 (1 + count) / (1 + known). A small
    one is a reason to look, no proof. far: [M], whether it is for being far.
    """

    scores: Floats
    shares: Floats
    far: np.ndarray


def oddness_of(
    expert: Expert, vector: Floats, name: str | None = None
) -> tuple[Oddness | None, str]:
    """Compare a model's vector [width] with those of the models of its tree, each by the others.

    name: of the model, which is not compared with itself. Returns None and the reason in words
    where it cannot be told.
    """
    known = expert.known
    others = np.array([it != name for it in known.names])
    if not expert.in_sample:
        compared, yardstick = known.vectors[others], None
        many = len(compared)
    else:
        if name in known.names and not known.held_out[known.names.index(name)]:
            return None, "whether it is odd cannot be told: its expert learned it by heart"
        compared = known.vectors[~known.held_out]
        yardstick = known.vectors[known.held_out & others]
        many = len(yardstick)
    if many < LEAST_TO_TELL or len(compared) < 3:
        return None, (
            f"whether it is odd for its tree cannot be told by {many} models; it takes "
            f"{LEAST_TO_TELL}"
        )
    return odd_scores(compared, vector[None], yardstick=yardstick), ""


def odd_scores(
    known: Floats,
    vectors: Floats,
    *,
    yardstick: Floats | None = None,
    method: OddnessMethod = "neighbours",
    neighbours: int = 2,
) -> Oddness:
    """Score vectors [M, width] by the known models' [N, width] of the same tree.

    yardstick: vectors to whose scores these are compared; of models that the expert was not trained
    on where the known ones are in-sample, as those lie closer together than new ones do. Without it
    the known models are compared with one another, each left out in turn. Raises BadInput for fewer
    than three known models.
    """
    known, vectors = np.atleast_2d(known), np.atleast_2d(vectors)
    if len(known) < max(3, neighbours + 1):
        raise BadInput(f"{len(known)} known models are too few to say what is odd among them")
    if method == "neighbours":
        scores = _to_neighbours(known, vectors, neighbours)
        usual = (
            _each_among_all(known, vectors, neighbours)
            if yardstick is None
            else _to_neighbours(known, np.atleast_2d(yardstick), neighbours)[None]
        )
    elif method == "mahalanobis":
        scores = _mahalanobis(known, vectors)
        usual = (
            np.concatenate([_mahalanobis(np.delete(known, k, 0), known[k : k + 1])
                            for k in range(len(known))])
            if yardstick is None
            else _mahalanobis(known, np.atleast_2d(yardstick))
        )[None]  # fmt: skip
    else:
        raise BadInput(f"oddness is by neighbours or mahalanobis, not {method!r}")
    farther = (usual >= scores[:, None]).sum(1)
    nearer = (usual <= scores[:, None]).sum(1)
    shares = np.minimum(1.0, 2.0 * (1 + np.minimum(farther, nearer)) / (1 + usual.shape[1]))
    return Oddness(scores.astype(np.float32), shares.astype(np.float32), farther <= nearer)


def _to_neighbours(known: Floats, vectors: Floats, count: int) -> np.ndarray:
    """Average the distances to the nearest known vectors."""
    from scipy.spatial.distance import cdist

    found: np.ndarray = np.sort(cdist(vectors, known), axis=1)[:, :count].mean(1)
    return found


def _each_among_all(known: Floats, vectors: Floats, count: int) -> np.ndarray:
    """Score each known vector among the others and one of `vectors`, for each of these: [M, N]."""
    from scipy.spatial.distance import cdist

    # exact differences: the distance of a vector to itself must be nought
    nearest = np.sort(cdist(known, known), axis=1)[:, 1 : 1 + count]
    found = np.empty((len(vectors), len(known)))
    for row, away in enumerate(cdist(vectors, known)):
        merged = np.sort(np.concatenate([nearest, away[:, None]], 1), axis=1)
        found[row] = merged[:, :count].mean(1)
    return found


def _mahalanobis(known: Floats, vectors: Floats) -> np.ndarray:
    from sklearn.covariance import LedoitWolf

    fitted = LedoitWolf().fit(known.astype(np.float64))
    found: np.ndarray = np.sqrt(fitted.mahalanobis(vectors.astype(np.float64)))
    return found
