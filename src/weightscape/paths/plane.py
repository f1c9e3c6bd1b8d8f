"""The loss over the plane through three models (Garipov et al. 2018, section 3.2 and figure 1)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import sqrt
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from weightscape.errors import BadInput
from weightscape.geometry.span import Span
from weightscape.paths.records import PlaneResult
from weightscape.paths.series import chance_loss, loss_unit
from weightscape.progress import Progress, silent
from weightscape.tasks.evaluation import Evaluation
from weightscape.tasks.label_order import Source
from weightscape.tasks.live import LiveModel
from weightscape.tasks.objective import Objective, PointEvaluation, Scoring
from weightscape.tasks.spanning import Space, open_span
from weightscape.tasks.task import Task

Array = NDArray[np.float64]

FEWER_ROWS = Scoring(limit=128, train_limit=128, validation_limit=0)
"""A grid has many points; a picture of them needs fewer rows than a barrier."""


@dataclass(frozen=True, slots=True)
class Frame:
    """Orthonormal coordinates on the plane of a span of three models.

    u = (B - A) / |B - A|; v is what of C - A is at right angles to u, over its length.
    positions [3, 2]: of the models.
    """

    positions: Array

    def coefficients(self, x: float, y: float) -> tuple[float, float]:
        """Turn coordinates into the span's coefficients, so that A + c (B-A) + d (C-A) is there."""
        (_, (length, _), (cx, cy)) = self.positions
        of_c = y / cy
        return float((x - of_c * cx) / length), float(of_c)


def frame(span: Span, names: Sequence[str]) -> Frame:
    """Find the coordinates of a span of three models; raises BadInput where they lie on a line."""
    a, b, c = (span.vertex(i) for i in range(3))
    ab, ac = span.distance(a, b), span.distance(a, c)
    for one, two, length in ((0, 1, ab), (0, 2, ac)):
        if length == 0:
            raise BadInput(f"{names[one]} and {names[two]} are the same model: there is no plane")
    cosine = span.cosine(b, c)
    height = ac * sqrt(max(0.0, 1 - cosine**2))
    if height < 1e-4 * ac:
        raise BadInput(f"{', '.join(names)} lie on one line: there is no plane through them")
    return Frame(np.array([[0.0, 0.0], [ab, 0.0], [ac * cosine, height]]))


def plane(
    a: Source,
    b: Source,
    c: Source,
    task: Task,
    *,
    size: int | tuple[int, int] = 11,
    margin: float = 0.25,
    head: str | Path | LiveModel = "auto",
    space: Space = "factor",
    scoring: Scoring = FEWER_ROWS,
    folder: str | Path | None = None,
    progress: Progress = silent,
    **loading: Any,
) -> PlaneResult:
    """Score a task on a grid over the plane through three models.

    size: points of the grid, or (width, height). margin: how far the grid reaches beyond the
    models, as a share of their extent along each axis. The other arguments are those of
    `connect`; with a folder a grid that was interrupted goes on where it was.

    Raises BadInput for models on one line, MismatchedModels for ones that do not correspond.
    """
    began = perf_counter()
    width, height = (size, size) if isinstance(size, int) else size
    if min(width, height) < 2 or width * height > 1_000_000:
        raise BadInput(f"a grid has 2 x 2 to a million points, not {width} x {height}")
    if not 0 <= margin <= 10:
        raise BadInput(f"the margin is a share of the models' extent, 0 to 10, not {margin}")
    spanned = open_span((a, b, c), task, head=head, space=space, progress=progress, **loading)
    coordinates = frame(spanned.span, spanned.names)
    x = _axis(coordinates.positions[:, 0], margin, width)
    y = _axis(coordinates.positions[:, 1], margin, height)
    keep = None if folder is None else Path(folder) / "points"
    objective = Objective(spanned, task, scoring, folder=keep)
    with progress.stage("evaluating", total=width * height + 3, unit="points") as advance:
        ends = []
        for i, name in enumerate(spanned.names):
            ends.append(objective.at(spanned.span.vertex(i), name))
            advance(1)
        grid: list[list[PointEvaluation]] = []
        for v in y:
            grid.append([])
            for u in x:
                point = coordinates.coefficients(u, v)
                grid[-1].append(objective.at(point, f"(u, v) = ({u:.4g}, {v:.4g})"))
                advance(1)
    return PlaneResult(
        names=(spanned.names[0], spanned.names[1], spanned.names[2]),
        task=task.name,
        head=spanned.head,
        head_reason=spanned.head_reason,
        loss_unit=loss_unit(task),
        space=spanned.space,
        x=x,
        y=y,
        positions=coordinates.positions,
        losses=_over(grid, lambda point: point.test.loss),
        train_losses=_over(grid, lambda point: point.train.loss),
        metrics=_metrics_over(grid, lambda point: point.test),
        train_metrics=_metrics_over(grid, lambda point: point.train),
        ends_loss=(ends[0].test.loss, ends[1].test.loss, ends[2].test.loss),
        ends_metrics=_ends_metrics(ends),
        chance_loss=chance_loss(task),
        loss_rows=len(ends[0].test.rows),
        train_rows=len(ends[0].train.rows),
        seconds=perf_counter() - began,
    )


Grid = Sequence[Sequence[PointEvaluation]]


def _over(grid: Grid, value: Callable[[PointEvaluation], float]) -> Array:
    return np.array([[value(point) for point in row] for row in grid])


def _metrics_over(grid: Grid, split: Callable[[PointEvaluation], Evaluation]) -> dict[str, Array]:
    names = split(grid[0][0]).metrics
    return {
        name: np.array([[split(point).metrics[name] for point in row] for row in grid])
        for name in names
    }


def _ends_metrics(ends: Sequence[PointEvaluation]) -> dict[str, tuple[float, float, float]]:
    a, b, c = (end.test.metrics for end in ends)
    return {name: (a[name], b[name], c[name]) for name in a}


def _axis(positions: Array, margin: float, points: int) -> Array:
    low, high = float(positions.min()), float(positions.max())
    beyond = margin * (high - low)
    return np.linspace(low - beyond, high + beyond, points)
