"""Baselines that are fine-tuned: from the base alone, on all tasks at once, and from the blend."""

import copy
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from weightscape.errors import BadInput
from weightscape.io import open_checkpoint
from weightscape.progress import Progress
from weightscape.tasks.fine_tune import fine_tune
from weightscape.tasks.fine_tuning import FineTuning
from weightscape.tasks.label_order import Source
from weightscape.tasks.live import LiveModel
from weightscape.tasks.models import load_model
from weightscape.tasks.starts import name_of
from weightscape.tasks.task import Example, Task
from weightscape.tuning.baselines.setting import BASELINES, NO_BASE, NotHad, Rival, Setting
from weightscape.tuning.part_folders import PartProgress
from weightscape.tuning.shared_head import begin_head, has_head

REFITTED = "blend, refitted"
REFITS = 3
"""Fine-tunings of a blend that are averaged."""


@BASELINES.register("fine-tuned base")
def fine_tuned_base(given: Setting) -> Rival:
    """Fine-tune the base on the training rows, by the recipe that adapted the models.

    Pretrain, then fine-tune: what the paper compares with.
    """
    _need_base(given)
    model = _on_target(given, _base(given, given.task), given.task, "fine-tuned-base")
    return Rival(f"{given.adapting.steps} steps on {_count(given.task)} training rows", model=model)


@BASELINES.register("fine-tuned base, all rows")
def fine_tuned_base_on_all(given: Setting) -> Rival:
    """Fine-tune the base on the rows that were kept apart for the search, too."""
    _need_base(given)
    if given.uncut is None:
        raise NotHad("no training rows were kept apart for the search")
    model = _on_target(given, _base(given, given.uncut), given.uncut, "fine-tuned-base-all-rows")
    why = f"{given.adapting.steps} steps on all {_count(given.uncut)} training rows"
    return Rival(why, model=model, saw_dev=True)


