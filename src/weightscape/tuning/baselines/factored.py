"""The mean of LoRA adapters taken factor by factor, which is not the mean of what they do."""

from collections.abc import Sequence
from contextlib import ExitStack
from math import sqrt
from pathlib import Path

import torch
from torch import Tensor

from weightscape.blending.centroid import centroid
from weightscape.io import open_checkpoint
from weightscape.io.adapter import Adapter
from weightscape.tasks.bases import find_base, is_adapter
from weightscape.tasks.label_order import Source
from weightscape.tasks.live import LiveModel
from weightscape.tuning.baselines.setting import BASELINES, NotHad, NotMeant, Rival, Setting


@BASELINES.register("factor average")
def factor_average(given: Setting) -> Rival:
    """Take the mean of all A and the mean of all B of adapters, and multiply these.

    What LoraHub's library does (Huang et al. 2023, arXiv:2307.13269), with equal weights. The
    product of means differs from the mean of products by the cross terms,
    mean(B) mean(A) = mean(BA) - mean((B - mean B)(A - mean A)), which is why blends are made of
    products everywhere else. Heads and what else the adapters hold in full are averaged as usual.
    """
    folders = _adapters(given.models)
    tensors = given.spanned.span.tensors(centroid(len(given.spanned.names), given.members)[1:])
    lost = left = 0.0
    with ExitStack() as opened:
        adapters = [opened.enter_context(_opened(it)) for it in folders]
        _check_alike(adapters, folders)
        for name in adapters[0].tensors:
            if name not in tensors:
                raise NotHad(f"the adapters call a tensor {name!r}, which the models do not have")
            product, cross = _products(adapters, name)
            lost += float(cross.square().sum())
            left += float((product + cross).square().sum())
            # in place: names that are tied to this one share the tensor
            tensors[name].sub_(cross.reshape(tensors[name].shape))
    share = sqrt(lost / left) if left else 0.0
    why = f"mean A times mean B; that is off the mean of the products by {share:.0%} of its size"
    moving = {name: tensors[name] for name in given.spanned.span.names}
    return Rival(why, tensors=moving)


def _adapters(models: Sequence[Source]) -> list[Path]:
    found = []
    for model in models:
        if isinstance(model, LiveModel) or not Path(model).is_dir() or not is_adapter(Path(model)):
            name = model.name if isinstance(model, LiveModel) else Path(model).name
            raise NotMeant(f"it is of LoRA adapters, and {name} is a whole model")
        found.append(Path(model))
    return found


def _opened(folder: Path) -> Adapter:
    stored = open_checkpoint(folder)
    if isinstance(stored, Adapter):
        return stored
    stored.close()
    raise NotMeant(f"it is of LoRA adapters, and {folder.name} is another kind of adapter")


def _check_alike(adapters: Sequence[Adapter], folders: Sequence[Path]) -> None:
    """Refuse adapters whose factors do not fit each other."""
    first = adapters[0]
    for adapter, folder in zip(adapters[1:], folders[1:], strict=True):
        pair = f"{folders[0].name} and {folder.name}"
        if set(adapter.tensors) != set(first.tensors):
            raise NotHad(f"{pair} adapt different places, so that their factors do not pair up")
        if adapter.ranks != first.ranks or adapter.scales != first.scales:
            raise NotHad(f"{pair} have different ranks or scales, so that factors do not pair up")
        if _base(folder) != _base(folders[0]):
            raise NotHad(f"{pair} are of different bases")


def _base(folder: Path) -> str:
    base = Path(find_base(folder))
    return str(base.resolve() if base.is_dir() else base)


def _products(adapters: Sequence[Adapter], name: str) -> tuple[Tensor, Tensor]:
    """Give the product of the mean factors, and what the mean of the products has beside it."""
    factors = [adapter.factors(name) for adapter in adapters]
    scale = factors[0][2]
    b = torch.stack([it[0].double() for it in factors])
    a = torch.stack([it[1].double() for it in factors])
    product = scale * b.mean(0) @ a.mean(0)
    cross = torch.einsum("nor,nri->oi", b - b.mean(0), a - a.mean(0)) * (scale / len(factors))
    shape = adapters[0].info(name).shape
    turned = bool(adapters[0].config.get("fan_in_fan_out")) or shape[0] != len(product)
    return (product.T, cross.T) if len(shape) == 2 and turned else (product, cross)
