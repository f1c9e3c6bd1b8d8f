"""Which way fine-tuning moved models: cosines of their deltas, and of their heads'."""

from collections.abc import Mapping, Sequence
from math import nan
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64
from torch import Tensor

from weightscape.progress import Progress, silent
from weightscape.tasks.label_order import Source
from weightscape.tasks.spanning import open_span
from weightscape.tasks.task import Task
from weightscape.tuning.records import Cosines


def delta_cosines(
    base: Source,
    models: Sequence[str | Path],
    task: Task,
    *,
    progress: Progress = silent,
    **loading: Any,
) -> Cosines:
    """Give the cosines of models' deltas from a base, heads left out; NaN for one of zero."""
    if not models:
        return ()
    head = "probe" if task.kind in ("classification", "pair") else "own"
    spanned = open_span(
        [base, *models], task, head=head, space="product", progress=progress, **loading
    )
    points = [spanned.span.vertex(place) for place in range(1, len(models) + 1)]
    return tuple(tuple(spanned.span.cosine(p, q) for q in points) for p in points)


def head_cosines(heads: Sequence[Mapping[str, Tensor]], start: Mapping[str, Tensor]) -> Cosines:
    """Give the cosines of heads' deltas from the one that they started from."""
    steps = [_flat(head, start) - _flat(start, start) for head in heads]
    return tuple(tuple(_cosine(one, two) for two in steps) for one in steps)


def head_distance(
    one: Mapping[str, Tensor], two: Mapping[str, Tensor], start: Mapping[str, Tensor]
) -> float:
    """Give how far two heads are apart, as a share of the length of the one they started from."""
    length = float(np.linalg.norm(_flat(start, start)))
    step = _flat(one, start) - _flat(two, start)
    return float(np.linalg.norm(step)) / length if length > 0 else nan


def _flat(head: Mapping[str, Tensor], like: Mapping[str, Tensor]) -> Float64[np.ndarray, " n"]:
    return np.concatenate([head[name].double().cpu().numpy().ravel() for name in like])


def _cosine(one: Float64[np.ndarray, " n"], two: Float64[np.ndarray, " n"]) -> float:
    lengths = float(np.linalg.norm(one) * np.linalg.norm(two))
    return float(one @ two) / lengths if lengths > 0 else nan
