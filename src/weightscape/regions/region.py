"""Measuring what a group of models spans: is there a region of good models, and where does it end?

Gueta et al. 2023, "Knowledge is a Region in Weight Space for Fine-tuned Language Models"
(arXiv:2302.04863).
"""

from collections.abc import Callable, Sequence
from math import isfinite, isnan
from pathlib import Path
from time import perf_counter
from typing import Any

from weightscape.errors import BadInput
from weightscape.progress import Progress, silent
from weightscape.regions.dominance import dominances
from weightscape.regions.generalized_loss import GeneralizedLoss, check_probed
from weightscape.regions.groups import open_group
from weightscape.regions.hull_places import place_all, place_caution
from weightscape.regions.noise import WORDS, NoiseName
from weightscape.regions.pairs import ALPHAS, choose_pairs, follow_pairs
from weightscape.regions.reach import (
    POINTS,
    find_radius,
    mean_thresholds,
    ray_distances,
    ray_targets,
)
from weightscape.regions.records import HullPlace, PairProfile, Radius, RegionResult
from weightscape.regions.samplers import DEFAULT_SAMPLER, SAMPLERS, sample_hull
from weightscape.regions.scored_points import ScoredPoints
from weightscape.tasks.batches import sample_rows
from weightscape.tasks.label_order import Source
from weightscape.tasks.live import LiveModel
from weightscape.tasks.objective import Objective, Scoring
from weightscape.tasks.spanning import Space
from weightscape.tasks.task import Task


def region(
    models: Sequence[Source],
    tasks: Task | Sequence[Task],
    *,
    outside: Sequence[Source] | NoiseName = (),
    base: Source | None = None,
    sampler: str = DEFAULT_SAMPLER,
    samples: int = 10,
    noise_samples: int = 5,
    rays: int = 6,
    reach: float = 32.0,
    pairs: int = 2,
    threshold: float | None = None,
    place: Sequence[Source] = (),
    on_places: Callable[[Sequence[HullPlace]], object] | None = None,
    space: Space = "product",
    scoring: Scoring = Scoring(),
    label: str | None = None,
    level: float = 0.95,
    draws: int = 1000,
    seed: int = 0,
    folder: str | Path | None = None,
    progress: Progress = silent,
    **loading: Any,
) -> RegionResult:
    """Score a group of models, points of their hull, and what lies outside, on tasks.

    models: the group In. outside: models of the group Ex; or "noise" (around `base`, as long as
    the models' differences from it) or "directions" (random ones from the centroid, as long as
    the models'), `noise_samples` of them, which is the default with and without a base.
    sampler, samples: how points of the hull (In') are drawn, and how many.
    rays, reach: from the centroid through `rays` members, and through random points of their hull
    where there are fewer, out to `reach` times the members' mean distance from it, for the radius
    at which a task's loss passes `threshold` (by default the mean loss of Ex). A ray ends one
    point beyond.
    pairs: lines through so many pairs of members, and of members with models outside; each is 23
    points, most of them far beyond the models.
    place: models that are only placed as seen from the hull, by their weights. on_places: is
    called with where they lie, before anything is evaluated.
    space: as in `open_span`, for adapters. loading: `names`, by source, that models are to be
    called, and the options of `load_model`.
    folder: where evaluations are kept, so that nothing is computed twice.

    Raises BadInput for a single model, a task with one class or with labels missing in the
    training rows, noise without a base; UnknownName for a sampler; MismatchedModels for models of
    different families.
    """
    began = perf_counter()
    tasks = (tasks,) if isinstance(tasks, Task) else tuple(tasks)
    kind, others = _outside(outside, base)
    SAMPLERS[sampler]  # refused before anything is loaded, as all below
    _check_numbers(samples, noise_samples, rays, pairs, threshold)
    _check_tasks(tasks, scoring)
    ray_distances(1.0, reach)
    group = open_group(
        models, tasks, outside=others, base=base, place=place, space=space, progress=progress,
        **loading,
    )  # fmt: skip
    names, members = group.spanned.names, range(group.members)
    places = place_all(group.gram, names, members, group.placed)
    if on_places is not None and places:
        on_places(places)
    keep = None if folder is None else Path(folder) / "points"
    objectives = [Objective(group.spanned, task, scoring, folder=keep) for task in tasks]
    hull = sample_hull(sampler, samples, group.members, seed)
    targets = ray_targets(group, rays, seed)
    distances = ray_distances(group.unit, reach)
    lines = choose_pairs(group, pairs, seed)
    drawing: dict[str, Any] = {"level": level, "draws": draws, "seed": seed}
    single = group.members + samples + 1 + (len(others) if kind is None else noise_samples)
    many = single + len(targets) * POINTS + len(lines) * len(ALPHAS)
    with progress.stage("evaluating", total=many * len(tasks), unit="points") as advance:
        losses = GeneralizedLoss(group, objectives, advance)
        scored = ScoredPoints(losses, **drawing)
        scored.add_models("in", members)
        centroid = scored.at("hull", "centroid", group.centroid)
        scored.add_hull(hull)
        if kind is None:
            scored.add_models("ex", group.outside)
        else:
            scored.add_noise(kind, noise_samples)
        found = scored.losses()
        limits = mean_thresholds(found["ex"], threshold)
        radii = tuple(
            find_radius(losses, task, targets, distances, limit, **drawing)
            for task, limit in enumerate(limits)
        )
        profiles = tuple(follow_pairs(losses, lines))
    return RegionResult(
        label=label,
        models=group.names,
        outside="models" if kind is None else WORDS[kind],
        base=None if group.base is None else names[group.base],
        tasks=tuple(task.name for task in tasks),
        sampler=sampler,
        centroid=centroid,
        points=tuple(scored.points),
        dominances=dominances(found, [task.name for task in tasks], **drawing),
        radii=radii if targets else (),
        pairs=profiles,
        places=places,
        rows=min(len(sample_rows(task, "test", scoring.limit)) for task in tasks),
        train_rows=min(len(sample_rows(task, "train", scoring.train_limit)) for task in tasks),
        evaluated=losses.evaluated,
        seconds=perf_counter() - began,
        notes=_notes(radii, profiles, place_caution(group.members) if places else None),
    )


