"""Sums over rows of squared gradients of one layer, from its inputs and its outputs' gradients."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from weightscape.blending.input_grams import is_transposed

_BLOCK = 1 << 18
"""Elements of the products made at once: a megabyte, which stays in a core's cache."""


def is_known(layer: nn.Module) -> bool:
    """Tell whether `add_squares` knows a layer's gradients: linear, embedding or layer norm."""
    if isinstance(layer, nn.Embedding):
        return layer.max_norm is None and not layer.scale_grad_by_freq
    if isinstance(layer, nn.LayerNorm):
        return len(layer.normalized_shape) == 1
    return isinstance(layer, nn.Linear) or is_transposed(layer)


@torch.no_grad()
def add_squares(
    layer: nn.Module,
    calls: Sequence[tuple[Tensor, Tensor]],
    *,
    weight: Tensor | None,
    bias: Tensor | None,
) -> None:
    """Add every row's squared gradient to the sums for a layer's weight and bias, in place.

    calls: of each run of the layer what went in, [b, ..., d_in] (an embedding's numbers may be
    [1, t], the same in all rows), and the gradient [b, ..., d_out] of what came out.
    """
    gradient = torch.cat([_in_rows(it) for _, it in calls], 1)
    if bias is not None:
        bias += gradient.sum(1).square_().sum(0)
    if weight is None:
        return
    if isinstance(layer, nn.Embedding):
        numbers = [it.flatten(1).expand(len(gradient), -1) for it, _ in calls]
        _add_embedding(weight, torch.cat(numbers, 1), gradient, layer.padding_idx)
        return
    given = torch.cat([_in_rows(it.detach()) for it, _ in calls], 1)
    if isinstance(layer, nn.LayerNorm):
        normed = nn.functional.layer_norm(given, layer.normalized_shape, eps=layer.eps)
        weight += normed.mul_(gradient).sum(1).square_().sum(0)
    elif is_transposed(layer):
        _add_products(weight, given, gradient)
    else:
        _add_products(weight, gradient, given)


def _in_rows(tensor: Tensor) -> Tensor:
    """Lay out [b, ..., d] as float32 [b, t, d]."""
    return tensor.reshape(len(tensor), -1, tensor.shape[-1]).float()


def _add_products(total: Tensor, one: Tensor, two: Tensor) -> None:
    """Add ``sum_b (sum_t one[b, t, i] two[b, t, j])^2`` to total [i, j], block by block."""
    rows, tokens, _ = one.shape
    if tokens == 1:  # the square of a product is the product of squares
        total.addmm_(one[:, 0].square().T, two[:, 0].square())
        return
    across = one.transpose(1, 2).contiguous()
    step = max(1, _BLOCK // (rows * two.shape[2]))
    for start in range(0, total.shape[0], step):
        products = torch.bmm(across[:, start : start + step], two)
        total[start : start + step] += products.square_().sum(0)


def _add_embedding(total: Tensor, numbers: Tensor, gradient: Tensor, padding: int | None) -> None:
    """Add to total [n, d]: tokens [b, t] of one number in one row have one gradient together."""
    rows = torch.arange(len(numbers), device=numbers.device)[:, None]
    own, places = torch.unique(rows * len(total) + numbers, return_inverse=True)
    summed = gradient.new_zeros(len(own), total.shape[1])
    summed.index_add_(0, places.flatten(), gradient.flatten(0, 1))
    if padding is not None:  # its vector is not learned
        summed[own % len(total) == padding] = 0.0
    total.index_add_(0, own % len(total), summed.square_())
