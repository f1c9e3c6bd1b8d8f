"""Somebody's own fine-tuning: a few rows of a task that no model of the pool was made for."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from bench.regions.models import TASKS, Member, base_folder, task_named
from bench.regions.twins import twins

from weightscape.tasks.spanning import SpannedModels, open_span
from weightscape.tasks.task import Example, Task
from weightscape.tasks.text_data import text_source
from weightscape.zoo.derive import merge_models

LEAST = 2  # rows of every label
SINGLE = "model "


def user_rows(task: Task, rows: int | None, seed: int) -> tuple[Example, ...]:
    """Draw training rows by a seed, each label's share kept, and two of each at the least."""
    everything = task.rows("train")
    if rows is None or rows >= len(everything):
        return everything
    order = np.random.default_rng(seed).permutation(len(everything)).tolist()
    by_label: dict[object, list[int]] = {}
    for place in order:
        by_label.setdefault(everything[place].target, []).append(place)
    # in turns of equal shares: the n-th of a label's rows stands at n / its number
    queue = sorted(
        ((n + 0.5) / len(places) if n >= LEAST else n - LEAST, place)
        for places in by_label.values()
        for n, place in enumerate(places)
    )
    return tuple(everything[place] for _, place in sorted(queue[:rows], key=lambda it: it[1]))


def user_task(name: str, rows: int | None, seed: int, tokens: int) -> Task:
    """Give a task as somebody has it: a few training rows, and the test rows that judge."""
    task = task_named(name, tokens)
    splits = {"train": user_rows(task, rows, seed), "test": task.rows("test")}
    return replace(task, splits=splits)


def others_of(target: str, models: Sequence[Member]) -> tuple[str, ...]:
    """Name the tasks whose models may help: neither the target nor one in all but name with it."""
    there = [task for task in TASKS if any(it.task == task for it in models)]
    away = {target, *twins(there)[target]}
    return tuple(task for task in there if task not in away)


def centre_of(task: str, models: Sequence[Member], work: Path) -> Path:
    """Give the mean of a task's models as a folder: its region's centre."""
    parents = [it.folder for it in models if it.task == task]
    out = work / "centres" / f"of-{len(parents)}" / task
    if not out.is_dir():
        out.parent.mkdir(parents=True, exist_ok=True)
        merge_models(parents, out, weights=[1 / len(parents)] * len(parents))
    return out


def open_pool(target: str, models: Sequence[Member], work: Path) -> SpannedModels:
    """Span the base, which comes first, and the centres of the other tasks' models."""
    centres = [centre_of(task, models, work) for task in others_of(target, models)]
    return open_span([base_folder(), *centres], task_named(target), head="probe", space="product")


def plain_starts(target: str, names: Sequence[str]) -> Iterator[tuple[str, np.ndarray]]:
    """Give the starts that need no choosing, as weights over a pool's models.

    "right region": the centre of what is about the same as the target, which somebody would have
    to know; not there for a target that is alone in its domain. "model NAME": another task's.
    """
    tasks = names[1:]
    domain = text_source(target).domain
    yield "base", mean_of(names, names[:1])
    yield "centroid", mean_of(names, tasks)
    alike = [task for task in tasks if text_source(task).domain == domain]
    if alike:
        yield "right region", mean_of(names, alike)
    for task in tasks:
        yield f"{SINGLE}{task}", mean_of(names, [task])


def mean_of(names: Sequence[str], chosen: Sequence[str]) -> np.ndarray:
    """Weigh some of the models alike, and the others not at all."""
    return np.array([(name in chosen) / len(chosen) for name in names])
