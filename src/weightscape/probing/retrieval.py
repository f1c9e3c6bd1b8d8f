"""Exact retrieval: every vector is looked at, the best ones are told."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Int64

from weightscape.errors import BadInput


@dataclass(frozen=True, slots=True)
class Retrieved:
    """A name, and how near it is: a cosine, or whatever the scores were."""

    name: str
    score: float


def top(scores: Float32[np.ndarray, "n"], count: int) -> Int64[np.ndarray, "count"]:
    """Tell where the `count` highest scores are, the highest first, ties by position.

    >>> top(np.array([0.1, 0.9, 0.5, 0.9], dtype=np.float32), 3).tolist()
    [1, 3, 2]
    """
    if count < 1 or not len(scores):
        return np.zeros(0, dtype=np.int64)
    keys = -np.where(np.isnan(scores), -np.inf, scores)
    if count < len(keys):
        # all that tie with the last one stay, so that which of them is told is no accident
        last = np.partition(keys, count - 1)[count - 1]
        kept = np.flatnonzero(keys <= last)
    else:
        kept = np.arange(len(keys))
    order: np.ndarray = kept[np.argsort(keys[kept], kind="stable")][:count]
    return order


class VectorIndex:
    """Vectors by name, held as one matrix of rows of length 1; asked by cosine.

    Exact: one product with the whole matrix a question (100,000 vectors of 128 numbers are 51 MB).

    >>> index = VectorIndex(["a", "b"], np.array([[2.0, 0.0], [1.0, 1.0]]))
    >>> [(it.name, round(it.score, 3)) for it in index.nearest(np.array([0.0, 1.0]), 2)]
    [('b', 0.707), ('a', 0.0)]
    """

    def __init__(self, names: Sequence[str], vectors: Float32[np.ndarray, "n width"]) -> None:
        matrix = np.array(vectors, dtype=np.float32, order="C")
        if matrix.ndim != 2 or len(matrix) != len(names):
            raise BadInput(f"{len(names)} names need as many vectors; got {list(matrix.shape)}")
        norms = np.sqrt(np.einsum("nw,nw->n", matrix, matrix, dtype=np.float64))
        usable = np.isfinite(norms) & (norms > 0)
        # a vector without a direction is near nothing
        matrix[~usable] = 0
        matrix /= np.where(usable, norms, 1).astype(np.float32)[:, None]
        self.names = tuple(names)
        self._matrix = matrix

    def __len__(self) -> int:
        return len(self.names)

    def cosines(self, query: Float32[np.ndarray, "width"]) -> Float32[np.ndarray, "n"]:
        """Tell every vector's cosine with a query; raises BadInput for one of another length."""
        asked = np.asarray(query, dtype=np.float32).reshape(-1)
        if len(asked) != self._matrix.shape[1] and len(self):
            raise BadInput(
                f"a vector of {len(asked)} numbers was asked for among vectors of "
                f"{self._matrix.shape[1]}"
            )
        norm = float(np.linalg.norm(asked.astype(np.float64)))
        if not norm or not np.isfinite(norm):
            raise BadInput("the vector that was asked for is zero or not finite")
        if not len(self):
            return np.zeros(0, dtype=np.float32)
        found: np.ndarray = self._matrix @ (asked / np.float32(norm))
        return found

    def nearest(self, query: Float32[np.ndarray, "width"], count: int) -> list[Retrieved]:
        """List the names of the highest cosines, the highest first, ties by position."""
        cosines = self.cosines(query)
        return [Retrieved(self.names[i], float(cosines[i])) for i in top(cosines, count)]
