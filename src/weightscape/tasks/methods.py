"""What each method of fine-tuning adds to a model, and which of its tensors it trains."""

from collections.abc import Sequence
from dataclasses import replace
from fnmatch import fnmatch

from torch import nn

from weightscape.errors import BadInput
from weightscape.tasks import low_rank
from weightscape.tasks.adapters import adapted_names
from weightscape.tasks.bottleneck import add_bottlenecks
from weightscape.tasks.fine_tuning import ADDING_METHODS, FineTuning
from weightscape.tasks.heads import within
from weightscape.tasks.live import LiveModel
from weightscape.tasks.task import Task


def attach(model: LiveModel, how: FineTuning, task: Task) -> LiveModel:
    """Add what a method adds to a model, and let only what it trains require gradients.

    The module is changed in place. The result's `adapted` names the added
    tensors and the head, for methods that leave the base as it is.

    Raises BadInput when `freeze` or `places` match nothing, when nothing is left to train, or
    when the model has no head and the method trains nothing else.
    """
    if model.adapted is not None:
        raise BadInput(f"{model.name} carries an adapter already; merge it into its base first")
    module = _added(model, how, task)
    if how.method in ("bitfit", "head"):
        _leave(module, model.head, biases=how.method == "bitfit")
    _freeze(module, how.freeze, model.name)
    if not any(p.requires_grad for p in module.parameters()):
        what = f"freezing {list(how.freeze)}" if how.freeze else f"the method {how.method!r}"
        raise BadInput(f"{what} leaves nothing of {model.name} to train")
    adds = how.method in ADDING_METHODS
    return replace(
        model,
        module=module,
        head=within(module, model.head),
        adapted=adapted_names(module, model.head) if adds else None,
    )


def _added(model: LiveModel, how: FineTuning, task: Task) -> nn.Module:
    if how.method == "lora":
        return low_rank.add_factors(
            model.module,
            rank=how.rank,
            seed=how.init_seed,
            kind=task.kind,
            head=model.head,
            places=how.places,
        )
    if how.method == "prefix":
        return low_rank.add_prefix(
            model.module,
            tokens=how.prefix_tokens,
            seed=how.init_seed,
            kind=task.kind,
            longest=task.max_tokens,
        )
    if how.method == "adapter":
        return add_bottlenecks(
            model.module,
            inner=how.bottleneck,
            seed=how.init_seed,
            std=how.init_std,
            places=how.places,
            head=model.head,
        )
    return model.module


def _leave(module: nn.Module, head: Sequence[str], *, biases: bool) -> None:
    """Freeze all but the head and, where asked for, the bias terms."""
    for name, parameter in module.named_parameters():
        bias = biases and (name == "bias" or name.endswith((".bias", "_bias")))
        parameter.requires_grad_(bias or name.startswith(tuple(head)))


def _freeze(module: nn.Module, patterns: Sequence[str], name: str) -> None:
    for pattern in patterns:
        frozen = [p for name, p in module.named_parameters() if fnmatch(name, pattern)]
        if not frozen:
            raise BadInput(f"the freeze pattern {pattern!r} matches no parameter of {name}")
        for parameter in frozen:
            parameter.requires_grad_(False)
