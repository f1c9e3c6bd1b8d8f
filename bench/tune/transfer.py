"""Does a blend of adapted experts beat fine-tuning the base on a few rows? And its other rivals?

    python -m bench.tune.transfer --work FOLDER [--seeds 3] [--first-seed 0] [--multi-task 1]

Leave-one-task-out: experts of the other tasks, each fine-tuned on 100 rows of the target, their
weights searched by `find_blend`, judged on test rows that nothing else looks at. The measure is
the base, fine-tuned on all 100 rows: the blend's training and its search share as many.
--multi-task N: of the first N seeds only, for it costs as much as all the rest. Killed, it goes on
where it was; what was run so far is told. FOLDER: see bench/tune/parts.py.
"""

import argparse
import json
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from hashlib import blake2b
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter, process_time
from typing import Any

import numpy as np
import torch
from bench import report
from bench.connectivity.measure import run_all
from bench.regions.models import RECIPE, base_folder, task_named
from bench.tune.parts import (
    ROWS,
    TARGETS,
    TEST_ROWS,
    TOKENS,
    adapted_folder,
    adapted_of,
    experts_of,
    target_task,
)
from bench.tune.transfer_table import BLEND, FAIR, REFITTED, draw, show, summary

from weightscape.progress import silent
from weightscape.tasks.evaluate import evaluate
from weightscape.tasks.fine_tune import fine_tune
from weightscape.tasks.fine_tuning import FineTuning
from weightscape.tasks.models import load_model
from weightscape.tasks.precision import multiplies_bfloat16
from weightscape.tasks.spanning import open_span
from weightscape.tasks.task import Task
from weightscape.tuning.baselines import BASELINES, Setting
from weightscape.tuning.cross_validation import SHARES, along
from weightscape.tuning.few_rows import few_rows_fine_tuning, hold_out
from weightscape.tuning.finding import find_blend
from weightscape.tuning.opening import open_models
from weightscape.tuning.records import TuneResult
from weightscape.tuning.search import Searching
from weightscape.zoo.derive import merge_models

UNIFORM, MULTI = "uniform soup", "multi-task"
REFIT = FineTuning(lr=1e-4, steps=20, autocast=multiplies_bfloat16())
"""Of a blend on all rows: those that the search had are learned, too."""
REFITS = 3
CONTROL = f"{FAIR}{REFITTED}"
APART = (f"{BLEND}{REFITTED}", MULTI, "factor average")
"""Made by `refit`, which also does the uniform soup; by `multi_task`; and for adapters alone."""

SOURCE: FineTuning = replace(RECIPE, steps=50)
"""Of each source in multi-task: half of what its expert had, for want of time."""


