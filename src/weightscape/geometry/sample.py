"""Group models into trees, cheaply, from sampled blocks of their raw weights.

Models of one tree share an ancestor, so their raw weight matrices still correlate, element by
element; matrices of two separate initialisations do not. A few hundred elements of each of a few
dozen matrices tell, for about 100 KB read a model.
"""

from collections.abc import Callable, Mapping, Sequence
from math import prod

import numpy as np
import torch
from jaxtyping import Float32, Float64

BLOCK = 256
BLOCKS_PER_TENSOR = 2
ELEMENTS = BLOCK * BLOCKS_PER_TENSOR
MOST_TENSORS = 48
# Unrelated matrices: |r| is about 1/sqrt(512) = 0.04 each, less for their median. Related ones
# were 0.62-0.79 in the loosest real family that we know (admet-ai's siblings), else above 0.9.
SAME_TREE = 0.25

Shape = tuple[int, ...]
Sample = Float32[np.ndarray, "M E"]


def sampled_tensors(shapes: Mapping[str, Shape]) -> tuple[str, ...]:
    """Choose the matrices to sample: at most 48, spread evenly over the depth of the model.

    Vectors are left out (biases and norms start as constants, so strangers agree on them) as long
    as there is any matrix at all.
    """
    size = BLOCK * BLOCKS_PER_TENSOR
    matrices = [name for name, shape in shapes.items() if len(shape) >= 2 and prod(shape) >= size]
    if not matrices:
        matrices = [name for name, shape in shapes.items() if prod(shape) >= 8]
    if len(matrices) <= MOST_TENSORS:
        return tuple(matrices)
    picks = np.linspace(0, len(matrices) - 1, MOST_TENSORS).round().astype(int)
    return tuple(matrices[int(i)] for i in picks)


def sample(
    read: Callable[[str, int, int], torch.Tensor | None],
    tensors: Sequence[str],
    shapes: Mapping[str, Shape],
) -> Sample:
    """Sample one model: M tensors x 512 elements, NaN where it lacks the tensor or is shorter.

    read(tensor, start, stop) gives the elements of a range, or None where the model has no such
    tensor. Positions depend on the shape alone, so samples of one family compare.
    """
    out = np.full((len(tensors), BLOCK * BLOCKS_PER_TENSOR), np.nan, np.float32)
    for row, name in enumerate(tensors):
        count = prod(shapes[name])
        length = min(BLOCK, count // BLOCKS_PER_TENSOR)
        for block in range(BLOCKS_PER_TENSOR):
            # one block a third of the way in, one two thirds: away from special first rows
            start = min(count - length, count * (block + 1) // (BLOCKS_PER_TENSOR + 1))
            values = read(name, start, start + length)
            if values is not None:
                at = block * BLOCK
                out[row, at : at + length] = values.to(torch.float32).numpy()
    return out


def kinship(
    one: Float32[np.ndarray, "A M E"], other: Float32[np.ndarray, "B M E"]
) -> Float64[np.ndarray, "A B"]:
    """Correlate samples: the median over tensors of the per-tensor Pearson correlation.

    The median is what makes a few shared constants (position tables, scaling buffers) harmless.
    A constant or missing tensor has no correlation and is passed over; with none left, 0.
    """
    a, b = _standardised(one), _standardised(other)
    result = np.zeros((a.shape[0], b.shape[0]))
    for i in range(a.shape[0]):
        result[i] = _medians(np.einsum("me,bme->bm", a[i], b))
    return result


def group(
    fresh: Float32[np.ndarray, "A M E"],
    known: Float32[np.ndarray, "B M E"],
    known_tree: Sequence[int],
    least: float = SAME_TREE,
) -> list[int]:
    """Assign each fresh sample to a known tree's number, or to a new one: -1, -2, ...

    Fresh samples that correlate with one another join one tree, whatever their order; those that
    correlate with a known tree join the one they are nearest to.
    """
    count = fresh.shape[0]
    among = kinship(fresh, fresh)
    to_known = kinship(fresh, known) if known.shape[0] else np.zeros((count, 0))
    label: list[int | None] = [None] * count
    following = -1
    for seed in range(count):
        if label[seed] is not None:
            continue
        component = _component(among, seed, least)
        reach = to_known[component]
        if reach.size and reach.max() >= least:
            tree = known_tree[int(np.unravel_index(reach.argmax(), reach.shape)[1])]
        else:
            tree, following = following, following - 1
        for member in component:
            label[member] = tree
    return [tree for tree in label if tree is not None]


def central(samples: Float32[np.ndarray, "A M E"]) -> int:
    """Tell which sample correlates best with all others: the reference that keeps deltas small."""
    return int(kinship(samples, samples).sum(axis=1).argmax())


def _component(among: Float64[np.ndarray, "A A"], seed: int, least: float) -> list[int]:
    inside = {seed}
    frontier = [seed]
    while frontier:
        near = np.flatnonzero(among[frontier.pop()] >= least)
        fresh = [int(i) for i in near if int(i) not in inside]
        inside.update(fresh)
        frontier.extend(fresh)
    return sorted(inside)


def _medians(values: Float64[np.ndarray, "B M"]) -> Float64[np.ndarray, " B"]:
    """Give the median of each row, NaN passed over; 0 where there is nothing else."""
    if not values.shape[1]:
        return np.zeros(len(values))
    ordered = np.sort(values, axis=1)  # NaN last
    count = np.isfinite(values).sum(axis=1)
    upper, lower = count // 2, np.maximum(count - 1, 0) // 2
    rows = np.arange(len(values))
    middle = 0.5 * (ordered[rows, lower] + ordered[rows, np.minimum(upper, ordered.shape[1] - 1)])
    medians: Float64[np.ndarray, " B"] = np.where(count > 0, middle, 0.0)
    return medians


def _standardised(samples: Float32[np.ndarray, "A M E"]) -> Float64[np.ndarray, "A M E"]:
    values = samples.astype(np.float64)
    present = np.isfinite(values)
    count = np.maximum(present.sum(axis=2, keepdims=True), 1)
    filled = np.where(present, values, 0.0)
    centred = np.where(present, filled - filled.sum(axis=2, keepdims=True) / count, 0.0)
    norm = np.sqrt((centred**2).sum(axis=2, keepdims=True))
    scale = np.sqrt((filled**2).sum(axis=2, keepdims=True))
    with np.errstate(invalid="ignore", divide="ignore"):
        # rounding leaves a constant tensor with a tiny norm: that is no pattern to correlate
        return np.where(norm > 1e-6 * scale, centred / norm, np.nan)