@BASELINES.register(REFITTED)
def refitted_blend(given: Setting) -> Rival:
    """Fine-tune the blend on all training rows, for half the steps at half the rate.

    So that it learns from the rows, too, that its weights were searched on. The mean of `REFITS`
    fine-tunings: what a single one comes to depends much on the order of so few rows.
    """
    if given.blend is None or given.uncut is None:
        raise NotHad("no training rows were kept apart for the search")
    whole = given.adapting
    how = replace(whole, lr=whole.lr / 2, steps=max(1, whole.steps // 2))
    mean: LiveModel | None = None
    for number in range(REFITS):
        own = replace(how, data_seed=how.data_seed + number, dropout_seed=how.dropout_seed + number)
        blend = given.blend()
        folder = f"{blend.name}-refitted-{number + 1}"
        made = _on_target(given, blend, given.uncut, folder, own)
        mean = made if mean is None else _moved(mean, made, 1 / (number + 1))
    rows = _count(given.uncut)
    why = f"{how.steps} more steps on all {rows} training rows, the mean of {REFITS} times"
    return Rival(why, model=mean, saw_dev=True)


def _moved(model: LiveModel, other: LiveModel, share: float) -> LiveModel:
    """Move a model a share of the way to another, in place."""
    towards = other.module.state_dict()
    with torch.no_grad():
        for name, tensor in model.module.state_dict().items():
            if tensor.is_floating_point():
                tensor.lerp_(towards[name], share)
    return model


@BASELINES.register("multi-task")
def multi_task(given: Setting) -> Rival:
    """Fine-tune the base on the rows of all tasks at once, then on the target.

    One head answers with the labels of all tasks. In all as many steps as the experts took, and
    from each source as many rows as its expert could have seen.
    """
    _need_base(given)
    tasks = [it for it in given.sources if it.kind == given.task.kind and it.labels]
    if not given.task.labels:
        raise NotHad("the target has no labels that it could share a head by")
    if not tasks:
        raise NotHad("it needs source tasks of the target's kind, with labels")
    joined = join_tasks([*tasks, given.task], given.expert.steps * given.expert.batch)
    how = replace(given.expert, steps=given.expert.steps * len(tasks))
    folder = given.folder / "multi-task-sources"
    made = fine_tune(
        _loaded(given, joined),
        joined,
        folder,
        how,
        parent=name_of(_source(given)),
        score_rows=64,
        progress=PartProgress(given.progress, "multi-task"),
    )
    start = _headed(given, made.folder, given.task, "the multi-task model")
    model = _on_target(given, start, given.task, "multi-task")
    left = len(given.sources) - len(tasks)
    why = f"{how.steps} steps on {len(tasks)} sources and the target, then on the target"
    return Rival(why + (f"; {left} sources of another kind left out" if left else ""), model=model)


def join_tasks(tasks: Sequence[Task], rows: int) -> Task:
    """Make one task of several: its labels are theirs, each beside the name of its task.

    rows: of each task's training rows at most. Validation rows are their last part, so that the
    training has something to be scored on; nobody chooses by them.
    """
    labels = tuple(f"{task.name}: {label}" for task in tasks for label in task.labels)
    train: list[Example] = []
    scored: list[Example] = []
    before = 0
    for task in tasks:
        there = task.rows("train")
        chosen = torch.randperm(len(there), generator=torch.Generator().manual_seed(0))[:rows]
        numbered = [
            there[i]._replace(target=before + int(there[i].target)) for i in chosen.tolist()
        ]
        train += numbered
        scored += numbered[:16]
        before += len(task.labels)
    placed = tuple(row._replace(row=number) for number, row in enumerate(train))
    # scores of rows that were trained on: they are in nobody's report
    splits = {"train": placed, "validation": tuple(scored)}
    longest = max(task.max_tokens for task in tasks)
    name = " and ".join(task.name for task in tasks)
    return replace(tasks[-1], name=name, labels=labels, splits=splits, max_tokens=longest)


def _need_base(given: Setting) -> None:
    if given.base_source is None:
        raise NotHad(NO_BASE)


def _source(given: Setting) -> str | Path:
    assert given.base_source is not None
    if isinstance(given.base_source, LiveModel):
        return given.base_source.folder or given.base_source.name
    return given.base_source


def _base(given: Setting, task: Task) -> LiveModel:
    assert given.base_source is not None
    return _headed(given, given.base_source, task, "the base")


def _headed(given: Setting, source: Source, task: Task, where: str) -> LiveModel:
    """Bring a model up with a head begun on the training rows, as those of the others were."""
    if isinstance(source, LiveModel):
        model = replace(source, module=copy.deepcopy(source.module))
    else:
        model = load_model(source, task, **given.loading)
    if not has_head(task):
        return model
    begin_head(model, task, given.base_head, given.how.seed, where)
    return replace(model, labels=task.labels, drawn=False)


def _loaded(given: Setting, task: Task) -> LiveModel | str | Path:
    if isinstance(given.base_source, LiveModel):
        raise NotHad("it needs the base as a folder, for a head of all tasks' labels")
    return load_model(_source(given), task, init_seed=given.how.seed, **given.loading)


def _on_target(
    given: Setting, start: LiveModel, task: Task, folder: str, how: FineTuning | None = None
) -> LiveModel:
    seed = given.how.seed
    how = how or given.adapting
    own = replace(
        how,
        init_seed=how.init_seed + seed,
        data_seed=how.data_seed + seed,
        dropout_seed=how.dropout_seed + seed,
    )
    progress: Progress = PartProgress(given.progress, folder)
    try:
        made = fine_tune(start, task, given.folder / folder, own, score_rows=64, progress=progress)
    except BadInput as problem:
        raise NotHad(str(problem)) from problem
    # into the module that is there: one that no Auto class knows could not be brought up again
    with open_checkpoint(made.folder) as stored:
        names = (*stored.tensors, *stored.tied)
        start.module.load_state_dict({name: stored.tensor(name) for name in names})
    return start


def _count(task: Task) -> int:
    return len(task.rows("train"))
