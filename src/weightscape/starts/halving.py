"""Successive halving: short runs for many candidates, more of them for those that are left.

Jamieson and Talwalkar, "Non-stochastic best arm identification and hyperparameter optimization"
(2016, arXiv:1502.07943). All candidates of a round are run on the same cells, cell by cell, so that
wherever a search is cut short they can still be compared on what they all have done.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil, inf
from time import perf_counter

import numpy as np
from jaxtyping import Float64

from weightscape.errors import BadInput
from weightscape.progress import Progress, silent
from weightscape.starts.calibration import calibrated
from weightscape.starts.candidates import Proposal
from weightscape.starts.folds import Cell
from weightscape.starts.outcome import Outcome
from weightscape.starts.short_runs import ShortRuns

Place = tuple[int, int]
"""A cell's repeat and fold."""


@dataclass(slots=True)
class Budget:
    """How many runs and minutes may be spent; None is no limit.

    kept_back: runs of it that are not for the search but for what comes after it.
    """

    runs: int | None = None
    minutes: float | None = None
    kept_back: int = 0
    spent: int = 0
    began: float = field(default_factory=perf_counter)

    def __post_init__(self) -> None:
        if self.runs is not None and self.runs < 1:
            raise BadInput(f"max_runs must be 1 or more, got {self.runs}")
        if self.minutes is not None and not self.minutes > 0:
            raise BadInput(f"minutes must be positive, got {self.minutes}")

    def allows(self, seconds: float | None, *, last: bool = False) -> bool:
        """Tell whether one more run may be made that takes so long; `last`: all else is done."""
        back = 0 if last else self.kept_back
        if self.runs is not None and self.spent + 1 > max(self.runs - back, 1 if not last else 0):
            return False
        if self.minutes is None:
            return True
        left = self.seconds_left
        return left > 0.0 if seconds is None else left >= seconds * (1 + back)

    @property
    def seconds_left(self) -> float:
        """Tell how much time there is yet; infinite where none was set."""
        if self.minutes is None:
            return inf
        return 60.0 * self.minutes - (perf_counter() - self.began)


@dataclass(frozen=True, slots=True)
class Search:
    """What a search found: runs by candidate and cell, and when each candidate was dropped.

    rounds: how many were finished. cut_short: whether the budget ended it. left_out: finalists
    that were given no run, for there was not the time for a first round with them.
    """

    runs: Mapping[str, Mapping[Place, Outcome]]
    dropped: Mapping[str, int] = field(default_factory=dict)
    rounds: int = 0
    cut_short: bool = False
    left_out: int = 0

    def common(self, names: Sequence[str]) -> list[Place]:
        """List the cells that all of these candidates have runs in."""
        shared = set.intersection(*(set(self.runs.get(name, {})) for name in names))
        return sorted(shared)

    def loss(self, name: str, places: Sequence[Place]) -> float:
        """Give a candidate's mean calibrated loss over the rows held out in cells."""
        return float(self.row_losses(name, places).mean())

    def row_losses(self, name: str, places: Sequence[Place]) -> Float64[np.ndarray, " rows"]:
        """Give the calibrated loss of each row held out in cells, mean over its repeats.

        The rows are in the order of their numbers: the same for all candidates. A loss that is no
        number is infinite: nothing is worse.
        """
        found = [self.runs[name][place] for place in places]
        rows = np.concatenate([it.rows for it in found])
        _, which = np.unique(rows, return_inverse=True)
        losses = np.concatenate([it.losses for it in found])
        if found[0].logs.shape[1]:
            logs = np.concatenate([it.logs for it in found])
            targets = np.concatenate([it.targets for it in found]).astype(np.int64)
            losses = calibrated(logs, targets, which % 2 == 0)
        means: Float64[np.ndarray, " rows"] = np.bincount(which, losses) / np.bincount(which)
        return np.where(np.isnan(means), inf, means)


def halve(
    finalists: Sequence[Proposal],
    rounds: Sequence[Sequence[Cell]],
    runs: ShortRuns,
    budget: Budget,
    *,
    keep: Sequence[str] = (),
    least: int = 2,
    progress: Progress = silent,
) -> Search:
    """Run all finalists on the cells of the first round, then the better half on the next, ...

    keep: candidates that are never dropped, for others are measured against them. least: so many
    of the first finalists are run however short the time is; of the others those for whom a first
    round can be ended. The calibrated loss on held-out rows decides, over all cells that those
    left have in common.
    """
    left = _affordable(finalists, rounds[0], runs, budget, least)
    found: dict[str, dict[Place, Outcome]] = {it.candidate.name: {} for it in left}
    dropped: dict[str, int] = {}
    done, whole = 0, True
    total = _count(len(left), rounds, len(keep))
    with progress.stage("short fine-tunings", total=total, unit="runs") as advance:
        for number, cells in enumerate(rounds, 1):
            whole = _run_round(left, cells, runs, budget, found, advance)
            if not whole:
                break
            done = number
            if number < len(rounds):
                left, lost = _better_half(left, Search(found), keep)
                dropped |= dict.fromkeys(lost, number)
    return Search(found, dropped, done, not whole, len(finalists) - len(found))


def _affordable(
    finalists: Sequence[Proposal],
    cells: Sequence[Cell],
    runs: ShortRuns,
    budget: Budget,
    least: int,
) -> list[Proposal]:
    """Take the first finalists, as many as there is the time for to run on all these cells.

    The first run is made for it: only then is it known how long one takes.
    """
    if budget.minutes is None:
        return list(finalists)
    if runs.seconds is None and budget.allows(None):
        runs.at(finalists[0].weights, cells[0])
    taken: list[Proposal] = []
    fresh = budget.kept_back
    for proposal in finalists:
        fresh += sum(not runs.knows(proposal.weights, cell) for cell in cells)
        if len(taken) >= least and fresh * (runs.seconds or 0.0) > budget.seconds_left:
            break
        taken.append(proposal)
    return taken


def _run_round(
    left: Sequence[Proposal],
    cells: Sequence[Cell],
    runs: ShortRuns,
    budget: Budget,
    found: Mapping[str, dict[Place, Outcome]],
    advance: Callable[[float], None],
) -> bool:
    """Make a round's runs, cell by cell; tell whether the budget was enough."""
    for cell in cells:
        for proposal in left:
            seconds = 0.0 if runs.knows(proposal.weights, cell) else runs.seconds
            if not budget.allows(seconds):
                return False
            found[proposal.candidate.name][cell.repeat, cell.fold] = runs.at(proposal.weights, cell)
            budget.spent += 1
            advance(1)
    return True


def _better_half(
    left: Sequence[Proposal], search: Search, keep: Sequence[str]
) -> tuple[list[Proposal], list[str]]:
    """Keep the better half, rounded up, of those that may be dropped."""
    names = [it.candidate.name for it in left]
    cells = search.common(names)
    contested = [name for name in names if name not in keep]
    ranked = sorted(contested, key=lambda name: search.loss(name, cells))
    stay = {*keep, *ranked[: ceil(len(ranked) / 2)]}
    kept = [it for it in left if it.candidate.name in stay]
    return kept, [name for name in names if name not in stay]


def _count(finalists: int, rounds: Sequence[Sequence[Cell]], keep: int) -> int:
    """Count the runs of a whole search."""
    total, left = 0, finalists
    for cells in rounds:
        total += left * len(cells)
        left = keep + ceil((left - keep) / 2)
    return total
