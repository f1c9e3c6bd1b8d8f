"""Is the centre of other tasks' models a better start than the base? And which centre?

    python -m bench.regions.centroid --work FOLDER [--rows 50 1000 full] [--seeds 5] [--start]

Leave-the-target-out: the models of the target, and of a set that has its texts and labels, take
no part. From each start BitFit on the same rows, judged on test rows that nothing else looks at.
--start: also the start that `weightscape start` chooses, given the target's rows and nothing else.
Killed, it goes on where it was; what was run so far is told.
"""

import argparse
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from hashlib import blake2b
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from bench import report
from bench.connectivity.measure import run_all
from bench.regions.chosen import chosen_start
from bench.regions.fresh import SINGLE, open_pool, others_of, plain_starts, user_task
from bench.regions.gains import draw, line, summary
from bench.regions.models import TASKS, base_folder, members, task_named

from weightscape.starts.folds import Cell
from weightscape.starts.heads import HeadStart
from weightscape.starts.short_runs import ShortRuns
from weightscape.tasks.fine_tuning import FineTuning
from weightscape.tasks.objective import Scoring
from weightscape.tasks.precision import multiplies_bfloat16
from weightscape.tasks.spanning import SpannedModels, open_span
from weightscape.tasks.task import Task

BITFIT = FineTuning(method="bitfit", lr=1e-3, steps=60, autocast=multiplies_bfloat16())
LONG_STEPS = 300
LR = {"drawn": 4e-3, "probe": BITFIT.lr}
"""By the head's start: a drawn one has not left the largest class after 60 steps of 1e-3."""


@dataclass(frozen=True, slots=True)
class Judging:
    """How a start is judged. rows: of training, None for all. of: models a centre is made of."""

    rows: int | None
    head: HeadStart = "drawn"
    lr: float = BITFIT.lr
    tokens: int = 32
    test_rows: int = 400
    of: int = 5

    @property
    def how(self) -> FineTuning:
        """Give the fine-tuning: longer where there are many rows."""
        few = self.rows is not None and self.rows <= 100
        return replace(BITFIT, lr=self.lr, steps=BITFIT.steps if few else LONG_STEPS)


