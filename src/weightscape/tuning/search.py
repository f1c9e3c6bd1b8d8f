"""The best weights of loaded models for a task: search, choose on other rows, report on others."""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import xxhash

from weightscape.catalog.store import Store
from weightscape.errors import BadInput
from weightscape.progress import Progress, silent
from weightscape.tasks.evaluate import evaluate
from weightscape.tasks.fingerprint import task_fingerprint
from weightscape.tasks.finite import NonFinite
from weightscape.tasks.spanning import SpannedModels
from weightscape.tasks.statistics import has_batch_statistics
from weightscape.tasks.task import Example, Task
from weightscape.tuning.candidates import CandidateLoss
from weightscape.tuning.cross_validation import SHARES, Judged, along, judge_shares
from weightscape.tuning.identity import StudyIdentity
from weightscape.tuning.proposer import make_sampler
from weightscape.tuning.racing import Racing
from weightscape.tuning.records import Outcome, Trial, TuneResult, Weights
from weightscape.tuning.search_space import SearchSpace
from weightscape.tuning.searching import Searching, check_searching
from weightscape.tuning.selection import (
    FOLDS,
    Parts,
    compare,
    dev_rows,
    finalists,
    part_rows,
    warn_of_few,
)
from weightscape.tuning.study import open_study, run_study, temporary_study
from weightscape.tuning.trust_region import Descent, descend

__all__ = ["Searching", "search"]

ENOUGH_TO_PART = 150
"""From this many rows on, a third is kept to choose on; fewer are all searched and judged on."""


@dataclass(slots=True)
class _Run:
    """A search under way: what it was given, what was tried, and what is to be said of it.

    proposed: by what candidates were proposed, in that order. judged: by cross-validation, if that
    was made.
    """

    spanned: SpannedModels
    task: Task
    how: Searching
    space: SearchSpace
    progress: Progress
    began: float
    trials: list[Trial] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    proposed: list[str] = field(default_factory=list)
    judged: Judged | None = None

    def spent(self, loss: CandidateLoss) -> float:
        """Give the evaluations on all rows that as many rows would have made as were read."""
        read = loss.read + (0 if self.judged is None else self.judged.read)
        return read / len(loss.dev)

    def left(self) -> float | None:
        """Give the minutes that are left, if they are counted."""
        if self.how.minutes is None:
            return None
        return max(0.0, self.how.minutes - (time.monotonic() - self.began) / 60)

    def tell(self, weights: Weights, outcome: Outcome, seconds: float) -> None:
        """Keep a candidate that was tried outside of the study."""
        trial = Trial(
            len(self.trials),
            weights,
            outcome.loss,
            outcome.rows,
            outcome.state,
            seconds,
            outcome.error,
        )
        best = min((it.loss for it in self.trials if it.state == "complete"), default=np.inf)
        self.trials.append(trial)
        if trial.state == "complete" and trial.loss < 0.99 * best:
            told = f"candidate {trial.number + 1}: loss {trial.loss:.4f}, the best so far"
            self.progress.note(told)

    def note(self, told: str) -> None:
        """Say something now, and in the result."""
        if told:
            self.notes.append(told)
            self.progress.note(told)


def search(
    spanned: SpannedModels,
    task: Task,
    how: Searching = Searching(),
    *,
    rows: Sequence[Example] | None = None,
    study: tuple[Store, str] | None = None,
    progress: Progress = silent,
) -> TuneResult:
    """Search the weights of models for a task, without writing anything.

    First on the surrogate, from the uniform soup (the base, in a box); where that does not hold or
    the task has none, by the sampler from the best point. Then one of the best, the start among
    them, is chosen on rows that were not searched on; of few rows each is searched on, and
    cross-validation tells how far to go from the start. The choice is scored on the test split.

    rows: development rows, by default those of the validation or else the training split.
    study: a catalog and a name under which the sampler's candidates are kept, to stop and go on.

    Raises BadInput for heads that are not in the span, where all candidates fail (it names the
    models to blame), and as `check_searching` does.
    """
    count = len(spanned.names)
    check_searching(how)
    groups = 1 + max((how.layers or {}).values(), default=0)
    space = how.space or SearchSpace("simplex", count, groups)
    _check(space, count, groups)
    run = _Run(spanned, task, how, space, progress, time.monotonic())
    given, told = dev_rows(task) if rows is None else (tuple(rows), "")
    run.note(told)
    dev = given if how.limit is None else _sampled(given, how.limit, how.seed)
    parts = _parts(run, dev) if how.choice else ()
    start = space.weights_of(space.start)
    loss = _loss(run, dev, how.racing)
    if parts and len(dev) < ENOUGH_TO_PART and _has_surrogate(run, loss):
        run.judged = _judged(run, parts, start)
    if parts and run.judged is None:
        loss = _loss(run, parts[0].search, how.racing)
    begun = _descended(run, loss, start)
    if begun is None or not begun.held:
        _sampled_on(run, loss, study, start if begun is None else begun.weights)
    _check_finite(run, loss)
    if run.judged is None:
        best = _chosen(run, loss, start, parts[0].choice if parts else None)
    else:
        best = _shortened(run, loss, start, run.judged)
    return _result(run, loss, best, dev)


