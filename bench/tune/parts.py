"""What the benches of blends share: targets of few rows, experts of other tasks, adapted models.

FOLDER, the work folder of every bench here, has the experts in `models`, as

    python -m bench.regions.models --work FOLDER

makes them; a link to where they are already does as well.
"""

from dataclasses import dataclass, replace
from pathlib import Path

from bench.regions.fresh import others_of, user_task
from bench.regions.models import Member, base_folder, members

from weightscape.progress import Progress, silent
from weightscape.tasks.batches import sample_rows
from weightscape.tasks.fine_tuning import FineTuning
from weightscape.tasks.precision import multiplies_bfloat16
from weightscape.tasks.task import Example, Task
from weightscape.tuning.adapting import adapt
from weightscape.tuning.few_rows import hold_out
from weightscape.tuning.opening import OpenedModels, open_models
from weightscape.tuning.selection import dev_rows

TARGETS = (
    "vader_tweets",
    "vader_amazon",
    "rt_polarity",
    "20ng_sci",
    "20ng_comp",
    "trec6",
    "subjectivity",
    "debates2016",
    "20ng_rec",
)
"""Chosen by kind, before anything was run: reviews, topics, questions, style, dialogue."""

ROWS = 100
TEST_ROWS = 500
TOKENS = 32


@dataclass(frozen=True, slots=True)
class Opened:
    """Adapted models in a span, the task they were adapted to, and the rows to search on."""

    models: OpenedModels
    task: Task
    dev: tuple[Example, ...]


def target_task(name: str, seed: int, rows: int = ROWS) -> Task:
    """Give a target as somebody has it: few rows by the seed; test rows are all seeds' own."""
    task = user_task(name, rows, seed, TOKENS)
    return replace(task, splits={**task.splits, "test": sample_rows(task, "test", TEST_ROWS)})


def sources_of(target: str, work: Path) -> tuple[str, ...]:
    """Name the other targets, without those that have the texts and labels of this one."""
    there = [it for it in members(work) if it.task in TARGETS]
    return tuple(task for task in others_of(target, there) if task in TARGETS)


def experts_of(target: str, seed: int, work: Path) -> dict[str, Path]:
    """Find an expert of each source, another one for each seed; by the source's name."""
    number = seed + 1
    found = {task: Member(task, number, work / "models" / f"{task}-{number}") for task in TARGETS}
    return {task: found[task].folder for task in sources_of(target, work)}


def adapting() -> FineTuning:
    """Give the recipe of the fine-tunings on a target, in bfloat16 where that pays.

    By numbers, so that models which are there stay of use when the default is another one.
    """
    return FineTuning(lr=1e-4, steps=75, autocast=multiplies_bfloat16())


def adapted_of(
    target: str,
    seed: int,
    work: Path,
    progress: Progress = silent,
    how: FineTuning | None = None,
) -> list[Path]:
    """Fine-tune the experts on a target's rows, unless that is done; give the folders."""
    made = adapt(
        list(experts_of(target, seed, work).values()),
        target_task(target, seed),
        adapted_folder(target, seed, work, how),
        how or adapting(),
        seed=seed,
        score_rows=64,
        progress=progress,
    )
    return [it.folder for it in made.models]


def adapted_folder(target: str, seed: int, work: Path, how: FineTuning | None = None) -> Path:
    """Say where a target's adapted models are kept; those of another recipe have its name."""
    recipe = "" if how in (None, adapting()) else f"-{how.steps}-{how.lr:g}"
    return work / "adapted" / f"{target}-{seed}{recipe}"


def opened(target: str, seed: int, work: Path, progress: Progress = silent) -> Opened:
    """Open a target's adapted models, and the base with them, as a search of their weights does."""
    cut, _ = hold_out(target_task(target, seed))
    models = open_models(
        adapted_of(target, seed, work, progress), cut, base=base_folder(), seed=seed
    )
    return Opened(models, cut, dev_rows(cut)[0])
