"""What is between two models, and how far beyond them the loss stays low.

    python -m bench.regions.extrapolation --work FOLDER [--pairs 3] [--workers 2]

The paper's lines theta(a) = (1 - a) one + a other, ten logarithmic steps outwards on either side:
pairs of one data set, of one domain and of different ones, each scored on the pair's own tasks.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
from bench import report
from bench.connectivity.measure import run_all
from bench.connectivity.tables import save
from bench.regions.groups import Measuring
from bench.regions.models import TASKS, Member, members, task_named
from bench.regions.twins import merged

from weightscape.regions.generalized_loss import GeneralizedLoss
from weightscape.regions.groups import open_group
from weightscape.regions.pairs import follow_pairs
from weightscape.tasks.objective import Objective

LEVELS = ("data set", "domain", "different")
TOLD = (-3.0, 0.5, 4.0)  # where the table reads the curves, at the nearest step


@dataclass(frozen=True, slots=True)
class Line:
    """Two models and the tasks that the line through them is scored on."""

    level: str
    one: str
    other: str
    tasks: tuple[str, ...]


def main() -> None:
    """Follow the lines, and write the table, the picture and the JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--only-tell", action="store_true", help="measure nothing")
    asked = parser.parse_args()
    how = Measuring()
    lines = lines_of(members(asked.work), asked.pairs)
    known = [it for it in lines if file_of(it, how, asked.work).is_file()]
    there = known if asked.only_tell else lines
    found = run_all(follow, [(it, how, asked.work) for it in there], asked.workers, "line")
    rows = [row for it in found for row in read(it)]
    levels = {level: summary([it for it in rows if it["level"] == level]) for level in LEVELS}
    left = [f"{it.one} to {it.other}" for it in lines if it not in there]
    result = {"how": asdict(how), "left": left, "levels": levels, "rows": rows, "lines": found}
    report.keep("regions-extrapolation", result, module="bench.regions.extrapolation")
    draw(found)
    head = ["level", "curves", *(f"a = {alpha:g}" for alpha in TOLD), "span within 1.5 times"]
    report.show(
        head,
        [
            [level, it["curves"], *(f"{it[f'at {alpha:g}']:.2f}" for alpha in TOLD), _span(it)]
            for level, it in levels.items()
            if it["curves"]
        ],
    )


def lines_of(models: Sequence[Member], count: int) -> list[Line]:
    """Choose `count` lines of each level; data sets that are one in all but name make none."""
    first = {it.task: it for it in reversed(models)}
    second = {it.task: it for it in models if it.number == 2}
    one_of = merged(first)
    tasks = [task for task in TASKS if task in first and one_of[task] == task]
    found = [
        Line("data set", first[task].name, second[task].name, (task,))
        for task in tasks
        if task in second
    ][:count]
    pairs = [(a, b) for i, a in enumerate(tasks) for b in tasks[i + 1 :]]
    for level in LEVELS[1:]:
        alike = level == "domain"
        left = [p for p in pairs if (first[p[0]].domain == first[p[1]].domain) == alike]
        chosen: list[tuple[str, str]] = []
        while left and len(chosen) < count:  # tasks that were not chosen yet come first
            used = [task for pair in chosen for task in pair]
            best = min(left, key=lambda p: used.count(p[0]) + used.count(p[1]))
            left.remove(best)
            chosen.append(best)
        found += [Line(level, first[a].name, first[b].name, (a, b)) for a, b in chosen]
    return found


def follow(line: Line, how: Measuring, work: Path) -> dict[str, Any]:
    """Score the points of a line, from the work folder if they were scored before."""
    file = file_of(line, how, work)
    if file.is_file():
        return json.loads(file.read_text())  # type: ignore[no-any-return]
    tasks = [task_named(task, how.tokens) for task in line.tasks]
    group = open_group([work / "models" / name for name in (line.one, line.other)], tasks)
    objectives = [Objective(group.spanned, it, how.scoring, folder=work / "cache") for it in tasks]
    losses = GeneralizedLoss(group, objectives, lambda done: None)
    places = [group.names.index(name) for name in (line.one, line.other)]
    (profile,) = follow_pairs(losses, [(places[0], places[1], "in")])
    curves = {
        task: [None if np.isnan(loss) else loss for loss in losses]
        for task, losses in profile.losses.items()
    }
    kept = {"line": asdict(line), "alphas": list(profile.alphas), "losses": curves}
    file.parent.mkdir(parents=True, exist_ok=True)
    half = file.with_suffix(".half")
    half.write_text(json.dumps(kept))
    half.replace(file)
    return kept


