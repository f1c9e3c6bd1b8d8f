"""Fisher-weighted averaging: each parameter is the models' mean, weighed by how much it matters.

Matena and Raffel, "Merging Models with Fisher-Weighted Averaging" (2022, arXiv:2111.09832).
"""

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor

from weightscape.blending.fisher_diagonals import FisherDiagonals
from weightscape.blending.means import checked_shares, tensors_named, weighted_mean
from weightscape.errors import BadInput
from weightscape.progress import Progress, silent

FLOOR = 1e-6
"""Of the typical size of a model's Fisher information: nothing weighs less than that."""


def fisher_average(
    models: Sequence[Mapping[str, Tensor]],
    fishers: Sequence[FisherDiagonals],
    *,
    weights: Sequence[float] | None = None,
    floor: float = FLOOR,
    normalise: bool = True,
    progress: Progress = silent,
) -> Iterator[tuple[str, Tensor]]:
    """Merge models of one shape by their Fisher information; yield tensor after tensor.

    weights: how much each model counts, all alike by default. normalise: divide each model's
    Fisher information by its `typical_size`, so that a model that is unsure of its answers, and so
    has larger gradients everywhere, has no more say than others. Tensors that some model has no
    Fisher information of are the weighted mean. Computed in float64 and rounded once.

    Raises BadInput for weights or a floor below zero, and for diagonals of other shapes than the
    tensors; MismatchedModels for tensors of different shapes.
    """
    shares = checked_shares(weights, len(models))
    if len(fishers) != len(models):
        raise BadInput(
            f"Fisher averaging needs the diagonals of each model: {len(models)}, not {len(fishers)}"
        )
    scales = [typical_size(it) if normalise else 1.0 for it in fishers]
    with progress.stage("merging", total=len(models[0]), unit="tensors") as advance:
        for name in models[0]:
            tensors = tensors_named(name, models)
            seen = [it.diagonals.get(name) for it in fishers]
            known = [
                diagonal / scale if scale > 0 else diagonal
                for diagonal, scale in zip(seen, scales, strict=True)
                if diagonal is not None
            ]
            if not tensors[0].is_floating_point():
                yield name, tensors[0]
            elif len(known) < len(models):
                yield name, weighted_mean(tensors, shares).to(tensors[0].dtype)
            else:
                _check_shapes(name, tensors[0], known)
                merged = average_by(tensors, known, weights=shares, floor=floor)
                yield name, merged.to(tensors[0].dtype)
            advance(1)


def average_by(
    tensors: Sequence[Tensor],
    diagonals: Sequence[Tensor],
    *,
    weights: Sequence[float] | None = None,
    floor: float = FLOOR,
) -> Tensor:
    """Average tensors element by element, in float64: ``sum_i w_i F_i x_i / sum_i w_i F_i``.

    F: the diagonals, at least `floor`. Where all of them are zero it is the weighted mean.

    >>> one, two = torch.tensor([0.0, 0.0]), torch.tensor([4.0, 4.0])
    >>> average_by([one, two], [torch.tensor([3.0, 0.0]), torch.tensor([1.0, 0.0])]).tolist()
    [1.0, 2.0]
    """
    if not 0.0 <= floor < float("inf"):
        raise BadInput(f"floor must be 0 or more, got {floor:g}")
    shares = checked_shares(weights, len(tensors))
    mean = weighted_mean(tensors, shares)
    above, below = torch.zeros_like(mean), torch.zeros_like(mean)
    for tensor, diagonal, share in zip(tensors, diagonals, shares, strict=True):
        weight = diagonal.to(mean.device, torch.float64).clamp(min=floor).mul_(share)
        below += weight
        above += weight.mul_(tensor.to(torch.float64) - mean)
    return mean + torch.where(below > 0, above / below, 0.0)


def typical_size(fisher: FisherDiagonals) -> float:
    """Measure a model's Fisher information by one number: the squared mean of its square roots.

    Over all elements that are not zero. A few elements are 10^6 times as large as most, more in
    one model than in another: in a mean, or a root mean square, only these would count.
    """
    count, total = 0, 0.0
    for diagonal in fisher.diagonals.values():
        count += int(torch.count_nonzero(diagonal))
        total += float(diagonal.sqrt().sum(dtype=torch.float64))
    return (total / count) ** 2 if count else 0.0


def _check_shapes(name: str, tensor: Tensor, diagonals: Sequence[Tensor]) -> None:
    for diagonal in diagonals:
        if diagonal.shape != tensor.shape:
            raise BadInput(
                f"tensor {name!r} has shape {list(tensor.shape)}, but Fisher information of shape "
                f"{list(diagonal.shape)} was given"
            )
