"""A path or a plane on the terminal: what was found, in sentences and a few points."""

from collections.abc import Sequence
from pathlib import Path

from weightscape.answers import KnowledgeAnswer, PathAnswer, PlaneAnswer, SeriesAnswer
from weightscape.cli import console

BARS = "▁▂▃▄▅▆▇█"
PARTS = 5  # of a path, whose borders are shown


def print_path(answer: PathAnswer, page: Path | None) -> None:
    """Print a path: the verdict first, then a few points, then how far apart the ends are."""
    out = console.out()
    for series in (answer, *answer.also):
        if answer.also:
            out.print(console.printable(series.task), style="bold", markup=False)
        verdict, *more = series.summary
        out.print(console.printable(verdict), style="bold", markup=False, soft_wrap=True)
        out.print(f"loss {sparkline([it.loss for it in series.points])}", markup=False)
        out.print()
        known = series.knowledge.held_out if answer.head == "probe" else series.knowledge.train
        out.print(_points(series, known))
        out.print()
        for line in more:
            out.print(console.printable(line), markup=False, soft_wrap=True)
        rows = f"scored on {series.rows} held-out and {series.train_rows} training rows"
        out.print(f"{rows}; threshold: {series.threshold_rule}", markup=False, soft_wrap=True)
        shown = "held-out" if answer.head == "probe" else "training"
        out.print(f"forgotten and gained count {shown} rows", markup=False)
        if answer.also:
            out.print()
    out.print(_apart(answer), markup=False, soft_wrap=True)
    _print_files(answer.folder, page)


def print_plane(answer: PlaneAnswer, page: Path | None) -> None:
    """Print a plane: its models, its lowest point, where its files are."""
    out = console.out()
    for line in answer.summary:
        out.print(console.printable(line), markup=False, soft_wrap=True)
    shown = zip(answer.models, answer.positions, answer.ends_loss, strict=True)
    rows = [(name, f"{x:.4g}", f"{y:.4g}", number(loss)) for name, (x, y), loss in shown]
    out.print()
    out.print(console.table(["model", "x", "y", "loss"], rows, right="x y loss"))
    _print_files(answer.folder, page)


def sparkline(values: Sequence[float | None]) -> str:
    """Draw numbers as a line of bars between the lowest and the highest; a gap where none is.

    >>> sparkline([0.0, 1.0, None, 0.5])
    '▁█ ▅'
    """
    known = [it for it in values if it is not None]
    low, high = min(known, default=0.0), max(known, default=0.0)
    step = (high - low) or 1.0
    return "".join(
        " " if it is None else BARS[round((it - low) / step * (len(BARS) - 1))] for it in values
    )


def number(value: float | None) -> str:
    """Write a number as the sentences do; nothing for what is not known."""
    from weightscape.report.path_words import number as written

    return "" if value is None else written(value)


def _points(series: SeriesAnswer, table: KnowledgeAnswer) -> object:
    points = series.points
    # the loss has a column already
    metric = next((name for name in points[0].metrics if name != "loss"), None)
    chosen = _chosen(series)
    rows = []
    for place, mark in chosen.items():
        it = points[place]
        low, high = it.loss_interval
        spread = f"{number(low)} to {number(high)}" if low is not None else ""
        value = [] if metric is None else [number(it.metrics.get(metric))]
        known = (str(len(table.forgotten[place])), str(len(table.gained[place])))
        numbers = (f"{it.t:.2f}", number(it.loss), spread, number(it.train_loss), *value)
        rows.append((*numbers, *known, mark))
    metrics = [] if metric is None else [metric]
    columns = ["t", "loss", "95 %", "training", *metrics, "forgotten", "gained", ""]
    right = ["t", "loss", *metrics, "training", "forgotten", "gained"]
    return console.table(columns, rows, right=" ".join(right))


def _chosen(series: SeriesAnswer) -> dict[int, str]:
    """Choose the points to show: the ends, the highest, the best, and some in between."""
    points = series.points
    last = len(points) - 1

    def at(t: float) -> int:
        return min(range(len(points)), key=lambda i: abs(points[i].t - t))

    marks = dict.fromkeys(range(0, last + 1, max(1, last // PARTS)), "") | {0: "A", last: "B"}
    if series.barrier:
        top = at(series.barrier_at)
        marks[top] = ", ".join(filter(None, (marks.get(top, ""), "barrier")))
    best = at(series.best.t)
    marks[best] = ", ".join(filter(None, (marks.get(best, ""), "best")))
    return dict(sorted(marks.items()))


def _apart(answer: PathAnswer) -> str:
    said = [f"distance {answer.distance:.4g}"]
    if answer.cosine is not None:
        said.append(f"cosine {answer.cosine:.4f}")
    if answer.delta_cosine is not None:
        said.append(f"cosine of the deltas from {answer.base} {answer.delta_cosine:.3f}")
    if answer.curve != "line":
        said.append(f"length of the path {answer.length:.4g}")
    if answer.training is not None:
        said.append(f"bends of step {answer.training.chosen_step}")
    return console.printable(", ".join(said))


def _print_files(folder: str | None, page: Path | None) -> None:
    out = console.out()
    if folder is not None:
        out.print(f"files: {console.printable(folder)}", markup=False, soft_wrap=True)
    if page is not None:
        where = console.printable(str(page.resolve()))
        out.print(f"page: {where}#paths-card", markup=False, soft_wrap=True)
