"""Inner products of a span's terms, from which all distances in it follow."""

from collections.abc import Iterable, Mapping

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor

from weightscape.geometry.held import Held

_PIECE = 1 << 16  # elements of every term that are float64 at once


@torch.no_grad()
def term_products(
    held: Held, group: Mapping[str, int], groups: int
) -> Float64[np.ndarray, "G K1 K1"]:
    """Multiply the origin and the displacements from it that the terms stand for, per group.

    Row 0 is the origin itself. A model stands for its difference from the origin, taken before
    multiplying: deltas are a thousandth of the weights and would be lost in differences of
    products. Only tensors that move are in it.
    """
    products = np.zeros((groups, len(held.terms), len(held.terms)))
    for name, origin in held.terms[0].items():
        places = [place for place, term in enumerate(held.terms) if name in term]
        relative = [bool(place) and held.whole[place] for place in places]
        grid = np.ix_([group[name]], places, places)
        flat = [held.terms[place][name].view(-1) for place in places]
        for start in range(0, origin.numel(), _PIECE):
            rows = torch.stack(
                [it[start : start + _PIECE].to(origin.device).double() for it in flat]
            )
            rows[relative] -= rows[0]
            products[grid] += (rows @ rows.T).cpu().numpy()
    return products


@torch.no_grad()
def squared_norm(tensors: Iterable[Tensor]) -> float:
    """Add up the squares of all floating elements, in float64."""
    total = 0.0
    for tensor in tensors:
        if tensor.is_floating_point():
            pieces = torch.split(tensor.reshape(-1), _PIECE)
            total += sum(float(it.double().square().sum()) for it in pieces)
    return total
