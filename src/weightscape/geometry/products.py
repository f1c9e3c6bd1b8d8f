"""What one pass over a tree's checkpoints leaves: inner products of deltas, and moments."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod

import numpy as np
from jaxtyping import Float64, Int64

from weightscape.geometry.simplex import squared_distances

# What kept products tell of a squared distance, as a share of the larger squared delta.
RESOLUTION = 1e-7
# Of the tensors that others share: fewer in common give no distance of two whole models.
LITTLE = 0.5


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


def with_equals_equal(tree: TreeGram) -> TreeGram:
    """Give models that hold the same bytes in a tensor the same products there.

    Products are rounded, those of models added at different times differently, and the distance
    of two copies would be what is left of that: a small number that depends on who asks.
    """
    gram = tree.gram.copy()
    for t, hashes in enumerate(tree.moments.hashes):
        alike: dict[str, list[int]] = {}
        for i, content in enumerate(hashes):
            alike.setdefault(content, []).append(i)
        known = np.isfinite(tree.gram[t])
        first = np.arange(len(hashes))
        for content, members in alike.items():
            if content:
                # one whose files went was not compared with those that came later
                first[members] = members[int(known[members].sum(axis=1).argmax())]
        same = tree.gram[t][np.ix_(first, first)]
        gram[t] = np.where(known & np.isfinite(same), same, tree.gram[t])
    return replace(tree, gram=gram)


def distances(
    tree: TreeGram,
) -> tuple[Float64[np.ndarray, "N N"], Float64[np.ndarray, "N N"]]:
    """Give the models' Euclidean distances, and below which of each two are not told from equal.

    Over the tensors that both have. Where two hold the same bytes both are exactly 0. Two that
    have less than half of what others have in common are taken to be as far apart in the rest as
    in what they have: their distances would look small beside those of whole models.
    """
    n = len(tree.models)
    squared, blur = np.zeros((n, n)), np.zeros((n, n))
    shared = sum((np.isfinite(gram) for gram in tree.gram), np.zeros((n, n), np.int64))
    little = (shared > 0) & (shared < LITTLE * shared.max(initial=0))
    typical: list[float] = []
    for gram, hashes in zip(tree.gram, tree.moments.hashes, strict=True):
        known = np.isfinite(gram)
        norms = np.nan_to_num(gram.diagonal())
        content = np.array(hashes)
        differ = known & ((content[:, None] != content[None, :]) | (content == ""))
        apart = squared_distances(np.where(known, gram, 0.0))
        squared += np.where(differ, apart, 0.0)
        blur += np.where(differ, RESOLUTION * np.maximum(norms[:, None], norms[None, :]), 0.0)
        typical.append(_typical(apart, known, differ, little) if little.any() else 0.0)
    if not little.any():
        return np.sqrt(squared), np.sqrt(blur)
    grown = _to_whole_models(tree, little, typical)
    return np.sqrt(squared * grown), np.sqrt(blur * grown)


def _typical(
    apart: Float64[np.ndarray, "N N"],
    known: np.ndarray,
    differ: np.ndarray,
    little: np.ndarray,
) -> float:
    """Give the usual squared distance in a tensor, of whole models if any; NaN for no pair."""
    others = known & ~np.eye(len(apart), dtype=bool)
    for pairs in (others & ~little, others):
        if pairs.any():
            moved = apart[pairs & differ & (apart > 0.0)]
            return float(np.median(moved)) if moved.size else 0.0
    return float("nan")


def _to_whole_models(
    tree: TreeGram, little: np.ndarray, typical: Sequence[float]
) -> Float64[np.ndarray, "N N"]:
    """Tell how far squared distances in a few tensors are to grow, by what is usual in each.

    Of a tensor that no two have, by its number of elements.
    """
    sizes = np.array([prod(shape) for shape in tree.shapes], dtype=np.float64)
    usual = np.array(typical)
    told = np.isfinite(usual)
    density = float(np.median(usual[told] / sizes[told])) if told.any() else 0.0
    usual = np.where(told, usual, density * sizes)
    seen = sum(
        (np.where(np.isfinite(gram), it, 0.0) for gram, it in zip(tree.gram, usual, strict=True)),
        np.zeros(little.shape),
    )
    grown: Float64[np.ndarray, "N N"] = np.divide(
        usual.sum(), seen, out=np.ones(little.shape), where=little & (seen > 0.0)
    )
    return grown
