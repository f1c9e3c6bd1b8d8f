"""The best weights of loaded models for a task: search, choose on other rows, report on others."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from weightscape.catalog.store import Store
from weightscape.errors import BadInput
from weightscape.progress import Progress, silent
from weightscape.tasks.evaluate import evaluate
from weightscape.tasks.spanning import SpannedModels
from weightscape.tasks.task import Example, Task
from weightscape.tuning.candidates import CandidateLoss
from weightscape.tuning.choosing import best_of, folds_of, judged_by_folds, shortened
from weightscape.tuning.proposing import by_sampler, on_surrogate
from weightscape.tuning.records import Trial, TuneResult
from weightscape.tuning.search_space import SearchSpace
from weightscape.tuning.searching import Searching, check_searching
from weightscape.tuning.selection import dev_rows
from weightscape.tuning.under_way import Run, has_surrogate, loss_on

__all__ = ["Searching", "find_weights", "search"]

ENOUGH_TO_PART = 150
"""From this many rows on, a third is kept to choose on; fewer are all searched and judged on."""


def search(
    spanned: SpannedModels,
    task: Task,
    how: Searching = Searching(),
    *,
    rows: Sequence[Example] | None = None,
    study: tuple[Store, str] | None = None,
    progress: Progress = silent,
) -> TuneResult:
    """Search the weights of models for a task (`find_weights`), and score them on the test split.

    rows: development rows, by default those of the validation or else the training split.
    """
    given, told = dev_rows(task) if rows is None else (tuple(rows), "")
    if told:
        progress.note(told)
    dev = given if how.limit is None else _sampled(given, how.limit, how.seed)
    found = find_weights(spanned, task, how, dev, study=study, progress=progress)
    on_dev = _metrics(spanned, replace(task, splits={"dev": dev}), "dev", how)
    held_out = _metrics(spanned, task, "test", how) if task.splits.get("test") else {}
    notes = (told, *found.notes) if told else found.notes
    return replace(found, dev=on_dev, held_out=held_out, notes=notes)


def find_weights(
    spanned: SpannedModels,
    task: Task,
    how: Searching,
    dev: Sequence[Example],
    *,
    study: tuple[Store, str] | None = None,
    progress: Progress = silent,
) -> TuneResult:
    """Search weights on development rows, write the best into the module, and score nothing.

    First on the surrogate, from the uniform soup (the base, in a box); where that does not hold or
    the task has none, by the sampler from the best point. Then one of the best, the start among
    them, is chosen on rows that were not searched on; of few rows each is searched on, and
    cross-validation tells how far to go from the start.

    study: a catalog and a name under which the sampler's candidates are kept, to stop and go on.

    Raises BadInput for heads that are not in the span, where all candidates fail (it names the
    models to blame), and as `check_searching` does.
    """
    check_searching(how)
    run = Run(spanned, task, how, _space(spanned, how), progress, time.monotonic())
    start = run.space.weights_of(run.space.start)
    parts = folds_of(run, tuple(dev)) if how.choice else ()
    loss = loss_on(run, dev, how.racing)
    if parts and len(dev) < ENOUGH_TO_PART and has_surrogate(run, loss):
        run.judged = judged_by_folds(run, parts, start)
    if parts and run.judged is None:
        loss = loss_on(run, parts[0].search, how.racing)
    begun = on_surrogate(run, loss, start)
    if begun is None or not begun.held:
        by_sampler(run, loss, study, start if begun is None else begun.weights)
    _check_finite(run, loss)
    if run.judged is None:
        best = best_of(run, loss, start, parts[0].choice if parts else None)
    else:
        best = shortened(run, loss, start, run.judged)
    loss.mover.keep_all()
    loss.mover.write(best.weights)
    return _unscored(run, best)


def _space(spanned: SpannedModels, how: Searching) -> SearchSpace:
    count, groups = len(spanned.names), 1 + max((how.layers or {}).values(), default=0)
    space = how.space or SearchSpace("simplex", count, groups)
    if space.models != count or space.groups != groups:
        raise BadInput(
            f"the search space has {space.models} models in {space.groups} layer groups, the span "
            f"has {count} in {groups}"
        )
    return space


def _check_finite(run: Run, loss: CandidateLoss) -> None:
    if any(trial.state != "failed" for trial in run.trials):
        return
    blamed = loss.culprits()
    if not run.trials and not blamed:
        raise BadInput("the budget was spent before a candidate was evaluated; give more")
    raise BadInput(
        f"the losses of all {len(run.trials)} candidates on task {run.task.name!r} are not finite; "
        + (f"leave out {'; '.join(blamed)}" if blamed else "each model alone is finite")
    )


def _unscored(run: Run, best: Trial) -> TuneResult:
    return TuneResult(
        task=run.task.name,
        metric=run.task.metrics[0],
        names=run.spanned.names,
        best=best,
        dev={},
        held_out={},
        baselines=(),
        trials=tuple(run.trials),
        sampler=", ".join(run.proposed),
        space=run.space.kind,
        evaluations=len(run.trials) + (0 if run.judged is None else run.judged.evaluated),
        seconds=time.monotonic() - run.began,
        notes=tuple(run.notes),
    )


def _metrics(spanned: SpannedModels, task: Task, split: str, how: Searching) -> Mapping[str, float]:
    found = evaluate(spanned.model, task, split=split, batch=how.batch, autocast=how.autocast)
    return found.metrics


def _sampled(rows: Sequence[Example], limit: int, seed: int) -> tuple[Example, ...]:
    if limit < 1:
        raise BadInput(f"a search needs one row or more, got a limit of {limit}")
    chosen = np.random.default_rng(seed).permutation(len(rows))[:limit]
    return tuple(rows[i] for i in sorted(chosen.tolist()))
