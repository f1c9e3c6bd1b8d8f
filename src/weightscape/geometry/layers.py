"""Which tensors of a model share a coefficient when every layer has its own."""

import re
from collections.abc import Iterable

_NUMBERED = re.compile(r"^(?P<stack>(?:.*?\.)?)(?P<number>\d+)(?:\.|$)")
_INPUTS = re.compile(
    r"embed|(^|\.)(wte|wpe|shared|cls_token|mask_token|dist_token|pos_emb|patch\w*|stem)(\.|$)"
)


def by_layer(names: Iterable[str]) -> dict[str, int]:
    """Number the layers of a model: embeddings first, then layer by layer, then all the rest.

    A layer is the first number in a tensor's name together with what stands before it, so the
    stacks of an encoder-decoder are told apart; stacks come in the order of the names.

    >>> by_layer(["embeddings.word.weight", "layer.0.w", "layer.1.w", "layer.1.b", "head.bias"])
    {'embeddings.word.weight': 0, 'layer.0.w': 1, 'layer.1.w': 2, 'layer.1.b': 2, 'head.bias': 3}
    """
    names = list(names)
    stacks: dict[str, int] = {}
    places: dict[str, tuple[int, int, int]] = {}
    for name in names:
        numbered = _NUMBERED.match(name)
        if numbered is not None:
            stack = stacks.setdefault(numbered["stack"], len(stacks))
            places[name] = (1, stack, int(numbered["number"]))
        else:
            places[name] = (0 if _INPUTS.search(name) else 2, 0, 0)
    order = {place: group for group, place in enumerate(sorted(set(places.values())))}
    return {name: order[places[name]] for name in names}
