"""Whether one model's layers have anything to tell, before an expert is asked about them.

An expert brings every layer to one size around the tree's mean, so that the base itself, of which
nothing but the direction is left, seems to know dozens of classes. Nobody who is asked would tell.
"""

import math
from collections.abc import Sequence

import torch

from weightscape.probing.distances import distances_from
from weightscape.probing.expert import Expert
from weightscape.probing.layers import Dense, Layer, Product
from weightscape.probing.origin import unmoved
from weightscape.probing.router import router_of
from weightscape.probing.stacks import stack_layers


def nothing_learned(expert: Expert, layers: Layer | Sequence[Layer]) -> str | None:
    """Say why layers of one model have nothing to tell; None where they may.

    layers: in the order of `expert.layers`; one that is alone may be given as it is. They are not
    finite, all zeros, those of the tree's base (where the expert was trained with one), or farther
    from the tree's centre than its models may be.
    """
    read = [layers] if isinstance(layers, Dense | Product) else list(layers)
    stacks = [stack_layers([it]) for it in read]
    names = " and ".join(expert.layers)
    sizes = [
        float(distances_from(torch.zeros(it.shape.out, it.shape.inputs), it)[0]) for it in stacks
    ]
    if not all(math.isfinite(it) for it in sizes):
        return f"its {names} is not finite, or too large to be measured: it tells nothing"
    if not any(sizes):
        what = "the adapter changes nothing in it" if expert.low_rank else "it is all zeros"
        return f"nothing was learned in its {names}: {what}"
    origin = expert.origin
    if origin is not None and bool(unmoved(origin, stacks)[0]):
        whose = f"they are the weights of {origin.name!r}, the base of its tree"
        return f"nothing was learned in its {names}: " + (
            "the adapter changes next to nothing in it" if expert.low_rank else whose
        )
    return _out_of_reach(expert, read[0])


def _out_of_reach(expert: Expert, layer: Layer) -> str | None:
    if expert.low_rank:
        return None  # deltas are all around nought, and only their direction is read
    route = router_of([expert]).route({expert.layer: layer})
    return None if route.tree is not None else f"{route.why}: the expert cannot read it"