def file_of(line: Line, how: Measuring, work: Path) -> Path:
    """Say where a line's losses are kept."""
    told = json.dumps([asdict(line), asdict(how)])
    return work / "lines" / f"{blake2b(told.encode(), digest_size=12).hexdigest()}.json"


def read(found: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Read a line's curves: losses over the ends' mean, and how far they stay within 1.5 of it."""
    rows = []
    alphas = np.array(found["alphas"])
    for task, losses in found["losses"].items():
        values = np.array([np.inf if loss is None else loss for loss in losses])
        ends = (values[alphas == 0.0].mean() + values[alphas == 1.0].mean()) / 2
        relative = values / ends
        rows.append(
            {
                **found["line"],
                "task": task,
                "ends": float(ends),
                **{f"at {alpha:g}": _at(alphas, relative, alpha) for alpha in TOLD},
                "span": span_within(alphas, relative, 1.5),
            }
        )
    return rows


def span_within(alphas: np.ndarray, relative: np.ndarray, most: float) -> list[float]:
    """Give the last steps, left and right of the middle, up to which a curve stays within."""
    inside = relative <= most
    middle = int(np.abs(alphas - 0.5).argmin())
    low = high = middle
    while low > 0 and inside[low - 1]:
        low -= 1
    while high + 1 < len(alphas) and inside[high + 1]:
        high += 1
    return [float(alphas[low]), float(alphas[high])]


def summary(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Sum up the curves of a level by their medians."""
    if not rows:
        return {"curves": 0}
    spans = np.array([it["span"] for it in rows])
    return {
        "curves": len(rows),
        **{f"at {a:g}": float(np.median([it[f"at {a:g}"] for it in rows])) for a in TOLD},
        "span": np.median(spans, axis=0).tolist(),
    }


def draw(found: Sequence[Mapping[str, Any]]) -> Path:
    """Draw each level's curves against the place on the line."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 3.8), dpi=90, layout="constrained")
    panels = figure.subplots(1, len(LEVELS), sharey=True)
    for axes, level in zip(panels, LEVELS, strict=True):
        for it in (it for it in found if it["line"]["level"] == level):
            for task, losses in it["losses"].items():
                ends = [y for a, y in zip(it["alphas"], losses, strict=True) if a in (0.0, 1.0)]
                kept = [
                    (a, y / (sum(ends) / 2))
                    for a, y in zip(it["alphas"], losses, strict=True)
                    if y is not None
                ]
                words = f"{it['line']['one']} - {it['line']['other']}: {task}"
                axes.plot(*zip(*kept, strict=True), "o-", markersize=2.5, linewidth=1, label=words)
        axes.axvspan(0, 1, color="#eeeeee")
        axes.set_xscale("symlog", linthresh=1)
        axes.set_yscale("log")
        axes.axhline(1, color="#999999", linewidth=0.8)
        axes.set_title({"different": "different tasks"}.get(level, f"same {level}"), fontsize=10)
        axes.set_xlabel("a: 0 and 1 are the models")
        axes.legend(frameon=False, fontsize=5.5)
    panels[0].set_ylabel("generalized loss / mean of the ends")
    return save(figure, "regions-extrapolation.png")


def _at(alphas: np.ndarray, values: np.ndarray, alpha: float) -> float:
    return float(values[int(np.abs(alphas - alpha).argmin())])


def _span(it: Mapping[str, Any]) -> str:
    return f"{it['span'][0]:.1f} to {it['span'][1]:.1f}"


if __name__ == "__main__":
    main()
