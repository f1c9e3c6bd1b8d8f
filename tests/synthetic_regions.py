"""Regions and starting points made up from a seed: no model is run, the numbers hang together."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from weightscape.regions.records import (
    Dominance,
    GroupName,
    HullPlace,
    PairProfile,
    PointLoss,
    Radius,
    Ray,
    RegionPoint,
    RegionResult,
)
from weightscape.starts.records import Candidate, RankedStart, Run, StartResult

GROUPS: tuple[GroupName, ...] = ("in", "hull", "ex")
UNIT = 3.1


def synthetic_region(
    names: tuple[str, ...] = ("imdb-s0", "imdb-s1", "imdb-s2", "imdb-s3"),
    *,
    tasks: tuple[str, ...] = ("sst2",),
    outside: str = "models",
    good: bool = True,
    radius: float | None = 2.1,
    label: str | None = None,
    rays: int = 6,
    pairs: int = 6,
    samples: int = 10,
    seed: int = 0,
) -> RegionResult:
    """Make up a region whose losses rise from the centroid outwards (or fall, if it is no good)."""
    rng = np.random.default_rng(seed)
    points = _points(names, tasks, outside, good, samples, rng)
    return RegionResult(
        label=label,
        models=names,
        outside=outside,
        base=None if outside == "directions from the centroid" else "base",
        tasks=tasks,
        sampler="dirichlet",
        centroid=_point("centroid", "hull", dict.fromkeys(names, 1 / len(names)), 0, tasks, 0.4),
        points=points,
        dominances=_dominances(points, tasks),
        radii=tuple(_radius(task, names, rays, radius, rng) for task in tasks) if rays else (),
        pairs=_pairs(names, points, tasks, pairs, rng),
        places=(
            HullPlace("imdb-s9", "near", 1.9, (2.2, 2.6), {names[0]: 0.7, names[1]: 0.3}),
            HullPlace("soup", "in the hull", 0.0, (2.2, 2.6), dict.fromkeys(names, 0.25)),
        ),
        rows=256,
        train_rows=256,
        evaluated=140,
        seconds=61.0,
        notes=(),
    )


def _point(
    name: str,
    group: GroupName,
    weights: dict[str, float],
    distance: float,
    tasks: tuple[str, ...],
    loss: float,
) -> RegionPoint:
    scores = {
        task: PointLoss(
            loss * (1 + 0.3 * i),
            (loss * (1 + 0.3 * i) - 0.05, loss * (1 + 0.3 * i) + 0.06),
            {"accuracy": 1 - loss / 3},
        )
        for i, task in enumerate(tasks)
    }
    return RegionPoint(name, group, weights, distance, scores)


def _points(
    names: tuple[str, ...],
    tasks: tuple[str, ...],
    outside: str,
    good: bool,
    samples: int,
    rng: np.random.Generator,
) -> tuple[RegionPoint, ...]:
    def loss(inside: bool, distance: float) -> float:
        return (0.42 if inside == good else 0.66) + 0.02 * distance + float(rng.normal(0, 0.02))

    found = []
    for name in names:
        distance = UNIT * float(rng.uniform(0.9, 1.1))
        found.append(_point(name, "in", {name: 1.0}, distance, tasks, loss(True, distance)))
    for i in range(samples):
        shares = rng.dirichlet(np.ones(len(names)))
        distance = UNIT * float(np.linalg.norm(shares))
        weights = dict(zip(names, map(float, shares), strict=True))
        found.append(_point(f"hull-{i}", "hull", weights, distance, tasks, loss(True, distance)))
    for i in range(6):
        distance = UNIT * float(rng.uniform(1.2, 1.8))
        name = f"trec-s{i}" if outside == "models" else f"{outside.split()[0]} {i}"
        weights = {name: 1.0} if outside == "models" else {}
        found.append(_point(name, "ex", weights, distance, tasks, loss(False, distance)))
    return tuple(found)


def _dominances(points: tuple[RegionPoint, ...], tasks: tuple[str, ...]) -> tuple[Dominance, ...]:
    found = []
    for better in GROUPS:
        for worse in GROUPS:
            if better == worse:
                continue
            each = []
            for task in tasks:
                ours = [it.scores[task].loss for it in points if it.group == better]
                theirs = [it.scores[task].loss for it in points if it.group == worse]
                each.append(float(np.mean([a < b for a in ours for b in theirs])))
                found.append(_dominance(better, worse, task, each[-1]))
            found.append(_dominance(better, worse, None, float(np.mean(each))))
    return tuple(found)


def _dominance(better: GroupName, worse: GroupName, task: str | None, value: float) -> Dominance:
    ends = (max(0.0, value - 0.08), min(1.0, value + 0.06))
    return Dominance(better, worse, task, value, ends)


def _radius(
    task: str, names: tuple[str, ...], rays: int, radius: float | None, rng: np.random.Generator
) -> Radius:
    threshold = 0.7
    steps = np.concatenate([[0], np.geomspace(0.25, 4.0, 9)]) * UNIT
    slope = 0.3 / ((radius or 20.0) * UNIT) ** 2
    made = []
    for i in range(rays):
        losses = 0.4 + slope * float(rng.uniform(0.8, 1.3)) * steps**2
        above = np.flatnonzero(losses > threshold)
        crosses = float(np.interp(threshold, losses, steps)) if len(above) else None
        shown = slice(0, int(above[0]) + 2) if len(above) else slice(None)
        made.append(
            Ray(
                names[i % len(names)],
                tuple(map(float, steps[shown])),
                tuple(map(float, losses[shown])),
                crosses,
            )
        )
    ends = [it.crosses for it in made if it.crosses is not None]
    if radius is None:
        return Radius(task, threshold, "mean loss outside", None, (None, None), UNIT, tuple(made))
    found = float(np.median(ends))
    spread = (float(min(ends)), float(max(ends)))
    return Radius(task, threshold, "mean loss outside", found, spread, UNIT, tuple(made))


def _pairs(
    names: tuple[str, ...],
    points: tuple[RegionPoint, ...],
    tasks: tuple[str, ...],
    count: int,
    rng: np.random.Generator,
) -> tuple[PairProfile, ...]:
    alphas = np.concatenate([-np.geomspace(1, 32, 10)[::-1] + 1, np.linspace(0.1, 0.9, 5)])
    alphas = np.unique(np.concatenate([alphas, np.geomspace(1, 32, 10)]))
    found = []
    for i in range(count):
        out = np.maximum(0, np.maximum(-alphas, alphas - 1))
        high = 0.3 * np.log1p(out) + 0.42 + float(rng.normal(0, 0.02))
        one, other = names[i % len(names)], names[(i + 1) % len(names)]
        found.append(_pair(one, other, "in", alphas, high, tasks))
        rise = high + np.where(alphas > 0.5, 0.2, 0.1) * (alphas > 0)
        found.append(_pair(one, f"trec-s{i}", "across", alphas, rise, tasks))
    return tuple(found)


def _pair(
    one: str,
    other: str,
    relation: str,
    alphas: np.ndarray,
    losses: np.ndarray,
    tasks: tuple[str, ...],
) -> PairProfile:
    each = {task: tuple(map(float, losses * (1 + 0.3 * i))) for i, task in enumerate(tasks)}
    return PairProfile(one, other, relation, tuple(map(float, alphas)), each)  # type: ignore[arg-type]


def synthetic_start(
    *, beats: bool = True, models: int = 8, finalists: int = 4, test: bool = True, seed: int = 0
) -> StartResult:
    """Make up ranked starts; the centre of a region is best, or nothing is beyond noise."""
    rng = np.random.default_rng(seed)
    best = "centroid of region:imdb-s0"
    pool = [
        Candidate(best, "region", {"imdb-s0": 0.5, "imdb-s1": 0.5}, "mean of the 2 models of it"),
        Candidate("centroid", "centroid", {"imdb-s0": 0.2, "trec-s0": 0.8}, "mean of all"),
        Candidate("greedy soup", "greedy soup", {"imdb-s0": 1.0}, "added while the loss fell"),
        Candidate("base", "base", {"base": 1.0}, "the pretrained model"),
    ] + [Candidate(f"trec-s{i}", "model", {f"trec-s{i}": 1.0}, "as it is") for i in range(models)]
    lift = (0.06, 0.03, 0.02, 0.0) if beats else (0.004, 0.002, -0.01, 0.0)
    seeds = 5
    noise = rng.normal(0, 0.012, (seeds, len(pool)))
    scores = np.array([0.74 + (lift[i] if i < 4 else -0.02) for i in range(len(pool))]) + noise
    ranked = []
    for i, candidate in enumerate(pool):
        count = (
            0 if i >= finalists and candidate.kind != "base" else seeds if i < 2 or i == 3 else 1
        )
        ranked.append(_ranked(candidate, i, scores[:count, i], scores[:count, 3], best, test))
    why = (
        f"start from the {best}: +6.0 points over the base on your data (+4.1 to +7.9; 5 runs)"
        if beats
        else "nothing beats the base beyond noise: start from the base"
    )
    return StartResult(
        task="mine",
        metric="accuracy",
        method="bitfit",
        train_rows=100,
        ranked=tuple(ranked),
        recommended=best if beats else "base",
        beats_base=beats,
        why=why,
        output=Path("/out/start") if beats else None,
        rounds=2,
        runs=sum(len(it.runs) for it in ranked),
        seconds=240.0,
        notes=(),
    )


def _ranked(
    candidate: Candidate,
    place: int,
    scores: np.ndarray,
    base: np.ndarray,
    best: str,
    test: bool,
) -> RankedStart:
    runs = tuple(
        Run(seed, 0, 60, float(1.4 - value), {"accuracy": float(value)})
        for seed, value in enumerate(scores)
    )
    score = float(scores.mean()) if len(scores) else None
    gain = float((scores - base).mean()) if len(scores) else None
    shown = test and candidate.name in (best, "centroid", "base")
    return RankedStart(
        candidate=candidate,
        probe_loss=0.5 + 0.02 * place,
        probe_interval=(0.46 + 0.02 * place, 0.55 + 0.02 * place),
        runs=runs,
        score=score,
        score_interval=None if score is None else (score - 0.015, score + 0.016),
        gain=gain,
        gain_interval=None if gain is None else (gain - 0.019, gain + 0.02),
        dropped_in=1 if len(scores) == 1 else None,
        held_out={"accuracy": 0.79 - 0.02 * place} if shown else {},
    )


def without_finite_losses(result: RegionResult) -> RegionResult:
    """Give a region whose losses are all NaN, as a broken model's are."""
    nan = float("nan")

    def broken(point: RegionPoint) -> RegionPoint:
        scores = {
            task: replace(it, loss=nan, interval=(nan, nan)) for task, it in point.scores.items()
        }
        return replace(point, scores=scores)

    return replace(result, points=tuple(map(broken, result.points)))
