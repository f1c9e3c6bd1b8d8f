"""Inner products of a span's terms, from which all distances in it follow."""

from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Float64

from weightscape.geometry.combination import PIECE
from weightscape.geometry.held import Held


@torch.no_grad()
def term_products(
    held: Held, group: Mapping[str, int], groups: int
) -> Float64[np.ndarray, "G K K"]:
    """Multiply the displacements from the origin that the terms stand for, group by group.

    A model stands for its difference from the origin, taken before multiplying: deltas are a
    thousandth of the weights and would be lost in differences of products.
    """
    products = np.zeros((groups, len(held.terms) - 1, len(held.terms) - 1))
    for name, origin in held.terms[0].items():
        movers = [
            (place, term[name].view(-1), whole)
            for place, (term, whole) in enumerate(zip(held.terms[1:], held.whole[1:], strict=True))
            if name in term
        ]
        places = [place for place, _, _ in movers]
        grid = np.ix_([group[name]], places, places)
        flat = origin.view(-1)
        for start in range(0, flat.numel(), PIECE):
            piece = slice(start, start + PIECE)
            base = flat[piece].double()
            steps = torch.stack(
                [
                    tensor[piece].to(base) - base if whole else tensor[piece].to(base)
                    for _, tensor, whole in movers
                ]
            )
            products[grid] += (steps @ steps.T).cpu().numpy()
    return products
