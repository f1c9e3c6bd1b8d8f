"""From an atlas to the page's data."""

import os
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from weightscape import __version__
from weightscape.atlas import Atlas, TreeProducts
from weightscape.catalog.records import Model, RegionMap
from weightscape.geometry.products import distances
from weightscape.report.data import (
    Neighbour,
    PageData,
    PageEdge,
    PageFamily,
    PageHeat,
    PageModel,
    PagePath,
    PageRegion,
    PageResult,
    PageSkipped,
    PageUndecided,
)
from weightscape.report.known_labels import known_labels

NEIGHBOURS = 8


def collect(
    atlas: Atlas,
    *,
    recent: Collection[str] = (),
    command: str = "",
    maps: Sequence[RegionMap] | None = None,
) -> PageData:
    """Gather what the page and the pictures show; `recent` models stand in front (all, if none)."""
    chosen = list(atlas.maps() if maps is None else maps)
    models = {it.name: it for it in atlas.models()}
    products = atlas.products()
    apart = _distances(products)
    cosines = _cosines(chosen)
    forest = atlas.forest()
    points = {name: point for found in chosen for name, point in found.points.items()}
    home = {
        name: (family.name, tree)
        for family in atlas.families()
        for tree, members in family.trees.items()
        for name in members
    }
    norms = atlas.norms()
    front = set(recent) or set(models)
    return PageData(
        title=_title([models[name] for name in models if name in front]),
        made=datetime.now(UTC).isoformat(timespec="seconds"),
        version=__version__,
        command=command,
        models=tuple(
            _model(it, home, points, norms, _near(name, apart, cosines), name in front)
            for name, it in sorted(models.items(), key=lambda pair: pair[0] not in front)
        ),
        edges=tuple(
            PageEdge(
                it.parent,
                it.child,
                it.kind,
                it.confidence,
                it.evidence,
                apart.get(it.parent, {}).get(it.child),
            )
            for it in forest.edges
        ),
        families=tuple(PageFamily(it.name) for it in atlas.families()),
        regions=tuple(
            PageRegion(it.label, it.members, it.medoid) for found in chosen for it in found.regions
        ),
        heats=tuple(
            heat
            for heat in (_heat(found) for found in chosen if len(found.models) > 2)
            if len(heat.names) > 1
        ),
        skipped=tuple(PageSkipped(it.path, it.reason) for it in atlas.skipped()),
        undecided=tuple(PageUndecided(it.models, it.reason) for it in forest.undecided),
        notes=tuple(dict.fromkeys(note for found in chosen for note in found.notes)),
        paths=tuple(
            PagePath(it.kind, it.models, it.task, it.made, it.folder, it.result)
            for it in atlas.paths()
        ),
        results=tuple(
            PageResult(it.kind, it.models, it.task, it.made, it.folder, it.result)
            for it in atlas.results()
        ),
        known=known_labels(atlas),
    )


def _title(models: Sequence[Model]) -> str:
    """Name the page after the folder that its models lie in."""
    if not models:
        return "empty atlas"
    paths = [it.path for it in models if it.facts.part_of is None]
    if not paths:
        return "models elsewhere"
    try:
        common = Path(os.path.commonpath([str(Path(path).parent) for path in paths]))
    except ValueError:  # on two drives
        return "atlas"
    return common.name or "atlas"


def _model(
    model: Model,
    home: dict[str, tuple[str, str]],
    points: dict[str, tuple[float, float]],
    norms: dict[str, float],
    near: tuple[Neighbour, ...],
    recent: bool,
) -> PageModel:
    family, tree = home.get(model.name, ("", ""))
    x, y = points.get(model.name, (None, None))
    facts = {"kind": "LoRA adapter"} if model.kind == "adapter" else {}
    if model.facts.part_of:
        facts["of it are here"] = f"{len(model.facts.layers)} tensors: the rest was not fetched"
    elif model.facts.origin:
        facts["fetched from"] = model.facts.origin
    if model.name in norms:
        facts["norm of the backbone"] = f"{norms[model.name]:.4g}"
    if model.facts.wants:
        facts["declares as base"] = ", ".join(model.facts.wants)
    if model.facts.run:
        facts["training run"] = model.facts.run
    if model.facts.step is not None:
        facts["step"] = str(model.facts.step)
    architecture = model.config.get("architectures")
    if isinstance(architecture, list) and architecture:
        facts["architecture"] = str(architecture[0])
    return PageModel(
        name=model.name,
        path=model.facts.part_of or model.path,
        family=family,
        tree=tree,
        x=x,
        y=y,
        task=_task(model),
        scores=_scores(model),
        parameters=model.parameters,
        nbytes=model.nbytes,
        dtype=model.dtype,
        format=model.format,
        status="gone" if model.status == "gone" else "here",
        recent=recent,
        facts=facts,
        neighbours=near,
    )


def _task(model: Model) -> str | None:
    """Tell the task that a model's files name, if they do."""
    for source in (model.metadata, model.config):
        for key in ("weightscape.task", "task", "finetuning_task", "problem"):
            value = source.get(key)
            if isinstance(value, str) and value:
                return value[:100]
    return None


def _scores(model: Model) -> dict[str, float]:
    scores = model.metadata.get("weightscape.scores")
    if not isinstance(scores, dict):
        return {}
    return {str(k): float(v) for k, v in scores.items() if isinstance(v, int | float)}


def _distances(products: Sequence[TreeProducts]) -> dict[str, dict[str, float]]:
    """Measure the L2 distance of every two backbones of a tree."""
    found: dict[str, dict[str, float]] = {}
    for loaded in products:
        names = loaded.products.models
        for name, apart in zip(names, distances(loaded.products)[0], strict=True):
            found[name] = dict(zip(names, apart.tolist(), strict=True))
    return found


def _cosines(maps: Sequence[RegionMap]) -> dict[tuple[str, str], float]:
    found: dict[tuple[str, str], float] = {}
    for one in maps:
        matrix = np.asarray(one.cosine)
        for i, j in zip(*np.nonzero(np.isfinite(matrix)), strict=True):
            found[one.models[i], one.models[j]] = float(matrix[i, j])
    return found


def _near(
    name: str, apart: dict[str, dict[str, float]], cosines: dict[tuple[str, str], float]
) -> tuple[Neighbour, ...]:
    others = {other: d for other, d in apart.get(name, {}).items() if other != name}
    nearest = sorted(others, key=lambda other: (others[other], other))[:NEIGHBOURS]
    return tuple(Neighbour(it, others[it], cosines.get((name, it))) for it in nearest)


def _heat(found: RegionMap) -> PageHeat:
    # the base has no delta, nor have its copies: blank rows of the heat map
    places = [found.models.index(name) for name in found.order]
    places = [i for i in places if np.isfinite(found.cosine[i, i])]
    names = [found.models[i] for i in places]
    matrix = np.asarray(found.cosine)[np.ix_(places, places)]
    label = f"tree of {found.base}" if found.base else f"tree of {found.models[0]}"
    return PageHeat(label, tuple(names), matrix)