def _outside(
    outside: Sequence[Source] | NoiseName, base: Source | None
) -> tuple[NoiseName | None, Sequence[Source]]:
    """Tell what the group Ex is made of: noise of a kind, or models."""
    if isinstance(outside, Path | LiveModel) or (isinstance(outside, str) and outside not in WORDS):
        raise BadInput(f"outside is a list of models, or 'noise', or 'directions'; got {outside!r}")
    if outside == "noise" and base is None:
        raise BadInput("noise is drawn around a base: give one, or take outside='directions'")
    if outside == "noise" or outside == "directions":
        return outside, ()
    return (None if outside else "directions" if base is None else "noise"), outside


def _check_numbers(
    samples: int, noise_samples: int, rays: int, pairs: int, threshold: float | None
) -> None:
    for name, number, least in (
        ("samples", samples, 1),
        ("noise_samples", noise_samples, 1),
        ("rays", rays, 0),
        ("pairs", pairs, 0),
    ):
        if number < least:
            raise BadInput(f"{name} must be {least} or more, got {number}")
    if threshold is not None and not isfinite(threshold):
        raise BadInput(f"the threshold is a loss, a finite number; got {threshold}")


def _check_tasks(tasks: Sequence[Task], scoring: Scoring) -> None:
    if not tasks or len({task.name for task in tasks}) < len(tasks):
        raise BadInput("give at least one task, each once")
    for task in tasks:
        check_probed(task, scoring)


def _notes(
    radii: Sequence[Radius], profiles: Sequence[PairProfile], caution: str | None
) -> tuple[str, ...]:
    notes = [
        f"on {radius.task} the centroid itself is not below the threshold {radius.threshold:.4g} "
        f"({radius.threshold_rule}): there is no region around it"
        for radius in radii
        if radius.rays and radius.rays[0].losses[0] >= radius.threshold
    ]
    lost = sum(isnan(loss) for it in profiles for row in it.losses.values() for loss in row)
    if lost:
        notes.append(f"at {lost} points of the lines through pairs nothing finite came out")
    return tuple(notes if caution is None else [caution, *notes])
