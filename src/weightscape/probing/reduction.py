"""Reading a layer within the few directions of its rows and columns in which models differ.

The leading left and right singular subspaces of the centred training set (the higher-order
singular value decomposition of De Lathauwer, De Moor and Vandewalle 2000, with the models' own
mode left whole). Probes that are learned inside are probes of the whole layer: ``V R' (X - mean)
C U`` has the probes ``C U`` and the projection ``V R'``. What is lost is the energy outside.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from weightscape.probing.stacks import DenseStack, Stack


@dataclass(frozen=True, slots=True)
class Reduction:
    """Subspaces of a layer's outputs and inputs.

    rows: [out, k_out] with orthonormal columns, columns: [in, k_in]; None where all are kept. kept:
    the share of the training set's squared differences from its mean that lies inside both.
    """

    rows: Tensor | None
    columns: Tensor | None
    kept: float

    def apply(self, matrices: Tensor) -> Tensor:
        """Bring [..., out, in] to [..., k_out, k_in]."""
        if self.columns is not None:
            matrices = matrices @ self.columns
        return matrices if self.rows is None else self.rows.T @ matrices

    def size(self, shape: Sequence[int]) -> tuple[int, int]:
        """Tell k_out and k_in for a layer's shape."""
        return (
            shape[0] if self.rows is None else self.rows.shape[1],
            shape[1] if self.columns is None else self.columns.shape[1],
        )


def reduce_stack(stack: Stack, mean: Tensor, *, share: float, most: int | None) -> Reduction:
    """Find the subspaces that hold `share` of the energy around the mean, `most` wide at most."""
    sides = (stack.shape.out, stack.shape.inputs)
    if most is None or max(sides) <= most:
        return Reduction(None, None, 1.0)
    grams = _mode_grams(stack, mean)
    rows, columns = (_leading(gram, share, most) for gram in grams)
    total = float(grams[0].trace())
    inside = Reduction(rows, columns, 1.0)
    kept = 0.0
    for block in stack.blocks():
        centred = inside.apply(block.formed() - mean)
        kept += float(centred.double().square().sum())
    return Reduction(rows, columns, min(1.0, kept / total) if total else 1.0)


def _mode_grams(stack: Stack, mean: Tensor) -> tuple[Tensor, Tensor]:
    """Sum X X' and X' X over the centred models; of products, without forming them."""
    if isinstance(stack, DenseStack):
        left = torch.zeros(stack.shape.out, stack.shape.out)
        right = torch.zeros(stack.shape.inputs, stack.shape.inputs)
        for block in stack.blocks():
            centred = block.matrices - mean
            side = centred.transpose(0, 1).flatten(1)
            left.addmm_(side, side.T)
            side = centred.flatten(0, 1)
            right.addmm_(side.T, side)
        return left.double(), right.double()
    many = len(stack)
    inner_a = stack.a @ stack.a.transpose(1, 2)
    inner_b = stack.b.transpose(1, 2) @ stack.b
    b_side = stack.b.transpose(0, 1).flatten(1)
    a_side = stack.a.flatten(0, 1)
    left = (stack.b @ inner_a).transpose(0, 1).flatten(1) @ b_side.T
    right = a_side.T @ (inner_b @ stack.a).flatten(0, 1)
    # around the mean of these very models; any other offset would not be the centre
    return (
        left.double() - many * (mean @ mean.T).double(),
        right.double() - many * (mean.T @ mean).double(),
    )


def _leading(gram: Tensor, share: float, most: int) -> Tensor | None:
    """Return the leading eigenvectors that hold a share of the trace; None for all of them."""
    values, vectors = torch.linalg.eigh(gram)
    values, vectors = values.flip(0).clamp_min(0.0), vectors.flip(1)
    total = float(values.sum())
    if total == 0.0:
        return None
    reached = torch.cumsum(values, 0) / total
    count = min(most, int((reached < share).sum()) + 1, len(values))
    return None if count == len(values) else vectors[:, :count].float().contiguous()
