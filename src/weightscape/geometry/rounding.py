"""Between float64 and narrow dtypes: rounding once, and dtypes to calculate in."""

import torch
from torch import Tensor


def round_once(values: Tensor, dtype: torch.dtype) -> Tensor:
    """Round to nearest in `dtype`, as if in one step.

    Conversions from float64 to bfloat16, float16 and float8 go through float32, and rounding twice
    can end on the farther neighbour. Rounding the first time *to odd* keeps what the second step
    needs to know (Boldo & Melquiond, Emulation of FMA and correctly rounded sums, IEEE
    Transactions on Computers 57, 2008).
    """
    if values.dtype != torch.float64 or torch.finfo(dtype).bits >= 32:
        return values.to(dtype)
    single = values.float()
    left_out = values - single.double()
    bits = single.view(torch.int32)
    # of the two neighbours in float32 take the odd one: one step towards what was left out
    inexact_and_even = (left_out != 0) & left_out.isfinite() & (bits & 1 == 0)
    away_from_zero = (left_out > 0) == (single >= 0)
    step = torch.where(away_from_zero, 1, -1) * inexact_and_even
    # zero has no neighbour towards zero; what float32 rounds to zero is zero in all the others
    step = torch.where(single == 0, 0, step).to(torch.int32)
    return (bits + step).view(torch.float32).to(dtype)


def wide(dtype: torch.dtype) -> torch.dtype:
    """Choose a dtype to calculate in: float16 overflows in sums, float8 has no arithmetic."""
    return dtype if dtype.itemsize >= 4 else torch.float32
