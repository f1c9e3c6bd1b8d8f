"""How a model is to be fine-tuned: plain settings, checked before anything is read."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from weightscape.errors import BadInput, UnknownName

MethodName = Literal["full", "bitfit", "lora", "adapter", "prefix", "head"]
ScheduleName = Literal["linear", "cosine", "constant"]
OptimiserName = Literal["adamw", "sgd", "adafactor"]

ADDING_METHODS = ("lora", "adapter", "prefix")
"""Methods that leave the base as it is and train tensors beside it: they write adapters."""

LEARNING_RATES: Mapping[MethodName, float] = {
    "full": 1e-4,
    "bitfit": 4e-3,
    "lora": 4e-3,
    "adapter": 4e-3,
    "prefix": 1e-2,
    "head": 3e-2,
}
"""By method, of a `FineTuning` that names none. Few or fresh tensors take far larger steps."""


@dataclass(frozen=True, slots=True)
class FineTuning:
    """How a model is fine-tuned.

    method: what is trained beside the task's head: "full" every weight that `freeze` leaves;
    "bitfit" the bias terms (Ben Zaken et al. 2022, arXiv:2106.10199); "head" nothing; "lora"
    low-rank factors; "adapter" bottleneck modules (Houlsby et al. 2019, arXiv:1902.00751);
    "prefix" vectors that every layer attends to (Li and Liang 2021, arXiv:2101.00190). The last
    three write an adapter folder.
    freeze: shell patterns of parameter names that stay as they are ("*embeddings*").
    init_seed, data_seed, dropout_seed: draw the initialisation (head, adapter), the order of the
    data, and dropout, apart from one another.
    lr: the highest learning rate; given as None, the method's in `LEARNING_RATES` stands here.
    It is reached after `warmup`, a share of the steps; from there the schedule falls to zero in
    a line or as a cosine, or stays.
    steps, batch: optimiser steps, and rows in each. weight_decay: on matrices only. optimiser: sgd
    is with momentum 0.9. clip: largest norm of the gradient; 0 leaves it as it is.
    rank, bottleneck, prefix_tokens: width of what the adding methods add. init_std: spread of a
    bottleneck's first weights; near zero it begins as the identity.
    places: shell patterns of the module names that LoRA and bottlenecks are put on; by default
    the usual ones of the model's kind. merge: take LoRA's factors into a whole model.
    save_every: also write a `checkpoint-N` folder each so many steps.
    evaluate_every: look at the loss on the validation split each so many steps, and end with the
    weights that did best. patience: stop when so many looks in a row were no better.
    validation_rows: rows of each look.
    record_dynamics: note the gold probabilities of `dynamics_rows` training rows each so many
    steps, for data cartography. autocast: compute in bfloat16; weights stay as they are.
    """

    method: MethodName = "full"
    freeze: tuple[str, ...] = ()
    init_seed: int = 0
    data_seed: int = 0
    dropout_seed: int = 0
    lr: float = None  # type: ignore[assignment]  # a number once it is made
    steps: int = 100
    batch: int = 16
    weight_decay: float = 0.01
    rank: int = 8
    merge: bool = False
    save_every: int | None = None
    schedule: ScheduleName = "linear"
    warmup: float = 0.1
    optimiser: OptimiserName = "adamw"
    clip: float = 1.0
    bottleneck: int = 16
    init_std: float = 0.01
    prefix_tokens: int = 16
    places: tuple[str, ...] = ()
    evaluate_every: int | None = None
    patience: int | None = None
    validation_rows: int = 256
    record_dynamics: int | None = None
    dynamics_rows: int = 512
    autocast: bool = False

    def __post_init__(self) -> None:
        for kind, value, known in (
            ("fine-tuning method", self.method, get_args(MethodName)),
            ("schedule", self.schedule, get_args(ScheduleName)),
            ("optimiser", self.optimiser, get_args(OptimiserName)),
        ):
            if value not in known:
                raise UnknownName(kind, str(value), known)
        if self.lr is None:
            # the number itself stands in what results tell of their making
            object.__setattr__(self, "lr", LEARNING_RATES[self.method])  # type: ignore[unreachable]
        for pattern_field in ("freeze", "places"):
            if isinstance(getattr(self, pattern_field), str):
                raise BadInput(f"{pattern_field} takes a tuple of patterns, got a lone string")
        self._must_be_whole(0, "init_seed", "data_seed", "dropout_seed")
        self._must_be_whole(
            1, "steps", "batch", "rank", "bottleneck", "prefix_tokens", "save_every",
            "evaluate_every", "patience", "validation_rows", "record_dynamics", "dynamics_rows",
        )  # fmt: skip
        for name in ("lr", "weight_decay", "clip", "init_std"):
            value = getattr(self, name)
            if not math.isfinite(value) or value < 0 or (name == "lr" and value == 0):
                raise BadInput(f"{name} must be a positive number, got {value}")
        if not 0 <= self.warmup <= 1:
            raise BadInput(f"warmup is a share of the steps from 0 to 1, got {self.warmup}")
        if self.patience is not None and self.evaluate_every is None:
            raise BadInput("patience counts looks at the validation loss; give evaluate_every too")
        if self.merge and self.method != "lora":
            raise BadInput(f"only LoRA can be merged into a whole model, not {self.method!r}")

    @property
    def writes_adapter(self) -> bool:
        """Tell whether the result is an adapter folder instead of a whole model."""
        return self.method in ADDING_METHODS and not self.merge

    def _must_be_whole(self, least: int, *names: str) -> None:
        for name in names:
            value = getattr(self, name)
            if value is None and name in OPTIONAL:
                continue
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                raise BadInput(f"{name} must be a whole number of {least} or more, got {value!r}")


OPTIONAL: Sequence[str] = ("save_every", "evaluate_every", "patience", "record_dynamics")
