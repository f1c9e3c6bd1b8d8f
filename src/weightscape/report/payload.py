"""The one block of JSON that a page carries, compact and safe inside HTML."""

import json
import math
from typing import Any

import numpy as np

from weightscape.report.data import PageData, PageHeat, PageModel
from weightscape.report.kinship import Kinship
from weightscape.report.layout import MapLayout
from weightscape.report.scenery import region_hues

# inside a <script> block only "<" could end it; the others are for older readers of HTML and JS
_ESCAPES = {ord(sign): f"\\u{ord(sign):04x}" for sign in "<>&'\u2028\u2029"}


def embed_json(value: Any) -> str:
    """Write a value as JSON that may stand inside a script element, whatever its strings hold.

    >>> embed_json({"name": "</script>"})
    '{"name":"\\\\u003c/script\\\\u003e"}'
    """
    return json.dumps(value, separators=(",", ":"), allow_nan=False).translate(_ESCAPES)


def page_payload(data: PageData, kinship: Kinship, layout: MapLayout) -> dict[str, Any]:
    """Turn page data into what the page's script reads: models by index, no fact twice."""
    index = {model.name: place for place, model in enumerate(data.models)}
    region_of = {
        name: place for place, region in enumerate(data.regions) for name in region.members
    }

    def refer(name: str) -> int | str:
        return index.get(name, clean(name))

    models = []
    for model in data.models:
        above = kinship.parent.get(model.name)
        models.append(
            _model(model, layout)
            | {
                "region": region_of.get(model.name),
                "parent": index[above] if above is not None else None,
                "edges": [
                    [
                        refer(edge.parent),
                        clean(edge.kind),
                        rounded(edge.confidence),
                        [clean(reason) for reason in edge.evidence],
                        rounded(edge.distance),
                    ]
                    for edge in kinship.edges[model.name]
                ],
                "near": [
                    [refer(other.name), rounded(other.distance), rounded(other.cosine)]
                    for other in model.neighbours
                ],
            }
        )
    return {
        "models": models,
        "roots": [index[name] for name in kinship.roots],
        "children": {
            index[name]: [index[child] for child in below]
            for name, below in kinship.children.items()
            if below
        },
        "families": {clean(family.name): clean(family.about) for family in data.families},
        "regions": [
            {
                "label": clean(region.label),
                "medoid": refer(region.medoid),
                "members": [index[name] for name in region.members if name in index],
                "hue": hue,
            }
            for region, hue in zip(data.regions, region_hues(data), strict=True)
        ],
        "boxes": [
            [clean(box.tree), rounded(box.left), rounded(box.bottom), rounded(box.side)]
            for box in layout.boxes
        ],
        "heats": [_heat(heat, index) for heat in data.heats],
        "undecided": [
            [[refer(name) for name in case.models], clean(case.reason)] for case in data.undecided
        ],
    }


def _model(model: PageModel, layout: MapLayout) -> dict[str, Any]:
    place = layout.points.get(model.name)
    return {
        "name": clean(model.name),
        "path": clean(model.path),
        "family": clean(model.family),
        "tree": clean(model.tree),
        "at": [rounded(place[0]), rounded(place[1])] if place else None,
        "task": clean(model.task) if model.task else None,
        "scores": {clean(name): rounded(value) for name, value in model.scores.items()},
        "parameters": model.parameters,
        "nbytes": model.nbytes,
        "dtype": clean(model.dtype),
        "format": clean(model.format),
        "gone": model.status == "gone",
        "recent": model.recent,
        "facts": [[clean(name), clean(text)] for name, text in model.facts.items()],
    }


def _heat(heat: PageHeat, index: dict[str, int]) -> dict[str, Any]:
    """Keep the upper triangle in thousandths: a third of the characters of decimal fractions."""
    kept = [place for place, name in enumerate(heat.names) if name in index]
    cosines = np.asarray(heat.cosines, dtype=np.float64)[np.ix_(kept, kept)]
    missing = ~np.isfinite(cosines)
    thousandths = np.rint(np.where(missing, 0.0, np.clip(cosines, -1.0, 1.0)) * 1000).astype(int)
    rows: list[list[int | None]] = []
    for place in range(len(kept)):
        row: list[int | None] = thousandths[place, place:].tolist()
        for hole in np.flatnonzero(missing[place, place:]):
            row[hole] = None
        rows.append(row)
    return {
        "label": clean(heat.label),
        "models": [index[heat.names[place]] for place in kept],
        "rows": rows,
    }


def rounded(value: float | None) -> float | None:
    """Keep five significant digits; what is not a number becomes null."""
    if value is None or not math.isfinite(value):
        return None
    return float(f"{float(value):.5g}")


def clean(text: str) -> str:
    """Replace lone surrogates: a file name may hold bytes that are not text."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
