"""Cosines of deltas, pooled over tensors: which way models were moved from their base."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64

from weightscape.errors import UnknownName
from weightscape.geometry.products import RESOLUTION, TreeGram
from weightscape.geometry.simplex import centre_on
from weightscape.registry import Registry

Cosines = Float64[np.ndarray, "N N"]
Pooling = Callable[["Deltas"], Cosines]

poolings: Registry[Pooling] = Registry("pooling")
DEFAULT_POOLING = "matrices"
_ROWS = 64  # rows of all tensors' cosines held at once for a median


@dataclass(frozen=True, slots=True)
class Deltas:
    """A tree's deltas as seen from a base, tensor by tensor.

    base: a model's name; None for the tree's centre, or for 0 where the tree's own reference is
    an absent base.
    """

    tree: TreeGram
    base: str | None

    def __post_init__(self) -> None:
        if self.base is not None and self.base not in self.tree.models:
            raise UnknownName("model", self.base, self.tree.models)

    def gram(self, t: int) -> Float64[np.ndarray, "N N"]:
        """Give one tensor's inner products of the deltas; NaN where a model lacks the tensor.

        A delta from the base that is no more than the products' rounding is none: 0, for it would
        have a direction of its own and share it with others of the kind.
        """
        gram: Float64[np.ndarray, "N N"] = self.tree.gram[t]
        if self.base is not None:
            place = self.tree.models.index(self.base)
            norms = gram.diagonal()
            centred: Float64[np.ndarray, "N N"] = centre_on(gram, place)
            noise = centred.diagonal() <= RESOLUTION * np.maximum(norms, norms[place])
            centred[noise] = np.where(np.isfinite(centred[noise]), 0.0, np.nan)
            centred[:, noise] = np.where(np.isfinite(centred[:, noise]), 0.0, np.nan)
            return centred
        if self.tree.reference is None:
            return gram
        known = np.isfinite(gram.diagonal())
        if not known.any():
            return gram
        mean = np.full(len(gram), np.nan)
        mean[known] = gram[np.ix_(known, known)].mean(axis=1)
        centred = gram - mean[:, None] - mean[None, :]
        centred += mean[known].mean()
        return centred

    def cosines(self, *, matrices_only: bool) -> Iterator[Cosines]:
        """Give the cosines of each tensor that moved; NaN where a model did not move it."""
        for t, shape in enumerate(self.tree.shapes):
            if matrices_only and sum(side > 1 for side in shape) < 2:
                continue
            cosine = cosine_of(self.gram(t))
            if np.isfinite(cosine).any():
                yield cosine

    def moved(self) -> Bool[np.ndarray, " N"]:
        """Tell which models have a delta at all."""
        some = np.zeros(len(self.tree.models), dtype=bool)
        for t in range(len(self.tree.shapes)):
            some |= np.nan_to_num(self.gram(t).diagonal()) > 0.0
        return some


def cosine_of(gram: Float64[np.ndarray, "N N"]) -> Cosines:
    """Normalise inner products; NaN in the rows of zero vectors."""
    norms = np.sqrt(np.maximum(gram.diagonal(), 0.0))
    scale = np.outer(norms, norms)
    cosine: Cosines = np.divide(gram, scale, out=np.full_like(gram, np.nan), where=scale > 0)
    np.clip(cosine, -1.0, 1.0, out=cosine)
    return cosine


@poolings.register("matrices")
def mean_over_matrices(deltas: Deltas) -> Cosines:
    """Average the cosines of the weight matrices, each with the same say."""
    return _mean(deltas, matrices_only=True)


@poolings.register("flat")
def of_the_concatenation(deltas: Deltas) -> Cosines:
    """Take one cosine of all tensors laid end to end: large tensors and large deltas rule."""
    n = len(deltas.tree.models)
    total = np.zeros((n, n))
    for t in range(len(deltas.tree.shapes)):
        total += np.nan_to_num(deltas.gram(t))
    return cosine_of(total)


@poolings.register("tensors")
def mean_over_tensors(deltas: Deltas) -> Cosines:
    """Average the cosines of all tensors, vectors as much as matrices."""
    return _mean(deltas, matrices_only=False)


@poolings.register("median")
def median_over_matrices(deltas: Deltas) -> Cosines:
    """Take the median of the matrices' cosines: a few odd layers change nothing."""
    stack = list(deltas.cosines(matrices_only=True)) or list(deltas.cosines(matrices_only=False))
    n = len(deltas.tree.models)
    pooled = np.full((n, n), np.nan)
    for first in range(0, n, _ROWS):
        rows = np.stack([cosine[first : first + _ROWS] for cosine in stack]) if stack else None
        if rows is not None:
            some = np.isfinite(rows).any(axis=0)
            block = pooled[first : first + _ROWS]
            block[some] = np.nanmedian(rows[:, some], axis=0)
    return pooled


def _mean(deltas: Deltas, *, matrices_only: bool) -> Cosines:
    """Average cosines where both models moved; fall back on vectors where no matrix did."""
    n = len(deltas.tree.models)
    total, count = np.zeros((n, n)), np.zeros((n, n))
    for cosine in deltas.cosines(matrices_only=matrices_only):
        known = np.isfinite(cosine)
        total += np.where(known, cosine, 0.0)
        count += known
    pooled: Cosines = np.full((n, n), np.nan)
    np.divide(total, count, out=pooled, where=count > 0)
    if matrices_only and (count.diagonal() == 0).any():
        rest = _mean(deltas, matrices_only=False)
        np.copyto(pooled, rest, where=~np.isfinite(pooled))
    return pooled


def pooled_cosines(tree: TreeGram, base: str | None, pooling: str) -> Cosines:
    """Give the pooled cosines of a tree's deltas against a base; NaN for models without one.

    Models that moved no tensor in common have cosine 0.

    Raises:
        UnknownName: no such pooling, or no such base in the tree.
    """
    deltas = Deltas(tree, base)
    pooled = poolings[pooling](deltas)
    moved = deltas.moved()
    pooled = np.where(np.isfinite(pooled), pooled, 0.0)
    cosine: Cosines = 0.5 * (pooled + pooled.T)
    np.fill_diagonal(cosine, 1.0)
    cosine[~moved] = np.nan
    cosine[:, ~moved] = np.nan
    return cosine


def cosine_noise(tree: TreeGram, base: str | None) -> float:
    """Give the typical standard error of a pooled cosine, from its spread over matrices."""
    n = len(tree.models)
    total, squares, count = np.zeros((n, n)), np.zeros((n, n)), np.zeros((n, n))
    for cosine in Deltas(tree, base).cosines(matrices_only=True):
        known = np.isfinite(cosine)
        total += np.where(known, cosine, 0.0)
        squares += np.where(known, cosine * cosine, 0.0)
        count += known
    pairs = (count > 2) & ~np.eye(n, dtype=bool)
    if not pairs.any():
        return 0.0
    mean = total[pairs] / count[pairs]
    variance = np.maximum(squares[pairs] / count[pairs] - mean**2, 0.0)
    return float(np.median(np.sqrt(variance / (count[pairs] - 1.0))))
