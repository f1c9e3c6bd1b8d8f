"""What was found of starting points; plain data, ready to be shown."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Interval = tuple[float, float]
"""The lower and upper end of a confidence interval."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A model that training could start from.

    kind: the name it is registered under ("base", "model", "centroid", "region", "nearest",
    "greedy soup", "model stock", ...). weights: over the models by name, the base among them,
    sum 1; where tensors have their own (Model Stock), their mean. why: in words, where it is from.
    """

    name: str
    kind: str
    weights: Mapping[str, float]
    why: str


@dataclass(frozen=True, slots=True)
class Run:
    """One short fine-tuning: its seed, its fold of the user's rows, its steps, and its scores on
    rows that it did not see."""

    seed: int
    fold: int
    steps: int
    loss: float
    metrics: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class RankedStart:
    """A candidate and what is known of it, best first.

    probe_loss: of a linear probe, cross-validated on the user's rows. runs: short fine-tunings.
    score: mean of the first metric over its runs, None for a candidate that was given no run.
    gain: over the base, paired by seed and fold, in the metric's units (higher is better).
    dropped_in: the round of halving after which it was dropped; None for those that were left.
    held_out: metrics on the test split after fine-tuning on all the user's rows, mean over seeds;
    empty where the task has no test split. Never used to choose.
    """

    candidate: Candidate
    probe_loss: float
    probe_interval: Interval
    runs: tuple[Run, ...]
    score: float | None
    score_interval: Interval | None
    gain: float | None
    gain_interval: Interval | None
    dropped_in: int | None
    held_out: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class StartResult:
    """Starting points for a task, ranked; and the one to take.

    beats_base: whether the recommended one is better than the base beyond noise. why: the
    recommendation in a sentence. output: the folder it was written to, or None. precision: what
    short runs computed in.
    """

    task: str
    metric: str
    method: str
    train_rows: int
    ranked: tuple[RankedStart, ...]
    recommended: str
    beats_base: bool
    why: str
    output: Path | None
    rounds: int
    runs: int
    seconds: float
    notes: tuple[str, ...] = ()
    precision: Literal["float32", "bfloat16"] = "float32"
