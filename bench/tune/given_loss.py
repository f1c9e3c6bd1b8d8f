"""How long searches take to a given loss: each one's best loss so far, by both clocks.

The library's own search in its two parts, study and all, each with a clock in its hands.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch
from bench.tune.clock import Taken, now

from weightscape.tasks.fingerprint import task_fingerprint
from weightscape.tasks.spanning import SpannedModels
from weightscape.tasks.task import Example, Task
from weightscape.tuning.candidates import CandidateLoss
from weightscape.tuning.identity import StudyIdentity
from weightscape.tuning.racing import Racing
from weightscape.tuning.records import Outcome, Weights
from weightscape.tuning.search_space import SearchSpace
from weightscape.tuning.study import run_study, temporary_study
from weightscape.tuning.trust_region import TrustRegion, descend

PLAIN = 150
"""Evaluations of the plain search, whose end is the loss that is given."""

MOST = 450
"""Evaluations after which a race that has not come there is stopped."""

WAYS = ("plain", "racing", "racing and surrogate")


@dataclass(slots=True)
class Trace:
    """What a search has come to: a line at every candidate that is better than those before.

    lines: evaluations so far, forwards of all rows so far, wall and processor seconds, loss.
    """

    loss: CandidateLoss
    began: Taken = field(default_factory=now)
    best: float = np.inf
    evaluations: int = 0
    lines: list[list[float]] = field(default_factory=list)

    def add(self, outcome: Outcome) -> None:
        """Note a candidate."""
        self.evaluations += 1
        if outcome.state != "complete" or outcome.loss >= self.best:
            return
        self.best = outcome.loss
        spent = now().since(self.began)
        read = self.loss.read / len(self.loss.dev)
        self.lines.append([self.evaluations, read, spent.wall, spent.processor, self.best])

    def end(self) -> dict[str, Any]:
        """Give it all as JSON."""
        spent = now().since(self.began)
        return {
            "lines": self.lines,
            "evaluations": self.evaluations,
            "forwards": self.loss.read / len(self.loss.dev),
            "wall": spent.wall,
            "processor": spent.processor,
        }


def trace(
    way: str,
    spanned: SpannedModels,
    task: Task,
    rows: Sequence[Example],
    seed: int,
    autocast: torch.dtype | None,
    goal: float = -np.inf,
) -> dict[str, Any]:
    """Search the simplex in one of the ways, until a loss of `goal` is reached."""
    racing = None if way == "plain" else Racing()
    loss = CandidateLoss(spanned, task, rows, racing=racing, autocast=autocast, seed=seed)
    loss.mover.write(np.full(len(spanned.names), 1 / len(spanned.names)))  # binds and faults in
    space = SearchSpace("simplex", len(spanned.names))
    found = Trace(loss)
    if way == "racing and surrogate":
        descend(
            loss,
            space,
            space.weights_of(space.start),
            TrustRegion(),
            tell=lambda weights, outcome, seconds: found.add(outcome),
        )
    else:
        _sampled(found, space, seed, PLAIN if way == "plain" else MOST, goal)
    return found.end()


class _Reached(Exception):
    """The goal was reached."""


def _sampled(found: Trace, space: SearchSpace, seed: int, most: int, goal: float) -> None:
    spanned, task = found.loss.spanned, found.loss.task
    identity = StudyIdentity(
        tuple(zip(spanned.names, spanned.fingerprints, strict=True)),
        task.name,
        task_fingerprint(task),
        "",
        space,
        "cma-es",
        seed=seed,
    )
    evaluate: Callable[[Weights], Outcome] = partial(_evaluated, found, goal)
    with temporary_study(identity) as study:
        try:
            run_study(study, evaluate, evaluations=most)
        except _Reached:
            return


def _evaluated(found: Trace, goal: float, weights: Weights) -> Outcome:
    outcome = found.loss(weights)
    found.add(outcome)
    if found.best <= goal:
        raise _Reached
    return outcome


def reached(found: dict[str, Any], goal: float) -> dict[str, float] | None:
    """Tell what a search had spent when it came to a loss; None where it never did."""
    for evaluations, forwards, wall, processor, loss in found["lines"]:
        if loss <= goal:
            return {
                "evaluations": evaluations,
                "forwards": forwards,
                "wall": wall,
                "processor": processor,
            }
    return None
