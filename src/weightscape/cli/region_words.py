"""A region on the terminal: the verdict, its groups, P_B, where it ends, who lies where."""

from collections.abc import Sequence
from pathlib import Path

from weightscape.answers_tasks import (
    DominanceAnswer,
    PlaceAnswer,
    RadiusAnswer,
    RegionGroupAnswer,
    RegionResultAnswer,
)
from weightscape.cli import console
from weightscape.cli.path_words import number

COMPARED = (("in", "ex"), ("hull", "ex"), ("hull", "in"))
TASKS = 4  # with a column of their own


def print_region(answer: RegionResultAnswer, page: Path | None) -> None:
    """Print a region: the verdict first, then a table of groups, P_B, the end, and the rest."""
    out = console.out()
    verdict, *more = answer.summary
    out.print(console.printable(verdict), style="bold", markup=False, soft_wrap=True)
    out.print()
    out.print(_groups(answer))
    out.print()
    out.print(_dominances(answer))
    if answer.radii:
        out.print()
        out.print(_radii(answer.radii))
    if answer.places:
        out.print()
        out.print(_places(answer.places))
    out.print()
    listed = tuple(f"{it.name} lies " for it in answer.places)  # these stand in their table
    for line in (it for it in more if not it.startswith(listed)):
        out.print(console.printable(line), markup=False, soft_wrap=True)
    print_files(answer.folder, page, "regions-card")


def print_files(folder: str | None, page: Path | None, card: str) -> None:
    """Print where the files are, and where on the page the result is."""
    out = console.out()
    if folder is not None:
        out.print(f"files: {console.printable(folder)}", markup=False, soft_wrap=True)
    if page is not None:
        where = console.printable(str(page.resolve()))
        out.print(f"page: {where}#{card}", markup=False, soft_wrap=True)


def _groups(answer: RegionResultAnswer) -> object:
    tasks = answer.tasks[:TASKS]
    metric = _metric(answer)
    columns = ["group", "points", *(f"loss {it}" if len(tasks) > 1 else "loss" for it in tasks)]
    columns += [metric] if metric and len(tasks) == 1 else []
    columns += ["distance"]
    rows = []
    for group in answer.groups:
        losses = [number(group.losses.get(task)) for task in tasks]
        values = [number(_mean_metric(group, tasks[0], metric))] if metric in columns else []
        rows.append((group.about, str(len(group.points)), *losses, *values, _distances(group)))
    centre = [number(answer.centroid.scores[it].loss) if it in answer.centroid.scores else ""
              for it in tasks]  # fmt: skip
    values = []
    if metric in columns:
        values = [number(answer.centroid.scores[tasks[0]].metrics.get(metric or ""))]
    rows.append(("their centre", "1", *centre, *values, "0"))
    return console.table(columns, rows, right=" ".join(columns[1:]))


def _metric(answer: RegionResultAnswer) -> str | None:
    score = answer.centroid.scores.get(answer.tasks[0])
    return None if score is None else next(iter(score.metrics), None)


def _mean_metric(group: RegionGroupAnswer, task: str, metric: str | None) -> float | None:
    scores = [it.scores[task].metrics.get(metric or "") for it in group.points if task in it.scores]
    known = [it for it in scores if it is not None]
    return sum(known) / len(known) if known else None


def _distances(group: RegionGroupAnswer) -> str:
    far = sorted(it.distance for it in group.points)
    if not far:
        return ""
    low, high = f"{far[0]:.3g}", f"{far[-1]:.3g}"
    return low if low == high else f"{low} to {high}"


def _dominances(answer: RegionResultAnswer) -> object:
    about = {it.name: it.about for it in answer.groups}
    several = len(answer.tasks) > 1
    columns = ["P_B", "mean" if several else answer.tasks[0], "95 %"]
    columns += answer.tasks[:TASKS] if several else []
    rows = []
    for better, worse in COMPARED:
        mean = _found(answer, better, worse, None) or _found(answer, better, worse, answer.tasks[0])
        if mean is None:
            continue
        each = [_found(answer, better, worse, it) for it in answer.tasks[:TASKS]] if several else []
        low, high = mean.interval
        spread = f"{low:.2f} to {high:.2f}" if low is not None and high is not None else ""
        rows.append(
            (f"{about[better]} over {about[worse]}", _share(mean), spread, *map(_share, each))
        )
    return console.table(columns, rows, right=" ".join(columns[1:]))


def _found(
    answer: RegionResultAnswer, better: str, worse: str, task: str | None
) -> DominanceAnswer | None:
    for it in answer.p_b:
        if (it.better, it.worse, it.task) == (better, worse, task):
            return it
    return None


def _share(found: DominanceAnswer | None) -> str:
    return "" if found is None or found.value is None else f"{found.value:.2f}"


def _radii(radii: Sequence[RadiusAnswer]) -> object:
    rows = []
    for it in radii:
        crossed = f"{sum(ray.crosses is not None for ray in it.rays)} of {len(it.rays)}"
        furthest = max((max(ray.distances, default=0.0) for ray in it.rays), default=0.0)
        value = f"{it.times:.2f}" if it.times is not None else f"> {furthest / it.unit:.2g}"
        low, high = it.interval
        spread = ""
        if low is not None or high is not None:
            ends = [None if end is None else end / it.unit for end in (low, high)]
            spread = " to ".join("?" if end is None else f"{end:.2f}" for end in ends)
        rows.append((it.task, number(it.threshold), value, spread, crossed))
    columns = ["ends on", "threshold", "times the models' distance", "95 %", "rays that cross"]
    table = console.table(columns, rows)
    for column in table.columns[1:]:
        column.justify = "right"
    return table


def _places(places: Sequence[PlaceAnswer]) -> object:
    rows = [
        (
            it.name,
            it.place,
            f"{it.distance:.3g}",
            f"{it.typical[0]:.3g} (highest {it.typical[1]:.3g})",
            _heaviest(it),
        )
        for it in places
    ]
    columns = ["model", "lies", "distance", "the models' own", "nearest point"]
    return console.table(columns, rows, right="distance")


def _heaviest(place: PlaceAnswer) -> str:
    heavy = sorted(place.weights.items(), key=lambda it: -it[1])[:3]
    return ", ".join(f"{weight:.2f} {name}" for name, weight in heavy if weight > 0.005)
