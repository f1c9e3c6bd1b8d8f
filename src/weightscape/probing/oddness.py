"""How odd a model is for its tree: one-class scores from the vectors of the known models.

Two ways (Horwitz et al., arXiv:2410.13569, section 5): the mean distance to the k = 2 nearest known
models, and the Mahalanobis distance with the covariance of Ledoit and Wolf (2004). Probes learn to
look away from what tells no label, so that a model of other labels may lie nearer to the middle of
all than the known ones do (bench/probex/oddness.py): near is as telling as far.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from weightscape.errors import BadInput
from weightscape.probing.expert import Floats

OddnessMethod = Literal["neighbours", "mahalanobis"]


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


def odd_scores(
    known: Floats,
    vectors: Floats,
    *,
    yardstick: Floats | None = None,
    method: OddnessMethod = "neighbours",
    neighbours: int = 2,
) -> Oddness:
    """Score vectors [M, width] by the known models' [N, width] of the same tree.

    yardstick: vectors of models of the tree that the expert was not trained on, to which the
    scores are compared: trained ones lie closer together than new ones do. Without it the known
    models are compared with one another, each left out in turn. Raises BadInput for fewer than
    three known models.
    """
    known, vectors = np.atleast_2d(known), np.atleast_2d(vectors)
    if len(known) < max(3, neighbours + 1):
        raise BadInput(f"{len(known)} known models are too few to say what is odd among them")
    if method == "neighbours":
        scores = _to_neighbours(known, vectors, neighbours)
        usual = (
            _to_neighbours(known, known, neighbours, skip=1)
            if yardstick is None
            else _to_neighbours(known, np.atleast_2d(yardstick), neighbours)
        )
    elif method == "mahalanobis":
        scores = _mahalanobis(known, vectors)
        usual = (
            np.concatenate([_mahalanobis(np.delete(known, k, 0), known[k : k + 1])
                            for k in range(len(known))])
            if yardstick is None
            else _mahalanobis(known, np.atleast_2d(yardstick))
        )  # fmt: skip
    else:
        raise BadInput(f"oddness is by neighbours or mahalanobis, not {method!r}")
    farther = (usual[None, :] >= scores[:, None]).sum(1)
    nearer = (usual[None, :] <= scores[:, None]).sum(1)
    shares = np.minimum(1.0, 2.0 * (1 + np.minimum(farther, nearer)) / (1 + len(usual)))
    return Oddness(scores.astype(np.float32), shares.astype(np.float32), farther <= nearer)


def _to_neighbours(known: Floats, vectors: Floats, count: int, skip: int = 0) -> np.ndarray:
    """Average the distances to the nearest known vectors; skip: 1 where each is one of them."""
    from scipy.spatial.distance import cdist

    # exact differences: the distance of a vector to itself must be nought
    nearest = np.sort(cdist(vectors, known), axis=1)[:, skip : skip + count]
    found: np.ndarray = nearest.mean(1)
    return found


def _mahalanobis(known: Floats, vectors: Floats) -> np.ndarray:
    from sklearn.covariance import LedoitWolf

    fitted = LedoitWolf().fit(known.astype(np.float64))
    found: np.ndarray = np.sqrt(fitted.mahalanobis(vectors.astype(np.float64)))
    return found
