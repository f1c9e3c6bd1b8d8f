"""Which one layer to read of a model that is too far away to be read whole.

The values' matrix of an attention, three quarters of the way up, tells who was fine-tuned from whom
about as well as all tensors together (docs/results.md): nearly every fine-tuning moves it, and
methods that train few matrices (LoRA) prefer it. That one layer may do is seen in MoTHer (Horwitz
et al. 2024) as well.
"""

import re
from collections.abc import Iterable, Mapping
from math import prod

from weightscape.geometry.align import Backbone, Shape

DEPTH = 0.75
"""Of the way from a model's first block to its last."""

LARGEST = 1 << 26
"""Elements of a matrix that is worth reading: one of 8,192 x 8,192."""

BESIDE = 1 / 16
"""Of the matrix's elements: how many vectors of its block may come with it."""

_NUMBERED = re.compile(r"^(?P<stack>(?:.*?\.)?)(?P<number>\d+)\.")
_LIKED = (
    re.compile(r"(^|[._])(value|value_proj|v_proj|v_lin|v|wv|to_v)\.weight$", re.IGNORECASE),
    re.compile(r"(^|[._])(qkv|qkv_proj|wqkv|in_proj|in_proj_weight|c_attn|query_key_value)(\.|$)"),
    re.compile(r"attention|attn", re.IGNORECASE),
)
_INPUTS = re.compile(r"embed|(^|\.)(wte|wpe|shared|patch\w*)(\.|$)", re.IGNORECASE)


def telling_layer(backbone: Backbone) -> tuple[str, ...]:
    """Choose one matrix by names and shapes, and the small vectors of its block; stored names.

    The same for all models of one architecture. The vectors (biases, norms) cost next to nothing
    and are all that some methods train. Empty where no matrix is worth reading.

    >>> shapes = {f"layer.{k}.{part}.weight": (64, 64) for k in range(4) for part in ("k", "v")}
    >>> telling_layer(Backbone({name: name for name in shapes}, shapes))
    ('layer.2.v.weight',)
    """
    shapes = backbone.shapes
    matrices = [
        name
        for name, shape in shapes.items()
        if sum(side > 1 for side in shape) >= 2 and prod(shape) <= LARGEST
    ]
    block = _block(matrices)
    inside = [name for name in matrices if name.startswith(block)] if block else []
    inside = inside or [it for it in matrices if not _INPUTS.search(it)] or matrices
    if not inside:
        return ()
    chosen = _liked(inside, shapes)
    room = BESIDE * prod(shapes[chosen])
    vectors = []
    for name in sorted(shapes) if block else ():
        if name.startswith(block) and len(shapes[name]) == 1 and shapes[name][0] <= room:
            vectors.append(name)
            room -= shapes[name][0]
    return tuple(backbone.stored[name] for name in (chosen, *vectors))


def _block(matrices: Iterable[str]) -> str:
    """Name the block at the depth that is read, of the stack with the most blocks; "" for none."""
    stacks: dict[str, set[int]] = {}
    for name in matrices:
        numbered = _NUMBERED.match(name)
        if numbered is not None:
            stacks.setdefault(numbered["stack"], set()).add(int(numbered["number"]))
    if not stacks:
        return ""
    stack = min(stacks, key=lambda it: (-len(stacks[it]), it))
    numbers = sorted(stacks[stack])
    return f"{stack}{numbers[int(DEPTH * (len(numbers) - 1) + 0.5)]}."


def _liked(matrices: list[str], shapes: Mapping[str, Shape]) -> str:
    """Pick a matrix of values, else of attention, else the largest; ties go by name."""
    for pattern in _LIKED:
        found = [name for name in matrices if pattern.search(name)]
        if found:
            matrices = found
            break
    return min(matrices, key=lambda name: (-prod(shapes[name]), name))
