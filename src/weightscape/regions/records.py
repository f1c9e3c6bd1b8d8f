"""What a group of models was found to span; plain data, ready to be shown."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

GroupName = Literal["in", "hull", "ex"]
"""The paper's In (the models), In' (points of their convex hull) and Ex (outside)."""
Interval = tuple[float, float]
"""The lower and upper end of a confidence interval."""


@dataclass(frozen=True, slots=True)
class PointLoss:
    """How good a point is for a task, its head refitted: the generalized loss, held out.

    interval: over held-out rows. metrics: of the refitted head, by name.
    """

    loss: float
    interval: Interval
    metrics: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class RegionPoint:
    """A model or a point between models, scored on every task.

    weights: over the models by name, sum 1; empty for what is no combination of them (noise).
    distance: from the centroid of the group In (L2 over the spanned tensors).
    """

    name: str
    group: GroupName
    weights: Mapping[str, float]
    distance: float
    scores: Mapping[str, PointLoss]


@dataclass(frozen=True, slots=True)
class Dominance:
    """P_B(better over worse): how often a random point of one group has the smaller loss.

    Ties count a half. task: a task's name, or None for the mean over all tasks. interval: from a
    bootstrap over the points of both groups, and over the tasks in the mean.
    """

    better: GroupName
    worse: GroupName
    task: str | None
    value: float
    interval: Interval


@dataclass(frozen=True, slots=True)
class Ray:
    """Losses along a ray from the centroid, out to one point beyond where it crosses.

    towards: the member that it goes through, or "between 1", ... for random points of the hull.
    distances: L2 from the centroid. crosses: where the loss first passes the threshold (0 for the
    centroid itself), None if it does not as far as was looked.
    """

    towards: str
    distances: tuple[float, ...]
    losses: tuple[float, ...]
    crosses: float | None


@dataclass(frozen=True, slots=True)
class Radius:
    """Where a region ends for a task: the distance at which the loss passes a threshold.

    value: lower median over rays; None where fewer than half cross. interval: bootstrap over
    rays; an end is None where it lies beyond what was looked at. unit: mean distance of the
    models from their centroid, to read the radius against. threshold_rule: in words.
    """

    task: str
    threshold: float
    threshold_rule: str
    value: float | None
    interval: tuple[float | None, float | None]
    unit: float
    rays: tuple[Ray, ...]


@dataclass(frozen=True, slots=True)
class PairProfile:
    """Losses on the line through two models, inside and beyond: theta(a) = (1 - a) one + a other.

    relation: "in" (both of the group) or "across" (one of the group, one from outside).
    losses: by task; NaN where nothing finite came out.
    """

    one: str
    other: str
    relation: Literal["in", "across"]
    alphas: tuple[float, ...]
    losses: Mapping[str, tuple[float, ...]]


@dataclass(frozen=True, slots=True)
class HullPlace:
    """Where a model lies as seen from the hull of others, from weights alone.

    place: "in the hull", "near" (no further than members are from the hull of the others) or
    "outside". distance: to the hull (L2); typical: the members' own distances, each from the hull
    of the others, their median and highest. weights: of the hull's nearest point.
    """

    name: str
    place: Literal["in the hull", "near", "outside"]
    distance: float
    typical: tuple[float, float]
    weights: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class RegionResult:
    """A group of models as a region: how good the models are, their hull, and what is outside.

    label: of the region in the atlas, or None. outside: what the group Ex is made of ("models",
    "noise around the base", "directions from the centroid"). base: its name, if one was given.
    centroid: of the group "hull", and not among the points. dominances: all ordered pairs of
    groups, for each task and then for None, the mean over tasks (with one task that task's own).
    rows, train_rows: held-out rows that losses are means over and training rows that heads were
    fitted on, of the task with the fewest. evaluated: points that were computed in this run and
    not known before, counted once for each task.
    """

    label: str | None
    models: tuple[str, ...]
    outside: str
    base: str | None
    tasks: tuple[str, ...]
    sampler: str
    centroid: RegionPoint
    points: tuple[RegionPoint, ...]
    dominances: tuple[Dominance, ...]
    radii: tuple[Radius, ...]
    pairs: tuple[PairProfile, ...]
    places: tuple[HullPlace, ...]
    rows: int
    train_rows: int
    evaluated: int
    seconds: float
    notes: tuple[str, ...] = ()
