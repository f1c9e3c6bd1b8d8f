"""Blends as the page carries them: only what it draws, whatever the kept answer is."""

from collections.abc import Mapping
from typing import Any

from weightscape.report.data import PageData, PageResult
from weightscape.report.payload import clean, rounded
from weightscape.report.start_words import in_points
from weightscape.report.tune_words import BLEND, better_sign, group_title

MOST_TRIALS = 400  # candidates that are drawn


def tune_payload(data: PageData) -> list[dict[str, Any]]:
    """Turn blends into what the page's script reads; models are places in the page."""
    index = {model.name: place for place, model in enumerate(data.models)}
    carried = (_blend(it, index) for it in data.found("tune"))
    return [it for it in carried if it is not None]


def _blend(found: PageResult, index: Mapping[str, int]) -> dict[str, Any] | None:
    result = found.result
    best = result.get("best") or {}
    weights = dict(best.get("coefficients") or {})
    if not weights:
        return None
    metric = str(result.get("metric", ""))
    tested = (best.get("held_out") or {}).get(metric) is not None
    order = sorted(weights, key=lambda name: -weights[name])
    layers = best.get("layers") or {}
    return {
        "models": [index.get(name, clean(name)) for name in found.models],
        "task": clean(found.task),
        "made": clean(found.made),
        "folder": clean(found.folder),
        "output": clean(str(result.get("output") or "")),
        "says": [clean(str(it)) for it in result.get("summary") or ()],
        "metric": clean(metric),
        "shares": in_points(metric),
        "tested": tested,
        "sampler": clean(str(result.get("sampler", ""))),
        "space": clean(str(result.get("space", ""))),
        "weights": [[index.get(name, clean(name)), rounded(weights[name])] for name in order],
        "groups": [clean(group_title(str(it))) for it in layers],
        "layers": [[rounded(row.get(name)) for row in layers.values()] for name in order],
        "trials": _trials(result.get("trials") or ()),
        "ways": _ways(best, result.get("baselines") or (), metric, tested),
    }


def _trials(trials: Any) -> list[list[Any]]:
    """Keep number, loss and state of candidates; of many, those that are drawn."""
    some = [it for it in trials if it.get("loss") is not None]
    every = -(-len(some) // MOST_TRIALS) or 1
    least = min((it["loss"] for it in some if it.get("state") == "complete"), default=None)
    return [
        [it.get("number", place), rounded(it["loss"]), int(it.get("state") == "complete")]
        for place, it in enumerate(some)
        if place % every == 0 or it["loss"] == least
    ]


def _ways(
    best: Mapping[str, Any], baselines: Any, metric: str, tested: bool
) -> list[dict[str, Any]]:
    """List the blend and the other ways, best first; the last ones have no score."""
    part, spread = ("held_out", "held_out_intervals") if tested else ("dev", "intervals")
    ways = []
    for way in ({**best, "name": BLEND}, *baselines):
        low, high = (way.get(spread) or {}).get(metric) or (None, None)
        ways.append(
            {
                "name": clean(str(way.get("name", ""))),
                "why": clean(str(way.get("why", ""))),
                "blend": way.get("name") == BLEND,
                "score": [
                    rounded((way.get(part) or {}).get(metric)), rounded(low), rounded(high)
                ],
                "dev": rounded((way.get("dev") or {}).get(metric)),
            }
        )  # fmt: skip
    known = [it for it in ways if it["score"][0] is not None]
    return sorted(known, key=lambda it: -better_sign(metric) * it["score"][0]) + [
        it for it in ways if it["score"][0] is None
    ]
