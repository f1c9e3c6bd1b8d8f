"""What one pass over a tree's checkpoints leaves: inner products of deltas, and moments."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64


@dataclass(frozen=True, slots=True)
class Moments:
    """Statistics of each model's raw tensors; NaN (or "") where a model has no such tensor.

    norm: Frobenius norm. kurtosis: Fisher's (0 for a normal). peak: largest magnitude.
    unchanged: share of elements bit-identical to the reference model's, 0 to 1.
    nonfinite: how many elements are NaN or infinite. hashes: content hash, equal iff equal bytes
    and dtype.
    """

    norm: Float64[np.ndarray, "T N"]
    kurtosis: Float64[np.ndarray, "T N"]
    peak: Float64[np.ndarray, "T N"]
    unchanged: Float64[np.ndarray, "T N"]
    nonfinite: Int64[np.ndarray, "T N"]
    hashes: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class TreeGram:
    """Inner products of the deltas of one tree's models from one reference, tensor by tensor.

    ``gram[t, i, j] = <x_i - x_ref, x_j - x_ref>`` over tensor t, in float64; NaN where either
    model has no such tensor (or it is not finite). For adapters whose base is not there the
    reference is that absent base (``reference`` is None): their rows are products B·A.
    Only learned float tensors of the backbone are in it; heads and buffers are left out.
    """

    models: tuple[str, ...]
    tensors: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]
    gram: Float64[np.ndarray, "T N N"]
    moments: Moments
    reference: str | None


def subset(tree: TreeGram, models: Sequence[str], tensors: Sequence[str] | None = None) -> TreeGram:
    """Restrict a tree's products to some models, in that order, and to some tensors."""
    place = {name: index for index, name in enumerate(tree.models)}
    axis = {name: index for index, name in enumerate(tree.tensors)}
    columns = [place[name] for name in models]
    rows = [axis[name] for name in (tree.tensors if tensors is None else tensors)]
    old = tree.moments
    grid = np.ix_(rows, columns)
    return TreeGram(
        models=tuple(models),
        tensors=tuple(tree.tensors[row] for row in rows),
        shapes=tuple(tree.shapes[row] for row in rows),
        gram=tree.gram[np.ix_(rows, columns, columns)],
        moments=Moments(
            norm=old.norm[grid],
            kurtosis=old.kurtosis[grid],
            peak=old.peak[grid],
            unchanged=old.unchanged[grid],
            nonfinite=old.nonfinite[grid],
            hashes=tuple(tuple(old.hashes[row][column] for column in columns) for row in rows),
        ),
        reference=tree.reference,
    )
