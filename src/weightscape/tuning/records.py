"""What a search of weights is made of: outcomes, trials, rival blends, and a result."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Float64

Weights = Float64[np.ndarray, " N"] | Float64[np.ndarray, "G N"]
"""One for each model of a span in its order, the first one's too; or so for each layer group."""

State = Literal["complete", "raced", "failed"]


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """What evaluating one candidate gave.

    loss: the mean over the development rows, and the search space's penalty where it has one.
    With state "raced" the candidate was stopped early, and it is an estimate: the incumbent's loss
    and the mean difference to it on the rows read. With "failed" it is infinite.
    rows: how many development rows were read. gradient: of the loss by the weights, in their shape.
    error: why it failed.
    """

    loss: float
    rows: int
    state: State = "complete"
    gradient: Weights | None = None
    error: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Trial:
    """One candidate of a search; `loss`, `rows`, `state` and `error` as in `Outcome`.

    number: from 0, in the order in which candidates were asked for.
    """

    number: int
    weights: Weights
    loss: float
    rows: int
    state: State
    seconds: float
    error: str = ""


@dataclass(frozen=True, slots=True)
class Baseline:
    """Another way to a model for the task, on the same rows.

    loss, metrics: on the development rows. held_out: metrics on the test split; empty where it was
    not evaluated. why: what was chosen in it, or why it could not be made.
    """

    name: str
    loss: float
    metrics: Mapping[str, float]
    held_out: Mapping[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    why: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class TuneResult:
    """The best blend that was found for a task, and how.

    metric: the task's first one. names: of the models, in the order of the weights.
    best: the chosen candidate; its loss is that on the rows it was chosen by.
    dev, held_out: metrics on all development rows, and on the test split, which nothing was chosen
    by; empty without a test split.
    evaluations: candidates that went through the network, raced ones among them.
    notes: what the reader ought to know (too few rows, a surrogate that did not hold, ...).
    output: the folder that the blend was written to.
    """

    task: str
    metric: str
    names: tuple[str, ...]
    best: Trial
    dev: Mapping[str, float]
    held_out: Mapping[str, float]
    baselines: tuple[Baseline, ...]
    trials: tuple[Trial, ...]
    sampler: str
    space: str
    evaluations: int
    seconds: float
    notes: tuple[str, ...] = ()
    output: Path | None = None