def main() -> None:
    """Run every target, seed after seed, and write the table, the picture and the JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--targets", nargs="+", default=TARGETS, choices=TARGETS)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--multi-task", type=int, default=1, help="seeds that have it")
    parser.add_argument("--keep", type=int, default=1, help="seeds whose adapted models are kept")
    parser.add_argument("--only-tell", action="store_true", help="run nothing")
    asked = parser.parse_args()
    seeds = range(asked.first_seed, asked.first_seed + asked.seeds)
    jobs = [
        (target, seed, asked.work, seed < asked.multi_task, seed < asked.keep)
        for seed in seeds
        for target in asked.targets
    ]
    if not asked.only_tell:
        run_all(run_whole, jobs, 1, "target")
    else:
        sys.argv.remove("--only-tell")  # what is told was made by the command without it
    wanted = [(target, seed) for seed in seeds for target in TARGETS]
    files = {it: refit_file(*it, asked.work) for it in wanted}  # the last that a run keeps
    runs = [told(*it, asked.work) for it, file in files.items() if file.is_file()]
    table = summary(runs)
    result = {
        "settings": {**settings(), "refit": asdict(REFIT), "refits": REFITS},
        "left": left_of(files),
        "summary": table,
        "runs": runs,
    }
    report.keep("tune-transfer", result, module="bench.tune.transfer")
    draw(table)
    show(table)


def left_of(files: Mapping[tuple[str, int], Path]) -> list[str]:
    """Tell which targets are not there yet, seed by seed."""
    lacking: dict[int, list[str]] = {}
    for (target, seed), file in files.items():
        if not file.is_file():
            lacking.setdefault(seed, []).append(target)
    return [
        f"seed {seed}: {'all targets' if len(them) == len(TARGETS) else ', '.join(them)}"
        for seed, them in lacking.items()
    ]


def run_whole(target: str, seed: int, work: Path, multi: bool, keep: bool) -> None:
    """Do all for one target and seed; what is known is not done again."""
    torch.set_num_threads(1)
    run(target, seed, work)
    refit(target, seed, work)
    refit_base(target, seed, work)
    if multi:
        multi_task(target, seed, work)
    if not keep:
        how = adapting(target, seed)
        shutil.rmtree(adapted_folder(target, seed, work, how), ignore_errors=True)


def told(target: str, seed: int, work: Path) -> dict[str, Any]:
    """Read what is known of a target and seed."""
    found: dict[str, Any] = json.loads(file_of(target, seed, work).read_text())
    ways = {name: it for name, it in found["ways"].items() if not name.endswith(REFITTED)}
    alone = (beside(target, seed, work, way) for way in (MULTI, CONTROL))
    for file in (refit_file(target, seed, work), *alone):
        if file.is_file():
            ways |= json.loads(file.read_text())
    return {**found, "ways": ways}


def run(target: str, seed: int, work: Path) -> None:
    """Adapt, search and score for one target and seed, unless that is known."""
    file = file_of(target, seed, work)
    if file.is_file():
        return
    began, busy = perf_counter(), process_time()
    task, how = target_task(target, seed), adapting(target, seed)
    folder = adapted_folder(target, seed, work, how)
    new = not folder.is_dir()
    models = adapted_of(target, seed, work, how=how)
    adapted = perf_counter() - began, process_time() - busy
    parts = work / "transfer-parts" / f"{target}-{seed}"
    shutil.rmtree(parts, ignore_errors=True)
    found = find_blend(
        models,
        task,
        how=searching(seed),
        base=base_folder(),
        baselines=[it for it in BASELINES.names() if it not in APART],
        adapting=how,
        work=parts,
    )
    told = {
        "target": target,
        "seed": seed,
        "ways": ways_of(found),
        "shares": shares_of(found, models, task, seed),
        "weights": dict(zip(found.names, found.best.weights.round(4).tolist(), strict=True)),
        "evaluations": found.evaluations,
        "notes": found.notes,
        "train_rows": len(hold_out(task)[0].rows("train")),
        "test_rows": len(task.rows("test")),
        "adapt_seconds": adapted[0] if new else None,
        "adapt_cpu_seconds": adapted[1] if new else None,
        "seconds": perf_counter() - began,
        "cpu_seconds": process_time() - busy,
        "load": os.getloadavg()[0],
    }
    keep_run(file, told)
    shutil.rmtree(parts, ignore_errors=True)


def keep_run(file: Path, told: Mapping[str, Any]) -> None:
    """Keep what was found."""
    file.parent.mkdir(parents=True, exist_ok=True)
    half = file.with_suffix(".half")
    half.write_text(json.dumps(report.without_nan(dict(told))))
    half.replace(file)


def refit(target: str, seed: int, work: Path) -> None:
    """Fine-tune the blend of a run, and the mean of all its models, on all rows, unless known."""
    file = refit_file(target, seed, work)
    if file.is_file():
        return
    task = target_task(target, seed)
    models = adapted_of(target, seed, work, how=adapting(target, seed))
    found: dict[str, float] = json.loads(file_of(target, seed, work).read_text())["weights"]
    parts = work / "transfer-parts"
    parts.mkdir(exist_ok=True)
    alike = [1 / len(models)] * len(models)
    ways: dict[str, dict[str, Any]] = {}
    known: dict[tuple[float, ...], dict[str, Any]] = {}
    for name, weights in ((BLEND, list(found.values())), (UNIFORM, alike)):
        key = tuple(weights)
        if key not in known:
            known[key] = refitted(models, weights, task, seed, parts)
        ways[f"{name}{REFITTED}"] = known[key]
    keep_run(file, ways)


def adapting(target: str, seed: int) -> FineTuning:
    """Give the recipe of the fine-tunings on a target: the default."""
    rows = len(hold_out(target_task(target, seed))[0].rows("train"))
    return few_rows_fine_tuning(rows=rows, autocast=multiplies_bfloat16())


def multi_task(target: str, seed: int, work: Path) -> None:
    """Make the way that needs no adapted models, and costs as much as they do."""
    file = beside(target, seed, work, MULTI)
    if file.is_file():
        return
    began = perf_counter()
    with TemporaryDirectory(dir=work) as place:
        rival = BASELINES[MULTI](setting(target, seed, work, Path(place)))
        assert rival.model is not None
        it = evaluate(rival.model, target_task(target, seed), autocast=searching(seed).autocast)
    told = {**it.metrics, "loss": it.loss, "seconds": perf_counter() - began, "why": rival.why}
    keep_run(file, {MULTI: told})


def refit_base(target: str, seed: int, work: Path) -> None:
    """Refit the base that was fine-tuned on all rows as blends are: it tells what refits add."""
    file = beside(target, seed, work, CONTROL)
    if file.is_file():
        return
    with TemporaryDirectory(dir=work) as place:
        BASELINES[FAIR](setting(target, seed, work, Path(place)))
        base = Path(place) / FAIR.replace(",", "").replace(" ", "-")
        task = target_task(target, seed)
        keep_run(file, {CONTROL: refitted([base], [1.0], task, seed, Path(place))})


def setting(target: str, seed: int, work: Path, folder: Path) -> Setting:
    """Give what a way is made from that needs the base alone."""
    task = target_task(target, seed)
    cut, _ = hold_out(task)
    experts = experts_of(target, seed, work)
    return Setting(
        spanned=open_span([base_folder(), *list(experts.values())[:1]], cut, head="probe"),
        models=(),
        members=(),
        base=0,
        base_source=base_folder(),
        base_head="drawn",
        task=cut,
        uncut=task,
        dev=(),
        scored=cut,
        sources=[task_named(name, TOKENS) for name in experts],
        adapting=adapting(target, seed),
        expert=SOURCE,
        how=searching(seed),
        folder=folder,
        progress=silent,
    )


def refitted(
    models: Sequence[Path], weights: Sequence[float], task: Task, seed: int, work: Path
) -> dict[str, Any]:
    """Fine-tune a blend on all rows for a few steps, as `blend, refitted` does; score the mean."""
    began = perf_counter()
    with TemporaryDirectory(dir=work) as place:
        blend = Path(place) / BLEND
        merge_models(models, blend, weights=weights)
        made = []
        for number in range(REFITS):
            drawn = REFITS * seed + number
            how = replace(REFIT, data_seed=drawn, dropout_seed=drawn)
            made.append(
                fine_tune(blend, task, Path(place) / f"{number}", how, score_rows=16).folder
            )
        mean = Path(place) / "mean"
        merge_models(made, mean, weights=[1 / REFITS] * REFITS)
        it = evaluate(load_model(mean, task), task, autocast=searching(seed).autocast)
    why = f"the mean of {REFITS} times {REFIT.steps} steps on all rows"
    return {**it.metrics, "loss": it.loss, "seconds": perf_counter() - began, "why": why}


def shares_of(
    found: TuneResult, models: Sequence[Path], task: Task, seed: int
) -> dict[str, dict[str, float]]:
    """Score shares of the way from the mean of all models to the best weights on the search's rows.

    What `search` chooses by cross-validation, in hindsight.
    """
    cut, _ = hold_out(task)
    opened = open_models(models, cut, seed=seed).models
    done = [it for it in found.trials if it.state == "complete"]
    best = min(done, key=lambda it: it.loss).weights
    start = np.full(len(models), 1 / len(models))
    scores = {}
    for share in SHARES:
        opened.span.write(along(start, best, share)[1:], opened.model.module)
        it = evaluate(opened.model, task, autocast=searching(seed).autocast)
        scores[f"{share:g}"] = {"accuracy": it.metrics["accuracy"], "loss": it.loss}
    return scores


def searching(seed: int) -> Searching:
    """Search by the defaults, in bfloat16 where that is faster.

    The sampler by name: runs that are there stay of use when the default is another one.
    """
    autocast = torch.bfloat16 if multiplies_bfloat16() else None
    return Searching(sampler="cma-es", autocast=autocast, seed=seed)


def ways_of(found: TuneResult) -> dict[str, dict[str, Any]]:
    """Give each way's scores on the test rows, the blend's first; seconds are its own alone."""
    searched = found.seconds - sum(it.seconds for it in found.baselines)
    own = {"seconds": searched, "why": f"{found.sampler}, {found.evaluations} evaluations"}
    ways = {BLEND: {**found.held_out, **own}}
    for it in found.baselines:
        ways[it.name] = {**it.held_out, "seconds": it.seconds, "why": it.why}
    return ways


def settings() -> dict[str, Any]:
    """Tell all that a run depends on, beside the code."""
    how = asdict(searching(0))
    return {
        "rows": ROWS,
        "test_rows": TEST_ROWS,
        "tokens": TOKENS,
        "adapting": asdict(adapting(TARGETS[0], 0)),
        "source": asdict(SOURCE),
        "searching": {name: str(value) for name, value in how.items() if name != "seed"},
    }


def file_of(target: str, seed: int, work: Path) -> Path:
    """Say where a run is kept: runs of other settings are others."""
    mark = blake2b(json.dumps(settings()).encode(), digest_size=6).hexdigest()
    return work / "transfer" / mark / f"{target}-{seed}.json"


def beside(target: str, seed: int, work: Path, way: str) -> Path:
    """Say where a way is told of that was made by itself."""
    return file_of(target, seed, work).with_suffix(f".{way.replace(' ', '-')}.json")


def refit_file(target: str, seed: int, work: Path) -> Path:
    """Say where a run's refitted models are told of."""
    mark = blake2b(json.dumps([asdict(REFIT), REFITS]).encode(), digest_size=4).hexdigest()
    return file_of(target, seed, work).with_suffix(f".refit-{mark}.json")


if __name__ == "__main__":
    main()
