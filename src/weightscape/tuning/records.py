"""What a search of weights is made of: outcomes, trials, models, rivals, a result."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Float64

Weights = Float64[np.ndarray, " N"] | Float64[np.ndarray, "G N"]
"""One for each model of a span in its order, the first one's too; or so for each layer group."""

State = Literal["complete", "raced", "failed"]

Interval = tuple[float, float]
"""The lower and upper end of a confidence interval."""

Cosines = tuple[tuple[float, ...], ...]
"""Of every pair of models, row by row in their order."""


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
class Expert:
    """The base, fine-tuned on one source task; `made` by this call, or found made.

    name: of its folder. metrics: on the source's test split (its validation split without one).
    """

    name: str
    task: str
    folder: Path
    metrics: Mapping[str, float]
    made: bool


@dataclass(frozen=True, slots=True)
class Experts:
    """One expert for each source task, and how far apart they are.

    cosines [N, N]: of the experts' deltas from the base, heads left out. near_duplicates: pairs
    of names whose deltas point the same way.
    """

    base: str
    experts: tuple[Expert, ...]
    cosines: Cosines
    near_duplicates: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]
    seconds: float


@dataclass(frozen=True, slots=True)
class Adapted:
    """A model, fine-tuned on the target's rows; `made` by this call, or found made.

    name: of its folder, its parent's. metrics: on the target's test split (its validation split
    without one). head_drift: how far its head went from the shared start, as a share of that
    one's length; NaN where there is no such start.
    """

    name: str
    parent: str
    folder: Path
    metrics: Mapping[str, float]
    head_drift: float
    made: bool


@dataclass(frozen=True, slots=True)
class Adaptation:
    """Models that were fine-tuned on a target from one initial head, and how far apart they are.

    head: where the shared head came from, in words; empty where heads are the models' own.
    train_rows, dev_rows: how many rows were trained on, and kept apart to search weights on.
    cosines [N, N]: of the models' deltas from the base, heads left out; empty without a base.
    head_cosines [N, N]: of the heads' deltas from the shared start. head_spread: the mean distance
    between two heads, as a share of the length of that start; NaN without one.
    """

    task: str
    head: str
    models: tuple[Adapted, ...]
    train_rows: int
    dev_rows: int
    cosines: Cosines
    head_cosines: Cosines
    head_spread: float
    notes: tuple[str, ...]
    seconds: float


@dataclass(frozen=True, slots=True)
class Baseline:
    """Another way to a model for the task, from the same rows.

    loss, metrics: on the development rows; None and empty where it was fitted on those, too.
    held_out: metrics and "loss" on the test split; empty without one. Intervals are bootstrapped
    over rows, 95 %, of "loss" and of the task's first metric. weights: of models by name, where it
    is a blend with one weight a model. why: what was chosen in it.
    """

    name: str
    loss: float | None
    metrics: Mapping[str, float]
    held_out: Mapping[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    why: str = ""
    intervals: Mapping[str, Interval] = field(default_factory=dict)
    held_out_intervals: Mapping[str, Interval] = field(default_factory=dict)
    weights: Mapping[str, float] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class TuneResult:
    """The best blend that was found for a task, and how.

    metric: the task's first one. names: of the models, in the order of the weights.
    best: the chosen candidate; its loss is that on the rows it was chosen by.
    dev, held_out: metrics on all development rows, and on the test split, which nothing was chosen
    by; empty without a test split.
    evaluations: candidates that went through the network, raced ones among them.
    notes: what the reader ought to know (too few rows, a surrogate that did not hold, a baseline
    that cannot be had, ...).
    output: the folder that the blend was written to.
    intervals, held_out_intervals: as those of a `Baseline`. groups: what each row of weights is
    for, where layer groups have their own. experts, adaptation: of a run that made them.
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
    intervals: Mapping[str, Interval] = field(default_factory=dict)
    held_out_intervals: Mapping[str, Interval] = field(default_factory=dict)
    groups: tuple[str, ...] = ()
    experts: Experts | None = None
    adaptation: Adaptation | None = None
