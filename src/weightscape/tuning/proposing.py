"""The two ways in which a search comes by candidates: the surrogate first, then a sampler."""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import numpy as np
import xxhash

from weightscape.catalog.store import Store
from weightscape.tasks.fingerprint import task_fingerprint
from weightscape.tasks.finite import NonFinite
from weightscape.tuning.candidates import CandidateLoss
from weightscape.tuning.identity import StudyIdentity
from weightscape.tuning.proposer import make_sampler
from weightscape.tuning.records import Outcome, Weights
from weightscape.tuning.search_space import SearchSpace
from weightscape.tuning.study import open_study, run_study, temporary_study
from weightscape.tuning.trust_region import Descent, descend
from weightscape.tuning.under_way import Run, has_surrogate


def on_surrogate(run: Run, loss: CandidateLoss, start: Weights) -> Descent | None:
    """Search on the surrogate, where there is one."""
    how = run.how
    if how.surrogate is None:
        return None
    if not has_surrogate(run, loss):
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


def by_sampler(
    run: Run, loss: CandidateLoss, study: tuple[Store, str] | None, start: Weights
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


def _identity(run: Run, loss: CandidateLoss, start: Weights) -> StudyIdentity:
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
