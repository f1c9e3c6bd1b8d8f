"""The second look: what only a parent's and a child's tensors, side by side, can tell.

Grams give distances; whether a delta has low rank, which elements it left alone and whether a
child is its parent rounded are properties of the elements. They are looked up for candidate edges
only, in a few matrices, and at most `MOST_ROWS` rows of each.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod, sqrt

import numpy as np
import torch

from weightscape.geometry.piece import Member
from weightscape.geometry.sample import sampled_tensors

RANK_CAP = 64
MOST_ROWS = 1024
MOST_TENSORS = 8
HIDDEN = -1  # a rank that rounding hides
MOST_ROUNDING = 1.5  # what a low rank leaves over, as a multiple of what rounding would
LEAST_EXPLAINED = 0.75  # share of a delta's energy that its rank must explain


@dataclass(frozen=True, slots=True)
class DeltaLook:
    """A child beside its parent, tensor by tensor, for the tensors that were looked at.

    unchanged: share of elements with equal values. rank: numeric rank of child - parent for
    matrices; above `rank_cap` it is told as rank_cap + 1, 0 means no difference, and HIDDEN (-1)
    that rounding is too large a part of the change for its rank to be told.
    rounded: share of elements where the child equals the parent rounded to the child's dtype.
    zeros: share of exact zeros in the child. bytes_read: of both models together.
    """

    unchanged: dict[str, float]
    rank: dict[str, int]
    rank_cap: int
    rounded: dict[str, float]
    zeros: dict[str, float]
    bytes_read: int


def look_at(
    parent: Member,
    child: Member,
    shapes: Mapping[str, tuple[int, ...]],
    *,
    most: int = MOST_TENSORS,
    seed: int = 0,
) -> DeltaLook:
    """Compare two models in up to `most` matrices spread over their depth (all, if none is one).

    The rank is that of the delta times a random matrix of 2 x 64 columns, counted above what
    rounding of the coarser of the two dtypes would leave (Halko et al. 2011 for the projection).
    A small update stored in few bits may show a few directions, or none, and still be full: so
    a low rank is told only where that rank and rounding explain all of the delta.
    """
    shared = {n: s for n, s in shapes.items() if n in parent.stored and n in child.stored}
    candidates = sampled_tensors(shared)
    picks = np.unique(np.linspace(0, len(candidates) - 1, min(most, len(candidates))).astype(int))
    generator = torch.Generator().manual_seed(seed)
    unchanged: dict[str, float] = {}
    rank: dict[str, int] = {}
    rounded: dict[str, float] = {}
    zeros: dict[str, float] = {}
    read = 0
    for name in (candidates[int(i)] for i in picks):
        shape = shared[name]
        columns = prod(shape[1:]) if len(shape) > 1 else 1
        rows = min(shape[0], MOST_ROWS) if shape else 1
        before = _values(parent, name, rows * columns)
        after = _values(child, name, rows * columns)
        read += sum(x.numel() * x.element_size() for x in (before, after))
        old, new = before.to(torch.float32), after.to(torch.float32)
        unchanged[name] = float((old == new).float().mean())
        rounded[name] = float((before.to(after.dtype) == after).float().mean())
        zeros[name] = float((new == 0).float().mean())
        if len(shape) >= 2:
            delta = (new - old).reshape(rows, columns)
            rounding = _rounding_energy(new, _coarser(before.dtype, after.dtype))
            rank[name] = _rank(delta, rounding, generator)
    return DeltaLook(unchanged, rank, RANK_CAP, rounded, zeros, read)


def _values(member: Member, name: str, count: int) -> torch.Tensor:
    """Read the first elements of a tensor; an adapter's are those of its base plus its product."""
    if member.onto is None:
        return member.reader.flat(member.stored[name], 0, count)
    under = _values(member.onto, name, count).to(torch.float32)
    if name not in member.stored:
        return under
    return under + member.reader.flat(member.stored[name], 0, count)


def _rounding_energy(values: torch.Tensor, eps: float) -> float:
    """Give the sum of squared errors that rounding these values to a precision would make.

    Each error is uniform over one unit in the last place, so it has a twelfth of its square.
    """
    finite = values[torch.isfinite(values) & (values != 0)]
    _, exponent = torch.frexp(finite)
    unit = torch.exp2(exponent.to(torch.float64) - 1.0) * eps
    return float(unit.square().sum()) / 12.0


def _coarser(before: torch.dtype, after: torch.dtype) -> float:
    """Give the precision of the coarser of two dtypes; values are compared in float32 at best."""
    used = [torch.float32, *(dtype for dtype in (before, after) if dtype.is_floating_point)]
    return max(float(torch.finfo(dtype).eps) for dtype in used)


def _rank(delta: torch.Tensor, rounding: float, generator: torch.Generator) -> int:
    """Count the singular values above rounding, if they and rounding are all there is."""
    if not bool(torch.isfinite(delta).all()):
        return RANK_CAP + 1
    if not bool(delta.any()):
        return 0
    rows, columns = delta.shape
    width = min(2 * RANK_CAP, columns)
    probe = torch.randn(columns, width, generator=generator, dtype=torch.float64) / sqrt(width)
    whole = delta.to(torch.float64)
    left, values, _ = torch.linalg.svd(whole @ probe, full_matrices=False)
    # largest singular value that a matrix of rounding errors of that size would show, and half
    # as much again; never below what float64 resolves of the delta itself
    noise = sqrt(rounding / delta.numel())
    floor = 1.5 * noise * sqrt(columns / width) * (sqrt(rows) + sqrt(width))
    count = int((values > max(floor, 1e-12 * float(values[0]))).sum())
    if count > RANK_CAP:
        return RANK_CAP + 1
    energy = float(whole.square().sum())
    explained = float((left[:, :count].T @ whole).square().sum())
    if energy - explained > MOST_ROUNDING * rounding + 1e-12 * energy:
        return RANK_CAP + 1
    return count if explained >= LEAST_EXPLAINED * energy else HIDDEN
