"""Weighted sums of tensors at memory speed: in float32 for search, in float64 for keeping."""

from collections.abc import Sequence
from math import ldexp

import torch
from torch import Tensor

from weightscape.geometry.rounding import round_once, wide

PIECE = 1 << 19
"""Elements worked on at once: the sums stay in a core's cache while the terms stream by. From 2**18
to 2**20 it makes little difference, 2**15 and whole tensors of millions are half as slow again."""

_PIECE_ON_DEVICE = 1 << 24  # there a launch costs more than a trip to memory

Term = tuple[Tensor, float]
"""A tensor, as one dimension, and its weight in the sum."""


def combine(out: Tensor, terms: Sequence[Term], precision: torch.dtype = torch.float32) -> None:
    """Overwrite `out` with the weighted sum of the terms, rounded once to its dtype.

    Sums are made in `precision` (in float64 where `out` is float64), term after term. Terms of
    weight zero are not read. One lone term of weight one is copied, bit for bit where the dtypes
    are equal. Tensors may lie on other devices and have other dtypes than `out`.
    """
    terms = [(tensor, weight) for tensor, weight in terms if weight != 0.0]
    if not terms:
        out.zero_()
    elif len(terms) == 1 and terms[0][1] == 1.0:
        out.copy_(terms[0][0].view(out.shape))
    elif out.is_contiguous():
        _in_pieces(out.view(-1), terms, torch.float64 if out.dtype == torch.float64 else precision)
    else:
        sums = torch.empty(out.shape, dtype=out.dtype, device=out.device)
        combine(sums, terms, precision)
        out.copy_(sums)


def _in_pieces(out: Tensor, terms: Sequence[Term], precision: torch.dtype) -> None:
    direct = out.dtype == precision
    alike = all(t.dtype == precision and t.device == out.device for t, _ in terms)
    if direct and alike and out.numel() <= PIECE:  # most tensors of most models
        _add_up(out, terms, out)
        return
    piece = PIECE if out.device.type == "cpu" else _PIECE_ON_DEVICE
    room = min(piece, out.numel())
    sums = out if direct else torch.empty(room, dtype=precision, device=out.device)
    cast = sums if alike else torch.empty(room, dtype=precision, device=out.device)
    weights = [weight for _, weight in terms]
    for target, *parts in zip(
        torch.split(out, piece), *(torch.split(tensor, piece) for tensor, _ in terms), strict=True
    ):
        total = target if direct else sums[: target.numel()]
        _add_up(total, list(zip(parts, weights, strict=True)), cast[: target.numel()])
        if not direct:
            target.copy_(round_once(total, out.dtype))


def _add_up(total: Tensor, terms: Sequence[Term], cast: Tensor) -> None:
    """Sum one piece; `cast` is where terms of other dtypes or devices are turned into total's."""
    first = True
    for tensor, weight in terms:
        foreign = tensor.dtype != total.dtype or tensor.device != total.device
        if first:
            if foreign:
                total.copy_(tensor).mul_(weight)
            else:
                torch.mul(tensor, weight, out=total)
        else:
            total.add_(cast.copy_(tensor) if foreign else tensor, alpha=weight)
        first = False


def largest(tensor: Tensor) -> float:
    """Find the largest magnitude in a tensor of one dimension; 0 for an empty one."""
    pieces = torch.split(tensor, PIECE) if tensor.numel() else ()
    return max((float(it.to(wide(it.dtype)).abs().max()) for it in pieces), default=0.0)


def rounding_bound(magnitude: float, result: float, terms: int, dtype: torch.dtype) -> float:
    """Bound how far the fast sum can lie from the exact one, for any element of a tensor.

    magnitude: an upper bound of ``sum_i |a_i| |x_i|``. result: an upper bound of the sum's own
    size. terms: how many are summed. dtype: of the tensor that is written.

    With K terms every one passes through at most K + 2 roundings in float32 (its own conversion,
    its weight's, its product's, and those of the sums), so the fast sum is off by at most
    ``g(K + 2) * magnitude``, ``g(n) = n u / (1 - n u)``, ``u = 2**-24`` (Higham, Accuracy and
    Stability of Numerical Algorithms, 2002, section 3.1), and by a smallest subnormal for each
    rounding. Then both sums are rounded to `dtype`, each by at most half a unit in the last place.
    """
    if terms == 0:
        return 0.0
    unit, smallest = (2.0**-53, 2.0**-1074) if dtype == torch.float64 else (2.0**-24, 2.0**-149)
    steps = terms + 2
    sums = steps * unit / (1 - steps * unit) * magnitude + steps * smallest
    last, least = torch.finfo(dtype).eps / 2, _smallest_subnormal(dtype)
    return sums + 2 * (last * (result + sums) + least)


def _smallest_subnormal(dtype: torch.dtype) -> float:
    kind = torch.finfo(dtype)
    return kind.tiny * kind.eps if kind.tiny * kind.eps > 0 else ldexp(1.0, -1074)
