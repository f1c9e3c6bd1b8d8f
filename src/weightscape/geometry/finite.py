"""Finding tensors that hold NaN or infinity."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from weightscape.geometry.rounding import wide


def non_finite(model: nn.Module | Mapping[str, Tensor]) -> str | None:
    """Name the first tensor that holds a NaN or an infinity; None when there is none.

    >>> non_finite({"a": torch.ones(2), "b": torch.tensor([1.0, float("nan")])})
    'b'
    """
    tensors = model.state_dict() if isinstance(model, nn.Module) else model
    for name, tensor in tensors.items():
        if not (tensor.is_floating_point() or tensor.is_complex()):
            continue
        # a sum is several times cheaper than a mask and finite only when every element is
        if torch.isfinite(tensor.detach().sum(dtype=wide(tensor.dtype))):
            continue
        if not torch.isfinite(tensor.detach().to(wide(tensor.dtype))).all():
            return name
    return None