def _check(space: SearchSpace, count: int, groups: int) -> None:
    if space.models != count or space.groups != groups:
        raise BadInput(
            f"the search space has {space.models} models in {space.groups} layer groups, the span "
            f"has {count} in {groups}"
        )


def _parts(run: _Run, dev: tuple[Example, ...]) -> tuple[Parts, ...]:
    """Cut rows into some to search on and others to choose on, if there are enough."""
    if len(dev) < 4 * FOLDS:
        run.note(f"{len(dev)} rows are too few to choose on others than those searched on")
        return ()
    return part_rows(run.task, dev, seed=run.how.seed)


def _loss(run: _Run, rows: Sequence[Example], racing: Racing | None) -> CandidateLoss:
    how = run.how
    return CandidateLoss(
        run.spanned,
        run.task,
        rows,
        racing=racing,
        layers=how.layers,
        penalty=run.space.penalty if run.space.l1 else None,
        batch=how.batch,
        autocast=how.autocast,
        seed=how.seed,
    )


def _has_surrogate(run: _Run, loss: CandidateLoss) -> bool:
    has = loss.dev.targets is not None and not has_batch_statistics(run.spanned.model.module)
    return has and run.how.surrogate is not None


def _judged(run: _Run, parts: Sequence[Parts], start: Weights) -> Judged | None:
    """Judge shares of the way to the best weights; None where a loss is not finite."""
    how, shares = run.how, len(parts) + 1  # the last one is the search on all rows
    assert how.surrogate is not None
    each = np.inf if how.evaluations is None else how.evaluations / shares

    def going(part: int, of: CandidateLoss) -> bool:
        left = run.left()
        late = left is not None and left <= (how.minutes or 0.0) * (1 - (part + 1) / shares)
        return not late and of.read < each * len(of.dev)

    try:
        with run.progress.stage("cross-validating"):
            return judge_shares(
                parts,
                lambda rows: _loss(run, rows, None),
                run.space,
                start,
                how.surrogate,
                going=going,
            )
    except NonFinite as problem:
        run.note(f"no cross-validation: {problem}")
        return None


def _descended(run: _Run, loss: CandidateLoss, start: Weights) -> Descent | None:
    """Search on the surrogate, where there is one."""
    how = run.how
    if how.surrogate is None:
        return None
    if not _has_surrogate(run, loss):
        run.note("no surrogate: only labels and numbers, of networks without BatchNorm, have one")
        return None
    most = np.inf if how.evaluations is None else how.evaluations

    def going() -> bool:
        left = run.left()
        return run.spent(loss) < most and (left is None or left > 0)

    run.proposed.append("surrogate")
    try:
        with run.progress.stage("searching on the surrogate"):
            found = descend(loss, run.space, start, how.surrogate, going=going, tell=run.tell)
    except NonFinite as problem:
        run.note(f"no surrogate: {problem}")
        return None
    if not found.held:
        run.note(
            f"the surrogate did not hold after {len(found.steps)} steps; {how.sampler} goes on "
            f"from a loss of {found.loss:.4f}"
        )
    return found


def _sampled_on(
    run: _Run, loss: CandidateLoss, study: tuple[Store, str] | None, start: Weights
) -> None:
    """Search by the sampler, in a study."""
    how, space = run.how, run.space
    run.proposed.append(how.sampler)
    spent = round(run.spent(loss))
    count = None if how.evaluations is None else max(0, how.evaluations - spent)
    identity = _identity(run, loss, start)
    kept = temporary_study(identity) if study is None else nullcontext(open_study(*study, identity))
    probe = make_sampler(identity)
    gradients = probe.wants_gradient
    probe.close()
    with kept as opened:
        known = [trial for trial in opened.trials() if trial.state == "complete"]
        if known and how.racing is not None:  # a race goes on against the best of earlier runs
            loss(min(known, key=lambda it: it.loss).weights)
        trials = run_study(
            opened,
            _evaluator(loss, space, gradients),
            evaluations=count,
            minutes=run.left(),
            progress=run.progress,
        )
    before = len(run.trials)
    run.trials += [replace(trial, number=before + trial.number) for trial in trials]


def _evaluator(
    loss: CandidateLoss, space: SearchSpace, gradients: bool
) -> Callable[[Weights], Outcome]:
    if not gradients:
        return loss

    def with_gradient(weights: Weights) -> Outcome:
        found = loss.gradient(weights)
        if found.gradient is None:
            return found
        return replace(found, gradient=found.gradient + space.penalty_gradient(weights))

    return with_gradient


