"""RegMean: the linear layers that come nearest to what every model's own layers answer.

Jin, Ren, Preotiuc-Pietro and Cheng, "Dataless Knowledge Fusion by Merging Weights of Language
Models" (2023, arXiv:2212.09849).
"""

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor

from weightscape.blending.input_grams import InputGrams
from weightscape.blending.means import checked_shares, tensors_named, weighted_mean
from weightscape.errors import BadInput
from weightscape.progress import Progress, silent

OFF_DIAGONAL = 0.9
"""What is left of the products of different inputs; the paper's for most of its models."""

RIDGE = 1e-6
"""Of the mean diagonal: the pull towards the plain mean where no input was seen."""


def regmean(
    models: Sequence[Mapping[str, Tensor]],
    grams: Sequence[InputGrams],
    *,
    weights: Sequence[float] | None = None,
    off_diagonal: float = OFF_DIAGONAL,
    ridge: float = RIDGE,
    progress: Progress = silent,
) -> Iterator[tuple[str, Tensor]]:
    """Merge models of one shape by the inputs of their layers; yield tensor after tensor.

    grams: what went into each model's layers on its own rows. weights: how much each model counts,
    all alike by default. Layers that some model has no Gram matrix of, biases and all else are the
    weighted mean. Every tensor is computed in float64 and rounded once.

    Raises BadInput for weights that are negative or all zero, factors out of range, and Gram
    matrices of other shapes than the layers; MismatchedModels for tensors of different shapes.
    """
    shares = checked_shares(weights, len(models))
    if len(grams) != len(models):
        raise BadInput(
            f"RegMean needs Gram matrices of each model: {len(models)}, not {len(grams)}"
        )
    check_factors(off_diagonal, ridge)
    with progress.stage("merging", total=len(models[0]), unit="tensors") as advance:
        for name in models[0]:
            tensors = tensors_named(name, models)
            seen = [it.grams.get(name) for it in grams]
            products = [gram for gram in seen if gram is not None]
            if not tensors[0].is_floating_point():
                yield name, tensors[0]
            elif tensors[0].ndim != 2 or len(products) < len(models):
                yield name, weighted_mean(tensors, shares).to(tensors[0].dtype)
            else:
                turned = name not in grams[0].transposed
                layers = [it.T if turned else it for it in tensors]
                _check_sizes(name, layers[0], products)
                merged = merge_layers(
                    layers, products, weights=shares, off_diagonal=off_diagonal, ridge=ridge
                )
                merged = merged.T if turned else merged
                yield name, merged.to(tensors[0].dtype).contiguous()
            advance(1)


def merge_layers(
    layers: Sequence[Tensor],
    grams: Sequence[Tensor],
    *,
    weights: Sequence[float] | None = None,
    off_diagonal: float = OFF_DIAGONAL,
    ridge: float = RIDGE,
) -> Tensor:
    """Merge linear layers ``y = x W``, all W [d_in, d_out], by Gram matrices [d_in, d_in].

    With ``G~`` a Gram matrix whose off-diagonal elements are multiplied by `off_diagonal` and
    ``M`` the weighted mean of the layers, it is the W that minimises
    ``sum_i w_i tr((W - W_i)^T G~_i (W - W_i)) + r |W - M|^2``, in float64:
    ``W = M + (sum w_i G~_i + r I)^-1 sum w_i G~_i (W_i - M)``. With a factor of 1 and no ridge
    these are the squared differences of the outputs. r is `ridge` times the mean diagonal of the
    sum: directions that no input had stay the mean.

    >>> one, two = torch.tensor([[1.0], [9.0]]), torch.tensor([[9.0], [2.0]])
    >>> seen = [torch.diag(torch.tensor([1.0, 0.0])), torch.diag(torch.tensor([0.0, 1.0]))]
    >>> merge_layers([one, two], seen, ridge=0.0).flatten().round(decimals=6).tolist()
    [1.0, 2.0]
    """
    shares = checked_shares(weights, len(layers))
    mean = weighted_mean(layers, shares)
    total = torch.zeros(grams[0].shape, dtype=torch.float64, device=mean.device)
    wanted = torch.zeros_like(mean)
    for layer, gram, share in zip(layers, grams, shares, strict=True):
        shrunk = gram.to(mean.device, torch.float64) * (share * off_diagonal)
        shrunk.diagonal().copy_(gram.diagonal().to(torch.float64) * share)
        total += shrunk
        wanted.addmm_(shrunk, layer.to(torch.float64) - mean)
    pull = ridge * float(total.diagonal().mean())
    total.diagonal().add_(pull)
    return mean + _solve(total, wanted)


def _solve(total: Tensor, wanted: Tensor) -> Tensor:
    """Solve a symmetric system; of a singular one, the solution of least norm."""
    factor, failed = torch.linalg.cholesky_ex(total)
    if not failed:
        found: Tensor = torch.cholesky_solve(wanted, factor)
        if torch.isfinite(found).all():
            return found
    # Gram matrices are float32 sums: what is below their rounding was not seen
    values, vectors = torch.linalg.eigh(total)
    least = values[-1].clamp(min=0) * len(total) * torch.finfo(torch.float32).eps
    kept = values > least
    vectors, values = vectors[:, kept], values[kept]
    least_norm: Tensor = vectors @ ((vectors.T @ wanted) / values[:, None])
    return least_norm


def check_factors(off_diagonal: float, ridge: float) -> None:
    """Raise BadInput for an off-diagonal factor that is not in 0 to 1, or a negative ridge."""
    if not 0.0 <= off_diagonal <= 1.0:
        raise BadInput(f"off_diagonal must be in 0 to 1, got {off_diagonal:g}")
    if not 0.0 <= ridge < float("inf"):
        raise BadInput(f"ridge must be 0 or more, got {ridge:g}")


def _check_sizes(name: str, layer: Tensor, grams: Sequence[Tensor]) -> None:
    for gram in grams:
        if gram.shape != (layer.shape[0], layer.shape[0]):
            raise BadInput(
                f"tensor {name!r}: its layer takes {layer.shape[0]} inputs, but a Gram matrix of "
                f"shape {list(gram.shape)} was given"
            )