def main() -> None:
    """Judge the starts, seed after seed, and write the table, the picture and the JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--rows", nargs="+", default=["50"])
    parser.add_argument("--heads", nargs="+", default=["drawn"], choices=("drawn", "probe"))
    parser.add_argument("--targets", type=int, default=12)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--of", type=int, default=5, help="models of a task, at most")
    parser.add_argument("--start", action="store_true")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--only-tell", action="store_true", help="run nothing")
    asked = parser.parse_args()
    ways = [
        Judging(None if rows == "full" else int(rows), head, LR[head], of=asked.of)
        for rows in asked.rows
        for head in asked.heads
    ]
    targets = TASKS[: asked.targets]
    seeds = range(asked.first_seed, asked.first_seed + asked.seeds)
    # the first seed for all targets, then the others: what is there first is of use first
    jobs = [
        (way, target, some, asked.start, asked.work)
        for way in ways
        for some in (seeds[:1], seeds[1:])
        for target in targets
    ]
    if not asked.only_tell:
        run_all(judge, jobs, asked.workers, "target")
    found = [told(file) for file in sorted((asked.work / "judged").glob("*.json"))]
    result = {
        "left": left_of(ways, targets, seeds, asked),
        "bitfit": asdict(BITFIT),
        "longer": LONG_STEPS,
        "targets": list(targets),
        "summaries": [summary(which, runs) for which, runs in grouped(found)],
        "runs": found,
    }
    report.keep("regions-centroid", result, module="bench.regions.centroid")
    draw(result["summaries"])
    head = ["rows", "head", "start", "targets", "seeds", "wins", "mean gain, points", "over base"]
    report.show(head, [line(it, start) for it in result["summaries"] for start in it["starts"]])


def judge(way: Judging, target: str, seeds: Sequence[int], choose: bool, work: Path) -> None:
    """Judge every start for one target; what is known already is not done again."""
    models = [it for it in members(work) if it.number <= way.of]
    names = ("base", *others_of(target, models))
    # single centres are what a choice is measured against
    starts = [it for it in plain_starts(target, names) if choose or not it[0].startswith(SINGLE)]
    wanted = [*(name for name, _ in starts), *(["start"] if choose else [])]
    files = {
        (name, seed): file_of(way, target, seed, name, work) for name in wanted for seed in seeds
    }
    if all(file.is_file() for file in files.values()):
        return
    runs = runs_in(open_pool(target, models, work), way)
    for seed in seeds:
        task = user_task(target, way.rows, seed, way.tokens)
        told = {"way": asdict(way), "target": target, "seed": seed}
        for name, weights in starts:
            if not files[name, seed].is_file():
                done = run(runs, task, seed, weights)
                named = {
                    it: round(w, 6) for it, w in zip(names, weights.tolist(), strict=True) if w
                }
                keep(files[name, seed], {**told, "start": name, **done, "weights": named})
        if choose and not files["start", seed].is_file():
            folder, choice = chosen_start(target, task, seed, models, work)
            alone = open_span([base_folder(), folder], task_named(target), head="probe")
            done = run(runs_in(alone, way), task, seed, np.array([0.0, 1.0]))
            keep(files["start", seed], {**told, "start": "start", **done, "choice": choice})
            shutil.rmtree(folder)


def left_of(
    ways: Sequence[Judging],
    targets: Sequence[str],
    seeds: Sequence[int],
    asked: argparse.Namespace,
) -> list[str]:
    """Tell how much of what was asked for is not there yet."""
    starts = ("base", "centroid", *(["start"] if asked.start else []))
    left = []
    for way in ways:
        wanted = [(target, seed) for target in targets for seed in seeds]
        lacking = [
            it
            for it in wanted
            if not all(file_of(way, *it, start, asked.work).is_file() for start in starts)
        ]
        if lacking:
            which = f"{way.rows or 'all'} rows, head {way.head}"
            left.append(f"{which}: {len(lacking)} of {len(wanted)} targets and seeds")
    return left


def runs_in(spanned: SpannedModels, way: Judging) -> ShortRuns:
    """Prepare fine-tunings from points of a span."""
    scoring = Scoring(limit=way.test_rows, train_limit=None, validation_limit=0)
    return ShortRuns(spanned, way.how, head=way.head, scoring=scoring)


def run(runs: ShortRuns, task: Task, seed: int, weights: np.ndarray) -> dict[str, Any]:
    """Fine-tune from a point; give the scores on the test rows."""
    began = perf_counter()
    found = runs.at(weights, Cell(seed, -1, task))
    return {
        "accuracy": found.metrics(task)["accuracy"],
        "loss": float(found.loss),
        "train_rows": len(task.rows("train")),
        "test_rows": len(found.rows),
        "right": "".join("01"[int(it)] for it in found.predictions == found.targets),
        "seconds": round(perf_counter() - began, 1),
    }


def keep(file: Path, done: dict[str, Any]) -> None:
    """Keep a run."""
    file.parent.mkdir(parents=True, exist_ok=True)
    half = file.with_suffix(".half")
    half.write_text(json.dumps(done))
    half.replace(file)


def file_of(way: Judging, target: str, seed: int, start: str, work: Path) -> Path:
    """Say where a run is kept."""
    what = json.dumps([asdict(way), asdict(way.how), target, seed, start])
    return work / "judged" / f"{blake2b(what.encode(), digest_size=12).hexdigest()}.json"


def told(file: Path) -> dict[str, Any]:
    """Read a run."""
    return json.loads(file.read_text())  # type: ignore[no-any-return]


def grouped(
    runs: Sequence[Mapping[str, Any]],
) -> Iterator[tuple[dict[str, Any], list[Mapping[str, Any]]]]:
    """Put the runs of each way of judging together, few rows first."""
    ways: dict[str, list[Mapping[str, Any]]] = {}
    for it in runs:
        ways.setdefault(json.dumps(it["way"]), []).append(it)
    ordered = sorted(ways.items(), key=lambda it: (json.loads(it[0])["rows"] or 1 << 30, it[0]))
    for way, them in ordered:
        yield json.loads(way), them


if __name__ == "__main__":
    main()
