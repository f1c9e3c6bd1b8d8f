"""How an expert is trained."""

from dataclasses import dataclass
from typing import Literal

from weightscape.errors import BadInput
from weightscape.probing.heads import TextLoss

Way = Literal["left-out", "descent"]

_COUNTS = ("probes", "projection", "width", "batch_size", "epochs", "patience", "every")


@dataclass(frozen=True, slots=True)
class ProbeTraining:
    """Settings of one training.

    way: "left-out" learns the probes through ridge regressions (see `leave_one_out`), "descent"
    everything by descent on the training models' loss, as in the paper. relu: without it, ProbeX is
    a linear map of low rank. centre: take the tree's mean off first. sized: bring each model to one
    size by itself. share, reduce_to: the subspaces that are read, None for the whole layer (see
    `reduction`). width: of a model's vector.

    Of "left-out": steps at most, probe_rate of each, step_patience: steps without a better score
    on the validation models before it stops; there are as many probes as the subspaces are wide.

    Of "descent": probes, projection: sizes of ProbeX. learning_rate, weight_decay, batch_size: of
    AdamW; the rate falls along a cosine. smoothing: of the average over steps that is kept as the
    expert. epochs, patience: as steps. every: epochs between two looks at the validation models.

    text_loss: see `heads.TextLoss`. text_weight: of the text head's loss beside that of the
    classes, where both are learned together.
    """

    way: Way = "left-out"
    probes: int = 128
    projection: int = 128
    width: int = 128
    relu: bool = True
    centre: bool = True
    sized: bool = True
    share: float = 0.999
    reduce_to: int | None = 96
    steps: int = 40
    probe_rate: float = 0.01
    step_patience: int = 12
    learning_rate: float = 1e-3
    weight_decay: float = 1e-5
    batch_size: int = 128
    smoothing: float = 0.9
    epochs: int = 200
    patience: int = 60
    every: int = 5
    text_loss: TextLoss = "auto"
    text_weight: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.way not in ("left-out", "descent"):
            raise BadInput(f"way must be left-out or descent, got {self.way!r}")
        for name in _COUNTS:
            if getattr(self, name) < 1:
                raise BadInput(f"{name} must be 1 or more, got {getattr(self, name)}")
        if self.steps < 0 or self.step_patience < 1 or self.probe_rate <= 0:
            raise BadInput("steps must be 0 or more, step_patience 1, probe_rate above 0")
        if self.learning_rate <= 0 or self.weight_decay < 0 or self.text_weight < 0:
            raise BadInput("learning_rate must be above 0, weight_decay and text_weight not below")
        if not 0 <= self.smoothing < 1:
            raise BadInput(f"smoothing must be at least 0 and below 1, got {self.smoothing}")
        if not 0 < self.share <= 1 or (self.reduce_to is not None and self.reduce_to < 1):
            raise BadInput("share must be above 0 and at most 1, reduce_to 1 or more or None")
        if self.text_loss not in ("auto", "labels", "classes", "contrastive"):
            raise BadInput(
                f"text_loss must be auto, labels, classes or contrastive, got {self.text_loss!r}"
            )
