"""Regions as the page carries them: only what it draws, whatever shape the kept answer has."""

from collections.abc import Mapping
from typing import Any

from weightscape.report.data import PageData, PageResult
from weightscape.report.payload import clean, rounded

TASKS = 12  # drawn of one region; the answer in its folder has all


def region_payload(data: PageData) -> list[dict[str, Any]]:
    """Turn regions into what the page's script reads; models are places in the page."""
    index = {model.name: place for place, model in enumerate(data.models)}
    carried = (_region(it, index) for it in data.found("region"))
    return [it for it in carried if it is not None]


def _region(found: PageResult, index: Mapping[str, int]) -> dict[str, Any] | None:
    result = found.result
    tasks = [str(it) for it in result.get("tasks") or ()][:TASKS]
    groups = [_group(it, tasks) for it in result.get("groups") or ()]
    if not tasks or not any(it["points"] for it in groups):
        return None
    label = result.get("label")
    return {
        "models": [index.get(name, clean(name)) for name in found.models],
        "label": None if label is None else clean(str(label)),
        "task": clean(found.task),
        "made": clean(found.made),
        "folder": clean(found.folder),
        "says": [clean(str(it)) for it in result.get("summary") or ()],
        "tasks": [clean(it) for it in tasks],
        "groups": groups,
        "centroid": [rounded(it) for it in _losses(result.get("centroid") or {}, tasks)],
        "p_b": _dominances(result, tasks),
        "radii": [_radius(result, task) for task in tasks],
        "pairs": [_pair(it, tasks, index) for it in result.get("pairs") or ()],
    }


def _group(group: Mapping[str, Any], tasks: list[str]) -> dict[str, Any]:
    return {
        "name": clean(str(group.get("name", ""))),
        "about": clean(str(group.get("about", ""))),
        "points": [
            [
                clean(str(it.get("name", ""))),
                rounded(it.get("distance")),
                [rounded(loss) for loss in _losses(it, tasks)],
            ]
            for it in group.get("points") or ()
        ],
    }


def _losses(point: Mapping[str, Any], tasks: list[str]) -> list[float | None]:
    scores = point.get("scores") or {}
    return [(scores.get(task) or {}).get("loss") for task in tasks]


def _dominances(result: Mapping[str, Any], tasks: list[str]) -> list[list[Any]]:
    return [
        [
            clean(str(it.get("better"))),
            clean(str(it.get("worse"))),
            None if it.get("task") is None else tasks.index(it["task"]),
            rounded(it.get("value")),
            [rounded(end) for end in it.get("interval") or (None, None)],
        ]
        for it in result.get("p_b") or ()
        if it.get("task") is None or it["task"] in tasks
    ]


def _radius(result: Mapping[str, Any], task: str) -> dict[str, Any] | None:
    found = [it for it in result.get("radii") or () if it.get("task") == task]
    if not found or not found[0].get("unit"):
        return None
    radius = found[0]
    return {
        "threshold": rounded(radius.get("threshold")),
        "rule": clean(str(radius.get("threshold_rule", ""))),
        "value": rounded(radius.get("value")),
        "interval": [rounded(end) for end in radius.get("interval") or (None, None)],
        "unit": rounded(radius["unit"]),
        "rays": [
            [
                clean(str(ray.get("towards", ""))),
                [rounded(it) for it in ray.get("distances") or ()],
                [rounded(it) for it in ray.get("losses") or ()],
                rounded(ray.get("crosses")),
            ]
            for ray in radius.get("rays") or ()
        ],
    }


def _pair(pair: Mapping[str, Any], tasks: list[str], index: Mapping[str, int]) -> dict[str, Any]:
    names = [str(pair.get(end, "")) for end in ("one", "other")]
    losses = pair.get("losses") or {}
    return {
        "ends": [index.get(name, clean(name)) for name in names],
        "across": pair.get("relation") == "across",
        "alphas": [rounded(it) for it in pair.get("alphas") or ()],
        "losses": [[rounded(it) for it in losses.get(task) or ()] for task in tasks],
    }