def _identity(run: _Run, loss: CandidateLoss, start: Weights) -> StudyIdentity:
    how = run.how
    rows = xxhash.xxh3_128_hexdigest(str([it.row for it in loss.dev.examples]).encode())
    settings: dict[str, Any] = {
        "racing": None if how.racing is None else [how.racing.error, how.racing.least],
        "surrogate": how.surrogate is not None,
        "autocast": str(how.autocast),
        "layers": None if how.layers is None else sorted(how.layers.items()),
        "around": run.spanned.surroundings,
    }
    # a start that was found on the surrogate is not the same to the last digit in every run
    point = np.round(run.space.unit_of(start), 2)
    return StudyIdentity(
        tuple(zip(run.spanned.names, run.spanned.fingerprints, strict=True)),
        run.task.name,
        task_fingerprint(run.task),
        rows,
        run.space,
        how.sampler,
        seed=how.seed,
        start=tuple(point.tolist()),
        settings=settings,
    )


def _check_finite(run: _Run, loss: CandidateLoss) -> None:
    if any(trial.state != "failed" for trial in run.trials):
        return
    blamed = loss.culprits()
    if not run.trials and not blamed:
        raise BadInput("the budget was spent before a candidate was evaluated; give more")
    raise BadInput(
        f"the losses of all {len(run.trials)} candidates on task {run.task.name!r} are not finite; "
        + (f"leave out {'; '.join(blamed)}" if blamed else "each model alone is finite")
    )


def _chosen(
    run: _Run, loss: CandidateLoss, start: Weights, choice: tuple[Example, ...] | None
) -> Trial:
    """Choose among the best candidates and the start on rows that none was searched on."""
    candidates = finalists(run.trials)
    if all(float(np.abs(it - start).max()) > 1e-9 for it in candidates):
        candidates.append(start)
    judge = loss if choice is None else _loss(run, choice, None)
    losses = [judge.losses(weights) for weights in candidates]
    best = int(np.argmin([it.mean() for it in losses]))
    rival = next((i for i, it in enumerate(candidates) if it is start or i != best), best)
    if rival != best:
        named = "the start of the search" if candidates[rival] is start else "the next best"
        rows = len(losses[best])
        run.note(warn_of_few(compare(losses[best], losses[rival]), rows, named))
    return _trial_of(run, loss, candidates[best])


def _shortened(run: _Run, loss: CandidateLoss, start: Weights, judged: Judged) -> Trial:
    """Go from the start to the best weights as far as cross-validation says."""
    best = finalists(run.trials, 1)[0]
    chosen = judged.best
    rival = 0 if chosen else len(SHARES) - 1
    named = "the start of the search" if chosen else "the best weights on these rows"
    rows = judged.losses.shape[1]
    run.note(warn_of_few(compare(judged.losses[chosen], judged.losses[rival]), rows, named))
    if SHARES[chosen] < 1:
        run.note(
            f"by cross-validation, {SHARES[chosen]:.0%} of the way from the start of the search to "
            "the best weights is gone"
        )
    return _trial_of(run, loss, along(start, best, SHARES[chosen]))


def _trial_of(run: _Run, loss: CandidateLoss, weights: Weights) -> Trial:
    found = [it for it in run.trials if np.array_equal(it.weights, weights)]
    if found:
        return found[0]
    run.tell(weights, loss(weights), 0.0)
    return run.trials[-1]


def _result(run: _Run, loss: CandidateLoss, best: Trial, dev: tuple[Example, ...]) -> TuneResult:
    task, spanned = run.task, run.spanned
    loss.mover.keep_all()
    loss.mover.write(best.weights)
    on_dev = _metrics(run, replace(task, splits={"dev": dev}), "dev")
    held_out = _metrics(run, task, "test") if task.splits.get("test") else {}
    return TuneResult(
        task=task.name,
        metric=task.metrics[0],
        names=spanned.names,
        best=best,
        dev=on_dev,
        held_out=held_out,
        baselines=(),
        trials=tuple(run.trials),
        sampler=", ".join(run.proposed),
        space=run.space.kind,
        evaluations=len(run.trials) + (0 if run.judged is None else run.judged.evaluated),
        seconds=time.monotonic() - run.began,
        notes=tuple(run.notes),
    )


def _metrics(run: _Run, task: Task, split: str) -> Mapping[str, float]:
    how = run.how
    found = evaluate(run.spanned.model, task, split=split, batch=how.batch, autocast=how.autocast)
    return found.metrics


def _sampled(rows: Sequence[Example], limit: int, seed: int) -> tuple[Example, ...]:
    if limit < 1:
        raise BadInput(f"a search needs one row or more, got a limit of {limit}")
    chosen = np.random.default_rng(seed).permutation(len(rows))[:limit]
    return tuple(rows[i] for i in sorted(chosen.tolist()))
