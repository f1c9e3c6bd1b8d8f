"""Paths and planes as the page carries them: only what it draws, rows in the order of the heat map.

The answers come out of an atlas, where an older or a newer weightscape may have put them: what is
missing or of another shape is left out.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from weightscape.report.data import PageData
from weightscape.report.knowledge_order import told_rows
from weightscape.report.payload import clean, rounded


def path_payload(data: PageData) -> list[dict[str, Any]]:
    """Turn paths and planes into what the page's script reads; models are places in the page."""
    index = {model.name: place for place, model in enumerate(data.models)}
    carried = []
    for path in data.paths:
        shown = _plane(path.result) if path.kind == "plane" else _path(path.result)
        if shown is not None:
            carried.append(
                {
                    "kind": path.kind,
                    "ends": [index.get(name, clean(name)) for name in path.models],
                    "task": clean(path.task),
                    "made": clean(path.made),
                    "folder": clean(path.folder),
                    **shown,
                }
            )
    return carried


def _path(result: Mapping[str, Any]) -> dict[str, Any] | None:
    # of training rows a probe knows what it was fitted on
    split = "held_out" if result.get("head") == "probe" else "train"
    series = [_series(it, split) for it in (result, *result.get("also", ()))]
    drawn = [it for it in series if it is not None]
    if not drawn:
        return None
    return {
        "curve": clean(str(result.get("curve", ""))),
        "bends": result.get("bends"),
        "distance": rounded(result.get("distance")),
        "cosine": rounded(result.get("cosine")),
        "series": drawn,
    }


def _series(answer: Mapping[str, Any], split: str) -> dict[str, Any] | None:
    points = answer.get("points") or []
    if not points:
        return None
    metric = next((name for name in points[0].get("metrics") or {} if name != "loss"), None)
    best = answer.get("best") or {}
    table = (answer.get("knowledge") or {}).get(split) or {}
    return {
        "task": clean(str(answer.get("task", ""))),
        "verdict": clean(str(answer.get("verdict", ""))),
        "says": [clean(str(it)) for it in answer.get("summary", ())],
        "nats": bool(answer.get("labels")),
        "t": [rounded(it.get("t")) for it in points],
        "loss": [rounded(it.get("loss")) for it in points],
        "band": _band([it.get("loss_interval") for it in points]),
        "train": [rounded(it.get("train_loss")) for it in points],
        "chord": [rounded(it.get("chord")) for it in points],
        "metric": None if metric is None else clean(metric),
        "values": [rounded((it.get("metrics") or {}).get(metric)) for it in points],
        "spread": _band([(it.get("metric_intervals") or {}).get(metric) for it in points]),
        "barrier": [rounded(answer.get("barrier")), rounded(answer.get("barrier_at"))],
        "best": [rounded(best.get("t")), rounded(best.get("loss"))],
        "chance": rounded(answer.get("chance_loss")),
        "forgotten": [len(it) for it in table.get("forgotten", ())],
        "gained": [len(it) for it in table.get("gained", ())],
        "split": "training" if split == "train" else "held-out",
        **_known(table, len(points)),
    }


def _known(table: Mapping[str, Any], points: int) -> dict[str, Any]:
    rows, lines = table.get("rows") or [], table.get("correct") or []
    whole = len(lines) == points and all(len(line) == len(rows) for line in lines)
    signs = np.array([list(line) for line in lines]) if whole and rows else np.empty((0, 0))
    if not signs.size or (signs == "?").all():
        return {"rows": [], "known": [], "always": 0}
    order, always = told_rows((signs == "1").astype(float))
    return {
        "rows": [int(rows[place]) for place in order],
        "known": ["".join(line) for line in signs[:, order]] if len(order) else [],
        "always": always,
    }


def _plane(result: Mapping[str, Any]) -> dict[str, Any] | None:
    x, y, losses = (result.get(key) or [] for key in ("x", "y", "losses"))
    if len(losses) != len(y) or any(len(line) != len(x) for line in losses) or not x:
        return None
    return {
        "says": [clean(str(it)) for it in result.get("summary", ())],
        "x": [rounded(it) for it in x],
        "y": [rounded(it) for it in y],
        "losses": [[rounded(it) for it in line] for line in losses],
        "positions": [[rounded(x), rounded(y)] for x, y in result.get("positions", ())],
        "own": [rounded(it) for it in result.get("ends_loss", ())],
    }


def _band(intervals: Sequence[Sequence[float | None] | None]) -> list[list[float | None]]:
    pairs = [it or (None, None) for it in intervals]
    return [[rounded(low) for low, _ in pairs], [rounded(high) for _, high in pairs]]
