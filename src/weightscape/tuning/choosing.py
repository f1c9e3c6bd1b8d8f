"""What is chosen of all that a search has tried, on rows that it was not searched on."""

from collections.abc import Sequence

import numpy as np

from weightscape.tasks.finite import NonFinite
from weightscape.tasks.task import Example
from weightscape.tuning.candidates import CandidateLoss
from weightscape.tuning.cross_validation import SHARES, Judged, along, judge_shares
from weightscape.tuning.records import Trial, Weights
from weightscape.tuning.selection import (
    FOLDS,
    Parts,
    compare,
    finalists,
    part_rows,
    warn_of_few,
)
from weightscape.tuning.under_way import Run, loss_on


def folds_of(run: Run, dev: tuple[Example, ...]) -> tuple[Parts, ...]:
    """Cut rows into some to search on and others to choose on, if there are enough."""
    if len(dev) < 4 * FOLDS:
        run.note(f"{len(dev)} rows are too few to choose on others than those searched on")
        return ()
    return part_rows(run.task, dev, seed=run.how.seed)


def judged_by_folds(run: Run, parts: Sequence[Parts], start: Weights) -> Judged | None:
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
                lambda rows: loss_on(run, rows, None),
                run.space,
                start,
                how.surrogate,
                going=going,
            )
    except NonFinite as problem:
        run.note(f"no cross-validation: {problem}")
        return None


def best_of(
    run: Run, loss: CandidateLoss, start: Weights, choice: tuple[Example, ...] | None
) -> Trial:
    """Choose among the best candidates and the start on rows that none was searched on."""
    candidates = finalists(run.trials)
    if all(float(np.abs(it - start).max()) > 1e-9 for it in candidates):
        candidates.append(start)
    judge = loss if choice is None else loss_on(run, choice, None)
    losses = [judge.losses(weights) for weights in candidates]
    best = int(np.argmin([it.mean() for it in losses]))
    rival = next((i for i, it in enumerate(candidates) if it is start or i != best), best)
    if rival != best:
        named = "the start of the search" if candidates[rival] is start else "the next best"
        rows = len(losses[best])
        run.note(warn_of_few(compare(losses[best], losses[rival]), rows, named))
    return _trial_of(run, loss, candidates[best])


def shortened(run: Run, loss: CandidateLoss, start: Weights, judged: Judged) -> Trial:
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


def _trial_of(run: Run, loss: CandidateLoss, weights: Weights) -> Trial:
    found = [it for it in run.trials if np.array_equal(it.weights, weights)]
    if found:
        return found[0]
    run.tell(weights, loss(weights), 0.0)
    return run.trials[-1]
