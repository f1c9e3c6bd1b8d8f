"""How an expert is trained."""

from dataclasses import dataclass

from weightscape.errors import BadInput
from weightscape.probing.heads import TextLoss


@dataclass(frozen=True, slots=True)
class ProbeTraining:
    """Settings of one training.

    probes, projection, width: sizes of ProbeX. relu: without it, ProbeX is a linear map of low
    rank. centre: take the tree's mean off first. share, reduce_to: the subspaces that are read,
    None for the whole layer (see `reduction`). learning_rate, weight_decay, batch_size: of AdamW;
    the rate falls along a cosine. dropout: of the probes' answers. smoothing: of the average over
    steps that is kept as the expert. epochs: at most; patience: epochs without a better score on
    the validation models before it stops; every: epochs between two looks at them. text_loss: see
    `heads.TextLoss`. text_weight: of the text head's loss beside that of the classes.
    """

    probes: int = 128
    projection: int = 128
    width: int = 128
    relu: bool = True
    centre: bool = True
    share: float = 0.999
    reduce_to: int | None = 128
    learning_rate: float = 1e-3
    weight_decay: float = 1e-5
    batch_size: int = 128
    dropout: float = 0.0
    smoothing: float = 0.9
    epochs: int = 200
    patience: int = 60
    every: int = 5
    text_loss: TextLoss = "auto"
    text_weight: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("probes", "projection", "width", "batch_size", "epochs", "patience", "every"):
            if getattr(self, name) < 1:
                raise BadInput(f"{name} must be 1 or more, got {getattr(self, name)}")
        if self.learning_rate <= 0 or self.weight_decay < 0 or self.text_weight < 0:
            raise BadInput("learning_rate must be above 0, weight_decay and text_weight not below")
        if not 0 <= self.dropout < 1 or not 0 <= self.smoothing < 1:
            raise BadInput("dropout and smoothing must be at least 0 and below 1")
        if not 0 < self.share <= 1 or (self.reduce_to is not None and self.reduce_to < 1):
            raise BadInput("share must be above 0 and at most 1, reduce_to 1 or more or None")
        if self.text_loss not in ("auto", "labels", "classes", "contrastive"):
            raise BadInput(
                f"text_loss must be auto, labels, classes or contrastive, got {self.text_loss!r}"
            )
