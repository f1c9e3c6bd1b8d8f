"""Starting points as the page carries them: only what it draws, whatever the kept answer is."""

from collections.abc import Mapping
from typing import Any

from weightscape.report.data import PageData, PageResult
from weightscape.report.payload import clean, rounded
from weightscape.report.start_words import in_points

HEAVIEST = 8  # models named of each candidate


def start_payload(data: PageData) -> list[dict[str, Any]]:
    """Turn ranked starts into what the page's script reads; models are places in the page."""
    index = {model.name: place for place, model in enumerate(data.models)}
    carried = (_start(it, index) for it in data.found("start"))
    return [it for it in carried if it is not None]


def _start(found: PageResult, index: Mapping[str, int]) -> dict[str, Any] | None:
    result = found.result
    metric = str(result.get("metric", ""))
    ranked = [_ranked(it, metric, index) for it in result.get("ranked") or ()]
    if not ranked:
        return None
    return {
        "models": [index.get(name, clean(name)) for name in found.models],
        "task": clean(found.task),
        "made": clean(found.made),
        "folder": clean(found.folder),
        "output": clean(str(result.get("output") or "")),
        "says": [clean(str(it)) for it in result.get("summary") or ()],
        "metric": clean(metric),
        "shares": in_points(metric),
        "method": clean(str(result.get("method", ""))),
        "recommended": clean(str(result.get("recommended", ""))),
        "beats": bool(result.get("beats_base")),
        "ranked": ranked,
    }


def _ranked(start: Mapping[str, Any], metric: str, index: Mapping[str, int]) -> dict[str, Any]:
    weights = sorted((start.get("weights") or {}).items(), key=lambda it: -it[1])
    runs = [(it.get("metrics") or {}).get(metric) for it in start.get("runs") or ()]
    return {
        "name": clean(str(start.get("name", ""))),
        "kind": clean(str(start.get("kind", ""))),
        "why": clean(str(start.get("why", ""))),
        "weights": [
            [index.get(name, clean(name)), rounded(weight)] for name, weight in weights[:HEAVIEST]
        ],
        "more": max(0, len(weights) - HEAVIEST),
        "probe": [rounded(start.get("probe_loss")), *_ends(start.get("probe_interval"))],
        "runs": [rounded(it) for it in runs],
        "score": [rounded(start.get("score")), *_ends(start.get("score_interval"))],
        "gain": [rounded(start.get("gain")), *_ends(start.get("gain_interval"))],
        "dropped": start.get("dropped_in"),
        "test": rounded((start.get("held_out") or {}).get(metric)),
    }


def _ends(interval: Any) -> list[float | None]:
    low, high = interval or (None, None)
    return [rounded(low), rounded(high)]
