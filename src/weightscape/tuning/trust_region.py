"""A search on the surrogate that the network checks at every step.

The step is the surrogate's minimum within a radius; what it gained on the network against what
was promised moves the radius (Conn, Gould and Toint, Trust-Region Methods, 2000, chapter 6).
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from weightscape.tasks.finite import NonFinite
from weightscape.tuning.candidates import CandidateLoss
from weightscape.tuning.convex import minimise
from weightscape.tuning.records import Outcome, Weights
from weightscape.tuning.search_space import SearchSpace
from weightscape.tuning.surrogate import Derivative, Surrogate, linearise, margins_at

POOR, GOOD = 0.25, 0.75
"""Shares of the promised gain below which the radius shrinks, and above which it grows."""

HOPELESS = 0.1
"""The share below which a step counts against a surrogate that was just made."""


@dataclass(frozen=True, slots=True)
class TrustRegion:
    """How the search on the surrogate goes.

    radius: of the first step, in every weight. least: where it ends. gain: a promise too small to
    go on for. steps: points checked on the network at most. derivative: see `linearise`.
    """

    radius: float = 0.3
    least: float = 0.01
    gain: float = 1e-4
    steps: int = 30
    derivative: Derivative = "step"


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """One point that was checked: its weights, what was promised and what was found."""

    weights: Weights
    promised: float
    found: float
    radius: float


@dataclass(frozen=True, slots=True, eq=False)
class Descent:
    """Where the search on the surrogate came to.

    held: whether the surrogate could be trusted; if not, a sampler should go on from `weights`.
    forwards: passes of all rows through the network, derivatives among them.
    """

    weights: Weights
    loss: float
    steps: tuple[Step, ...]
    held: bool
    forwards: float
    why: Literal["converged", "steps", "does not hold", "stopped"]
    surrogate: Surrogate


def descend(
    loss: CandidateLoss,
    space: SearchSpace,
    start: Weights,
    how: TrustRegion = TrustRegion(),
    *,
    going: Callable[[], bool] = lambda: True,
    tell: Callable[[Weights, Outcome, float], None] = lambda weights, outcome, seconds: None,
) -> Descent:
    """Search from a start: minimise the surrogate, check on the network, move the centre, again.

    A point that was checked corrects the slopes at no cost, so they are differentiated anew only
    where they have failed. Where two steps in a row give less than `HOPELESS` of what freshly made
    slopes promised, the surrogate does not hold and the search ends at the best point.

    going: asked before every step. tell: is given every point that was evaluated on the network.
    Raises BadInput where the start's losses are not finite, and as `linearise` does.
    """
    walk = _Walk(loss, space, start, how, tell)
    why: Literal["converged", "steps", "does not hold", "stopped"] = "steps"
    while len(walk.steps) < how.steps:
        if not going():
            why = "stopped"
            break
        target, promised = minimise(walk.surrogate, space, walk.radius)
        small = walk.value - promised < how.gain or walk.radius < how.least
        if small and walk.fresh:
            if walk.failed and walk.straighten():
                continue
            why = "does not hold" if walk.failed else "converged"
            break
        if small or (walk.failed >= 2 and not walk.fresh):
            walk.renew()
            continue
        if walk.failed >= 2:
            why = "does not hold"
            break
        walk.check(target, promised)
    forwards = (loss.read - walk.before) / len(loss.dev)
    held = why != "does not hold"
    return Descent(walk.here, walk.value, tuple(walk.steps), held, forwards, why, walk.surrogate)


class _Walk:
    """Where a search on the surrogate stands.

    fresh: whether the slopes were differentiated at `here`, corrected since or not. failed: how
    many steps in a row have given next to nothing.
    """

    def __init__(
        self,
        loss: CandidateLoss,
        space: SearchSpace,
        start: Weights,
        how: TrustRegion,
        tell: Callable[[Weights, Outcome, float], None],
    ) -> None:
        self.before = loss.read
        self._loss, self._space, self._how, self._tell = loss, space, how, tell
        self.here: Weights = self._shaped(np.atleast_2d(start))
        self.steps: list[Step] = []
        self.radius = how.radius
        self.value = self._measure(self.here)[1]
        self.renew()

    def renew(self) -> None:
        """Differentiate anew at the best point."""
        self.surrogate = linearise(self._loss, self.here, derivative=self._how.derivative)
        self.radius = max(self.radius, 2 * self._how.least)
        self.fresh, self.failed = True, 0
        self._made: Surrogate | None = self.surrogate

    def straighten(self) -> bool:
        """Take back, once, what a failed step made of fresh slopes: a shorter one may succeed."""
        if self._made is None:
            return False
        self.surrogate, self._made = self._made, None
        return True

    def check(self, target: Weights, promised: float) -> None:
        """Try a point on the network, and learn from it."""
        weights = self._shaped(target)
        margins, found = self._measure(weights)
        self.steps.append(Step(weights, promised, found, self.radius))
        share = (self.value - found) / (self.value - promised)
        moved = float(np.abs(target - self.surrogate.centre).max())
        if share < POOR:
            self.radius = min(self.radius, moved) / 2
        elif share > GOOD and moved > 0.9 * self.radius:
            self.radius *= 2
        if share >= HOPELESS:
            self.failed = 0
        elif (
            self.value - promised > 10 * self._how.gain
        ):  # less is lost in curvature near a minimum
            self.failed += 1
        if margins is None:
            return
        if share > 0:
            self.surrogate = self.surrogate.updated(target, margins)
            self.here, self.value, self.fresh = weights, found, False
        else:
            self.surrogate = self.surrogate.bent(target, margins)

    def _measure(self, weights: Weights) -> tuple[np.ndarray | None, float]:
        began = time.perf_counter()
        try:
            margins = margins_at(self._loss, weights)
        except NonFinite:
            if not self.steps:
                raise
            margins = None
        outcome = self._loss(weights)
        self._tell(weights, outcome, time.perf_counter() - began)
        return margins, outcome.loss

    def _shaped(self, rows: Weights) -> Weights:
        return rows if self._loss.mover.groups > 1 else rows[0]
