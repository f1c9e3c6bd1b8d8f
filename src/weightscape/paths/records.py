"""What a path or a plane between models was found to be; plain data, ready to be shown."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Verdict = Literal["connected", "not connected", "cannot tell"]
CurveName = Literal["line", "bezier", "chain"]
Interval = tuple[float, float]
"""The lower and upper end of a confidence interval."""


@dataclass(frozen=True, slots=True)
class PathPoint:
    """A model on the path, scored.

    t: where on the path it lies, 0 at the first end and 1 at the second.
    weights: its weights over the curve's control points (first end, bends, second end), sum 1.
    loss, metrics: on held-out rows, each with its own bootstrap interval; train_loss,
    train_metrics: on training rows.
    chord: the straight line between the ends' held-out losses, at t.
    validation_loss: on validation rows; None where the task has none, and at points that are too
    far from the lowest to be the best.
    length: of the path from the first end up to here (L2).
    """

    t: float
    weights: tuple[float, ...]
    loss: float
    loss_interval: Interval
    train_loss: float
    train_loss_interval: Interval
    metrics: Mapping[str, float]
    metric_intervals: Mapping[str, Interval]
    train_metrics: Mapping[str, float]
    chord: float
    validation_loss: float | None
    length: float


@dataclass(frozen=True, slots=True)
class Barrier:
    """How far the held-out loss rises above the chord, max over t of L(t) - chord(t), >= 0.

    interval: from a band that holds the rise at all points at once, so that looking for the
    highest of many noisy points makes it neither too high nor too sure of itself.
    at: the t of the highest rise (0 where nothing rises).
    threshold: the rise up to which models count as connected; threshold_rule says where it is
    from, in words.
    """

    height: float
    interval: Interval
    at: float
    threshold: float
    threshold_rule: str
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class MetricDrop:
    """How far a metric falls below the worse end somewhere on the path, >= 0."""

    metric: str
    height: float
    interval: Interval
    at: float


@dataclass(frozen=True, slots=True)
class BestPoint:
    """The best model on the path: chosen on other rows than those it is scored on.

    chosen_on: the split whose loss chose it.
    gain: held-out loss of the better end (by the choosing split as well) minus its own, paired by
    row; metric_gain: the same of the first metric, positive when the point is better.
    beats_both: whether it is no end and its loss is lower than that of each end beyond noise.
    """

    t: float
    chosen_on: Literal["validation", "train"]
    loss: float
    metrics: Mapping[str, float]
    gain: float
    gain_interval: Interval
    metric_gain: float
    metric_gain_interval: Interval
    beats_both: bool


@dataclass(frozen=True, slots=True)
class Knowledge:
    """What is answered rightly where: examples x points of one split.

    rows [n]: the examples' row numbers.
    correct [points, n]: 1 right, 0 wrong; NaN where answers are not right or wrong.
    gold_probabilities [points, n]: of the right answer; NaN where there is no such thing.
    forgotten, gained: for each point the row numbers that were right at the point before it and
    are wrong at it, and the reverse; empty for the first point.
    """

    split: Literal["train", "test"]
    rows: NDArray[np.int64]
    correct: NDArray[np.float64]
    gold_probabilities: NDArray[np.float64]
    forgotten: tuple[tuple[int, ...], ...]
    gained: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True)
class Traits:
    """Mean cartography of some examples (Swayamdipta et al. 2020); NaN where there is none.

    confidence: mean probability of the right answer while the model was trained; variability:
    its standard deviation; flips: how often right turned to wrong or back.
    """

    examples: int
    confidence: float
    variability: float
    flips: float


@dataclass(frozen=True, slots=True)
class Forgetting:
    """Which training examples are forgotten along the path, by how the end was trained.

    forgotten: for each point, the traits of those newly forgotten there; rest: of those that are
    never forgotten.
    auc: how well low confidence tells examples that are forgotten before half of the path from
    other examples that the first end knows; 0.5 is chance, NaN without both kinds.
    dynamics: where the training dynamics are from.
    """

    forgotten: tuple[Traits, ...]
    rest: Traits
    auc: float
    auc_interval: Interval
    dynamics: str


@dataclass(frozen=True, slots=True)
class Ends:
    """How far apart the ends are in the tensors that the path moves and those they share.

    l2_per_parameter: L2 over the square root of the number of parameters.
    cosine: of the raw weights; delta_cosine: of what each learned beyond `base`, if one was given.
    """

    names: tuple[str, str]
    l2: float
    l2_per_parameter: float
    cosine: float
    delta_cosine: float | None
    base: str | None
    parameters: int
    moving_parameters: int


@dataclass(frozen=True, slots=True)
class BendsTrained:
    """How the bends of a curve came to be.

    losses [steps]: of the training batches. validation [(step, loss)]: what chose the step.
    chosen_step: 0 when the initial bends were best. folders: the checkpoints of the bends, if
    they were written. arguments: of the training.
    """

    losses: NDArray[np.float64]
    validation: tuple[tuple[int, float], ...]
    chosen_step: int
    folders: tuple[str, ...]
    arguments: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Series:
    """One task followed along the path.

    chance_loss: the held-out loss of answering by the training rows' label shares (a regression:
    by their mean); None where there is no such thing. chance_ends: ends no better than that.
    loss_rows, train_rows: how many held-out and training rows were scored; rows_there: how many
    held-out rows the task has.
    """

    task: str
    labels: tuple[str, ...]
    points: tuple[PathPoint, ...]
    barrier: Barrier
    metric_drop: MetricDrop | None
    best: BestPoint
    held_out: Knowledge
    train: Knowledge
    forgetting: Forgetting | None
    chance_loss: float | None
    chance_ends: tuple[str, ...]
    loss_rows: int
    train_rows: int
    rows_there: int


@dataclass(frozen=True, slots=True)
class PathResult:
    """A path between two models and what was found along it.

    head: "own" (the ends' heads were interpolated with the rest), "probe" (a linear probe was
    refitted at every point on training rows), or the name of the model whose head was used
    everywhere.
    head_reason: why a probe was taken where that was left open ("auto"), else empty.
    space: "factor" when adapters' factors were interpolated, "product" for whole weights.
    series: one a task, in the order given; the first one's task is what bends are trained on.
    """

    ends: Ends
    curve: CurveName
    bends: int
    head: str
    space: Literal["factor", "product"]
    length: float
    series: tuple[Series, ...]
    training: BendsTrained | None
    seconds: float
    head_reason: str = ""

    @property
    def points(self) -> tuple[PathPoint, ...]:
        """Give the points, scored on the first task."""
        return self.series[0].points

    @property
    def barrier(self) -> Barrier:
        """Give the barrier on the first task."""
        return self.series[0].barrier


@dataclass(frozen=True, slots=True)
class PlaneResult:
    """The loss over the plane through three models.

    x [width], y [height]: grid coordinates along the orthonormal axes of Garipov et al. 2018:
    u runs from the first model to the second, v is the rest of the third beyond u; in units of
    the L2 distance between models.
    positions [3, 2]: the models' coordinates; the first is (0, 0), the second (|B - A|, 0).
    losses, train_losses [height, width]; metrics, train_metrics: of the same shape, by name.
    ends_loss [3], ends_metrics: the models' own scores on the same rows.
    head, head_reason: as of a path. loss_unit: "nats", "squared" (of numbers), or empty.
    """

    names: tuple[str, str, str]
    task: str
    head: str
    space: Literal["factor", "product"]
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    positions: NDArray[np.float64]
    losses: NDArray[np.float64]
    train_losses: NDArray[np.float64]
    metrics: Mapping[str, NDArray[np.float64]]
    train_metrics: Mapping[str, NDArray[np.float64]]
    ends_loss: tuple[float, float, float]
    ends_metrics: Mapping[str, tuple[float, float, float]]
    chance_loss: float | None
    loss_rows: int
    train_rows: int
    seconds: float
    head_reason: str = ""
    loss_unit: str = "nats"
