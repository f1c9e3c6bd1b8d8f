"""How far a region reaches: the distance from its centroid at which the loss passes a threshold."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import exp, inf, isfinite, log

import numpy as np
from jaxtyping import Float64

from weightscape.errors import BadInput
from weightscape.regions.generalized_loss import GeneralizedLoss
from weightscape.regions.groups import Group
from weightscape.regions.records import Radius, Ray

NEAREST = 0.25
"""The first step from the centroid, in mean distances of the members."""
STEPS = 10
"""Steps of a ray beside the centroid, evenly apart in log distance."""
POINTS = STEPS + 2
"""The most that a ray takes: the centroid, the steps, and one more where it crosses."""


@dataclass(frozen=True, slots=True)
class Limit:
    """The loss at which a region ends on a task, and by what rule."""

    threshold: float
    rule: str


def ray_distances(unit: float, reach: float) -> tuple[float, ...]:
    """Give the distances that are looked at: 0, then from `NEAREST` to `reach` times `unit`."""
    if not isfinite(reach) or reach <= NEAREST:
        raise BadInput(
            f"reach is in mean distances of the models, more than {NEAREST}; got {reach}"
        )
    return (0.0, *(unit * np.geomspace(NEAREST, reach, STEPS)).tolist())


@dataclass(frozen=True, slots=True)
class Target:
    """A point that a ray from the centroid goes through, by weights of all models, and its name."""

    name: str
    weights: Float64[np.ndarray, " N"]


def ray_targets(group: Group, rays: int, seed: int) -> tuple[Target, ...]:
    """Choose what to look towards: members, by chance where there are more than asked for.

    Where there are fewer, random points of their hull come after them ("between 1", ...): all
    directions of the space that the members span lead through its hull. Two members span a line,
    which has two directions. What is the centroid itself shows no way.
    """
    models = [Target(group.spanned.names[i], group.vertex(i)) for i in range(group.members)]
    able = [it for it in models if group.distance(it.weights) > 1e-9 * group.unit]
    if rays < len(able):
        chosen = np.random.default_rng(seed).choice(len(able), size=rays, replace=False)
        return tuple(able[i] for i in sorted(chosen))
    count = rays - len(able) if group.members > 2 else 0
    # another stream than the points of the hull that are scored themselves
    drawn = np.random.default_rng((seed, 1)).dirichlet(np.ones(group.members), size=count)
    between = [Target(f"between {i}", _padded(it, group)) for i, it in enumerate(drawn, 1)]
    return (*able, *(it for it in between if group.distance(it.weights) > 1e-9 * group.unit))


def _padded(shares: Float64[np.ndarray, " M"], group: Group) -> Float64[np.ndarray, " N"]:
    weights = np.zeros(len(group.centroid))
    weights[: len(shares)] = shares
    return weights


def find_radius(
    losses: GeneralizedLoss,
    task: int,
    targets: Sequence[Target],
    distances: Sequence[float],
    limit: Limit,
    *,
    level: float = 0.95,
    draws: int = 1000,
    seed: int = 0,
) -> Radius:
    """Follow rays from the centroid through targets until the loss has passed a threshold.

    The radius is the median over rays, those that do not cross counting as beyond all others; its
    interval is a bootstrap over rays.
    """
    rays = tuple(_ray(losses, task, target, distances, limit.threshold) for target in targets)
    crossings = np.array([inf if ray.crosses is None else ray.crosses for ray in rays])
    value, *interval = (inf, inf, inf) if not rays else _median_of(crossings, level, draws, seed)
    return Radius(
        task=losses.objectives[task].task.name,
        threshold=limit.threshold,
        threshold_rule=limit.rule,
        value=_seen(value),
        interval=(_seen(interval[0]), _seen(interval[1])),
        unit=losses.group.unit,
        rays=rays,
    )


def _ray(
    losses: GeneralizedLoss,
    task: int,
    target: Target,
    distances: Sequence[float],
    threshold: float,
) -> Ray:
    """Go outwards to one point beyond the crossing, and look once inside the step it is in."""
    group = losses.group
    centre = group.centroid
    way = (target.weights - centre) / group.distance(target.weights)
    towards = target.name

    def loss_at(distance: float) -> float | None:
        where = f"{distance:.4g} from the centroid towards {towards}"
        return losses.beyond(task, centre + distance * way, where)

    found: dict[float, float] = {}
    crosses: float | None = None
    left = len(distances) + 1
    for distance in distances:
        loss = loss_at(distance)
        left -= 1
        if loss is None:  # past any threshold
            if crosses is None and found:
                crosses = _between(max(found), distance, 0.5)
            break
        found[distance] = loss
        if crosses is not None:
            break
        crosses = crossing(found, threshold)
    if crosses is not None and 0 < crosses < max(found):
        before = max(distance for distance in found if distance <= crosses)
        after = min(distance for distance in found if distance >= crosses)
        middle = _between(before, after, 0.5)
        loss = loss_at(middle) if middle not in found else None
        left -= 1 if middle not in found else 0
        if loss is not None:
            found[middle] = loss
            crosses = crossing(found, threshold)
    losses.advance(left)
    ordered = sorted(found)
    return Ray(towards, tuple(ordered), tuple(found[it] for it in ordered), crosses)


def crossing(losses: Mapping[float, float], threshold: float) -> float | None:
    """Find where losses, by distance, first pass a threshold, by interpolation in log distance.

    From distance 0, which has no logarithm, it is in plain distance.

    >>> crossing({0.0: 0.0, 1.0: 0.0, 4.0: 2.0}, 1.0)
    2.0
    """
    ordered = sorted(losses.items())
    if ordered[0][1] >= threshold:
        return ordered[0][0]
    for (near, below), (far, loss) in pairwise(ordered):
        if loss >= threshold:
            return _between(near, far, (threshold - below) / (loss - below))
    return None


def mean_thresholds(outside: Float64[np.ndarray, "P T"], given: float | None) -> tuple[Limit, ...]:
    """Say for each task what loss ends the region: that given, or the mean of the group outside."""
    if given is not None:
        return tuple(Limit(given, "as given") for _ in range(outside.shape[1]))
    rule = "mean loss of the group outside"
    return tuple(Limit(float(loss), rule) for loss in outside.mean(axis=0).tolist())


def _between(low: float, high: float, share: float) -> float:
    if low <= 0:
        return share * high
    return exp(log(low) + share * (log(high) - log(low)))


def _median_of(
    crossings: Float64[np.ndarray, " R"], level: float, draws: int, seed: int
) -> tuple[float, float, float]:
    """Give the lower median, infinite where fewer than half are finite, and its interval."""
    generator = np.random.default_rng(seed)
    drawn = crossings[generator.integers(len(crossings), size=(draws, len(crossings)))]
    middle = (len(crossings) - 1) // 2
    tail = (1 - level) / 2
    low, high = np.quantile(
        np.sort(drawn, axis=1)[:, middle], (tail, 1 - tail), method="inverted_cdf"
    )
    return float(np.sort(crossings)[middle]), float(low), float(high)


def _seen(value: float) -> float | None:
    return value if isfinite(value) else None
