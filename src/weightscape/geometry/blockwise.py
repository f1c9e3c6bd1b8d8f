"""Inner products of one block's deltas: float32 where that tells models apart, else float64.

A float32 product is good to about 3e-7 of the larger delta's square. That is plenty while models
are about as far from one another as from the reference; it is nothing for two siblings whose
common ancestor is far from it.
"""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float32, Float64

# Squared distances below this share of the squared deltas are taken again, in float64.
RESOLVED = 3e-3
# Below this many models OpenBLAS's symmetric product is slower than the general one of torch.
FEW_MODELS = 8
# Sums of so few squares are good to a last bit or two; their own sum is float64.
SHORT = 256

Deltas = Float32[np.ndarray, "N E"]


def products_of_all(deltas: Deltas) -> Float64[np.ndarray, "N N"]:
    """Take the inner products of all models' deltas with one another."""
    with np.errstate(all="ignore"):
        if len(deltas) < FEW_MODELS:
            rows = torch.from_numpy(deltas)
            single = torch.mm(rows, rows.T).numpy()
        else:
            single = np.matmul(deltas, deltas.T)  # seen to be symmetric: half the work
        products: Float64[np.ndarray, "N N"] = single.astype(np.float64)
        equal = _equal_pairs(products, deltas)
        if equal is None:
            wide = deltas.astype(np.float64)
            return np.asarray(wide @ wide.T)
        # models that come later may lie near to one of these: its norm must be worth that
        np.fill_diagonal(products, _squares(deltas))
        for i, j in equal:
            # rounded otherwise on and off the diagonal, equal models would lie apart
            products[j] = products[i]
            products[:, j] = products[:, i]
    return products


def products_of(deltas: Deltas, fresh: Sequence[int]) -> Float64[np.ndarray, "K N"]:
    """Take the inner products of the fresh models' deltas with everybody's, in float64.

    They are few, and what they are near to among the others is not known here.
    """
    with np.errstate(all="ignore"):
        wide = deltas.astype(np.float64)
        return np.asarray(wide[list(fresh)] @ wide.T)


def _equal_pairs(
    products: Float64[np.ndarray, "N N"], deltas: Deltas
) -> list[tuple[int, int]] | None:
    """List the pairs of equal models; None if others are so near that float32 loses a distance.

    Equal deltas need no more digits: their distance is 0 whatever the precision.
    """
    lengths = products.diagonal()
    squared = lengths[:, None] + lengths[None, :] - 2.0 * products
    larger = np.maximum(lengths[:, None], lengths[None, :])
    near = np.argwhere(np.triu(squared < RESOLVED * larger, 1))
    if len(near) > 2 * len(deltas):
        return None
    pairs = [(int(i), int(j)) for i, j in near]
    return pairs if all(np.array_equal(deltas[i], deltas[j]) for i, j in pairs) else None


def _squares(deltas: Deltas) -> Float64[np.ndarray, " N"]:
    """Sum each model's squares, float32 over short stretches and float64 over those."""
    models, width = deltas.shape
    whole = width - width % SHORT
    short = deltas[:, :whole].reshape(models, -1, 1, SHORT)
    sums = np.matmul(short, short.transpose(0, 1, 3, 2)).astype(np.float64).sum(axis=(1, 2, 3))
    rest = deltas[:, whole:].astype(np.float64)
    return np.asarray(sums + np.einsum("ne,ne->n", rest, rest))
