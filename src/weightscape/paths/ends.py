"""How far apart the ends of a path are."""

from collections.abc import Mapping
from math import sqrt

import torch
from torch import Tensor

from weightscape.errors import BadInput, MismatchedModels
from weightscape.paths.records import Ends
from weightscape.tasks.spanning import SpannedModels


def measure_ends(
    spanned: SpannedModels, base: Mapping[str, Tensor] | None = None, base_name: str | None = None
) -> Ends:
    """Measure distance and cosines of the first two models of a span, in float64.

    base: tensors of the model that both were fine-tuned from, for the cosine of what they
    learned; it may have more tensors than the span (a head). Raises MismatchedModels for a base
    of other tensors.
    """
    span = spanned.span
    one, two = span.vertex(0), span.vertex(1)
    if base is not None and spanned.space == "factor":
        raise BadInput("adapters are changes of their base already; give a base to whole models")
    floating = _floating_names(spanned)
    sums = torch.zeros(2, 3, dtype=torch.float64)
    parameters = moving = 0
    moves = frozenset(span.names)
    for name in floating:
        a, b = (span.tensor(name, point).double().flatten() for point in (one, two))
        sums[0] += _products(a, b)
        if base is not None:
            start = _of_base(base, name, a, base_name or "the base")
            sums[1] += _products(a - start, b - start)
        parameters += a.numel()
        moving += a.numel() if name in moves else 0
    l2 = span.distance(one, two)
    return Ends(
        names=(spanned.names[0], spanned.names[1]),
        l2=l2,
        l2_per_parameter=l2 / sqrt(parameters),
        cosine=_cosine(sums[0]),
        delta_cosine=None if base is None else _cosine(sums[1]),
        base=base_name,
        parameters=parameters,
        moving_parameters=moving,
    )


def _floating_names(spanned: SpannedModels) -> list[str]:
    """Name the span's tensors that count, those that share their elements once."""
    known = {*spanned.span.names, *spanned.span.constants}
    first: dict[int, str] = {}
    for name, tensor in spanned.model.module.state_dict().items():
        if name in known and tensor.is_floating_point() and tensor.numel():
            first.setdefault(tensor.data_ptr(), name)
    return list(first.values())


def _of_base(base: Mapping[str, Tensor], name: str, like: Tensor, base_name: str) -> Tensor:
    if name not in base:
        raise MismatchedModels(f"tensor {name!r} is missing in {base_name}")
    tensor = base[name]
    if tensor.numel() != like.numel():
        raise MismatchedModels(
            f"tensor {name!r} has shape {list(tensor.shape)} in {base_name} and "
            f"{like.numel()} elements in the ends"
        )
    return tensor.detach().to(like.device).double().flatten()


def _products(a: Tensor, b: Tensor) -> Tensor:
    return torch.stack([a @ b, a @ a, b @ b]).cpu()


def _cosine(products: Tensor) -> float:
    inner, one, two = products.tolist()
    return float(inner / sqrt(one * two)) if one > 0 and two > 0 else float("nan")
