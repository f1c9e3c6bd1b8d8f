"""The state of a training in one file, so that one that was killed goes on."""

import json
import logging
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn

from weightscape.errors import WeightscapeError
from weightscape.probing.files import read_tensors, write_tensors

log = logging.getLogger(__name__)

Learned = TypeVar("Learned", bound=nn.Module)

_MOMENTS = ("exp_avg", "exp_avg_sq", "step")


@dataclass(slots=True)
class Fitted:
    """How a training went: the validation score at each look, and the best one.

    epoch: of the last look. best: -1 before the first one; best_epoch: of the last look that was
    as good, risen: of the first.
    """

    epoch: int = 0
    best_epoch: int = 0
    risen: int = 0
    best: float = -1.0
    history: list[tuple[int, float]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class State(Generic[Learned]):
    """All that a training changes: the network, its average, the best so far, the optimiser."""

    network: Learned
    smooth: Learned
    best: Learned
    optimizer: torch.optim.Optimizer


def write_state(path: Path, identity: str, state: State[Any], fitted: Fitted) -> None:
    """Write the state in place of the one before."""
    tensors = {}
    for part in ("network", "smooth", "best"):
        for name, tensor in getattr(state, part).state_dict().items():
            tensors[f"{part}.{name}"] = tensor.clone()
    for name, parameter in state.network.named_parameters():
        for moment in _MOMENTS:
            tensors[f"{moment}.{name}"] = state.optimizer.state[parameter][moment].clone()
    told = {"identity": identity, "fitted": asdict(fitted)}
    write_tensors(path, tensors, {"training": json.dumps(told)})


def read_state(path: Path, identity: str, state: State[Any]) -> Fitted | None:
    """Bring a training to where it was; None, and nothing is changed, if that is not known."""
    if not path.is_file():
        return None
    try:
        tensors, metadata = read_tensors(path)
        told = json.loads(metadata["training"])
        if told["identity"] != identity:
            return None
        fitted = Fitted(**told["fitted"])
        fitted.history = [(int(epoch), float(score)) for epoch, score in fitted.history]
        _check(tensors, state)
    except (WeightscapeError, OSError, ValueError, KeyError, TypeError) as error:
        log.warning("%s is damaged (%s); the training begins anew", path, error)
        return None
    for part in ("network", "smooth", "best"):
        module: nn.Module = getattr(state, part)
        module.load_state_dict({name: tensors[f"{part}.{name}"] for name in module.state_dict()})
    for name, parameter in state.network.named_parameters():
        state.optimizer.state[parameter] = {
            moment: tensors[f"{moment}.{name}"].clone() for moment in _MOMENTS
        }
    return fitted


def _check(tensors: dict[str, Tensor], state: State[Any]) -> None:
    for part in ("network", "smooth", "best"):
        for name, wanted in getattr(state, part).state_dict().items():
            if tensors[f"{part}.{name}"].shape != wanted.shape:
                raise ValueError(f"tensor {part}.{name} has another shape")
    for name, parameter in state.network.named_parameters():
        for moment in _MOMENTS:
            wanted = torch.Size() if moment == "step" else parameter.shape
            if tensors[f"{moment}.{name}"].shape != wanted:
                raise ValueError(f"tensor {moment}.{name} has another shape")
