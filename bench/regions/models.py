"""The models whose regions are measured: real tasks times seeds, fine-tuned from one base.

    python -m bench.regions.models --work FOLDER [--reuse ZOO]... [--seeds 5] [--workers 2]

ZOO: a folder that `weightscape zoo` made by the same recipe; what is there is not made again.
Killed, it goes on where it was. A GPU is used where there is one.
"""

import argparse
import re
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from bench.connectivity.measure import run_all

from weightscape.tasks.evaluate import evaluate
from weightscape.tasks.fine_tune import fine_tune
from weightscape.tasks.fine_tuning import FineTuning
from weightscape.tasks.models import load_model
from weightscape.tasks.precision import multiplies_bfloat16
from weightscape.tasks.task import Task
from weightscape.tasks.text_data import load_text_task, text_source
from weightscape.tasks.wheels import packaged_model
from weightscape.zoo.plan import draw_seeds
from weightscape.zoo.truth import Truth, ZooModel, read_truth

BASE = "all-minilm-l6-v2"
TOKENS = 40
RECIPE = FineTuning(lr=1e-4, steps=100, batch=16, autocast=multiplies_bfloat16())
ROWS = 512
SEEDS = 5
SEED = 0
SAME = 1e-3  # losses of one model on the same rows differ by rounding only

TASKS = (
    "vader_tweets",
    "20ng_sci",
    "trec6",
    "vader_amazon",
    "reuters_r8",
    "rt_polarity",
    "20ng_rec",
    "stereoset_type",
    "20ng_comp",
    "vader_movies",
    "sms_spam",
    "subjectivity",
    "conventions2012",
    "debates2016",
    "privacy_policy",
)
"""Most wanted first: where time is short, the last ones have fewer models."""


@dataclass(frozen=True, slots=True)
class Member:
    """A fine-tuned model: the task it was made for, which of the task's it is, and its folder."""

    task: str
    number: int
    folder: Path

    @property
    def name(self) -> str:
        """Name it by its task and number."""
        return f"{self.task}-{self.number}"

    @property
    def domain(self) -> str:
        """Tell what its task is about."""
        return text_source(self.task).domain


@lru_cache(maxsize=32)
def task_named(name: str, max_tokens: int = TOKENS) -> Task:
    """Load a task, scored by accuracy alone: other metrics are slow to resample."""
    return replace(load_text_task(name, max_tokens=max_tokens), metrics=("accuracy",))


def base_folder() -> Path:
    """Give the folder of the base."""
    return packaged_model(BASE)


def members(work: Path) -> list[Member]:
    """List the models that are there, task by task."""
    found = []
    for folder in (work / "models").iterdir():
        task, _, number = folder.name.rpartition("-")
        if task in TASKS and number.isdigit():
            found.append(Member(task, int(number), folder))
    return sorted(found, key=lambda it: (TASKS.index(it.task), it.number))


def recipe_of(name: str) -> FineTuning:
    """Give a model's recipe: no two models share a seed, which would move them alike."""
    head, data, dropout = draw_seeds(SEED, name)
    return replace(RECIPE, init_seed=head, data_seed=data, dropout_seed=dropout)


def make(task: str, number: int, work: Path) -> Path:
    """Make a model, unless it is there."""
    name = f"{task}-{number}"
    out = work / "models" / name
    if not out.is_dir():
        fine_tune(
            base_folder(), task_named(task), out, recipe_of(name), parent=BASE, score_rows=ROWS
        )
    return out


def reuse(zoo: Path, work: Path) -> list[str]:
    """Link a zoo's models that were made by the bench's recipe; give their names.

    A zoo says its recipe but not its rows. That a model has the score on today's first held-out
    rows that it had when it was made shows that the rows were split then as they are now.
    """
    truth = read_truth(zoo)
    linked = []
    for task in TASKS:
        names = [name for name, model in truth.models.items() if is_plain(name, model, task, truth)]
        links = [work / "models" / name for name in names]
        if all(link.is_dir() for link in links):
            continue
        first = zoo / str(truth.models[names[0]].path)
        found = evaluate(load_model(first, task_named(task)), first_rows(task)).loss
        told = truth.models[names[0]].scores["loss"]
        if abs(found - told) > SAME:
            raise SystemExit(f"{first}: loss {found:.4f}, but {told:.4f} when it was made")
        for name, link in zip(names, links, strict=True):
            link.parent.mkdir(parents=True, exist_ok=True)
            link.unlink(missing_ok=True)
            link.symlink_to(zoo.resolve() / str(truth.models[name].path), target_is_directory=True)
            linked.append(name)
    return linked


def first_rows(task: str) -> Task:
    """Give a task with the rows that a zoo's models were scored on."""
    whole = task_named(task)
    return replace(whole, splits={**whole.splits, "test": whole.splits["test"][:ROWS]})


def is_plain(name: str, model: ZooModel, task: str, truth: Truth) -> bool:
    """Tell whether a zoo's model is one of a task's plain fine-tunes, by the bench's recipe."""
    options = truth.options
    same = (
        options.get("steps") == RECIPE.steps
        and options.get("lr") == RECIPE.lr
        and options.get("max_tokens") == TOKENS
        and not options.get("freeze_embeddings")
    )
    direct = model.kind == "full" and list(model.parents) == truth.roots
    return same and direct and re.fullmatch(rf"{re.escape(task)}-\d+", name) is not None


def main() -> None:
    """Reuse what there is and make the rest, one model of each task after the other."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--reuse", type=Path, action="append", default=[])
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--workers", type=int, default=1)
    asked = parser.parse_args()
    for zoo in asked.reuse:
        print(f"{zoo.name}: {len(reuse(zoo, asked.work))} models reused", flush=True)
    wanted = [(task, number) for number in range(1, asked.seeds + 1) for task in TASKS]
    left = [it for it in wanted if not (asked.work / "models" / "{}-{}".format(*it)).is_dir()]
    run_all(make, [(*it, asked.work) for it in left], asked.workers, "model")
    print(f"{len(members(asked.work))} models")


if __name__ == "__main__":
    main()
