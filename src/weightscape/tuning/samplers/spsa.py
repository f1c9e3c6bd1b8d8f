"""SPSA: a step from two evaluations, however many coefficients there are."""

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from weightscape.tuning.records import Weights
from weightscape.tuning.samplers.sampler import SAMPLERS, FiniteLosses, begin_at, seed_of
from weightscape.tuning.search_space import Point, SearchSpace

# gains of Spall, "Implementation of the simultaneous perturbation algorithm" (1998), whose
# exponents are those; lengths are of the unit box
STEP, STABILITY, STEP_DECAY = 0.1, 10, 0.602
REACH, REACH_DECAY = 0.1, 0.101


@SAMPLERS.register("spsa")
class Spsa:
    """Simultaneous perturbation stochastic approximation (Spall 1992).

    Asks for the start alone and then for pairs on both sides of where it stands, in random
    directions. Steps are as long as Spall's, with the slopes seen so far for the scale of the loss.
    """

    batch: ClassVar[int] = 2
    wants_gradient: ClassVar[bool] = False
    from_history: ClassVar[bool] = False

    def __init__(
        self, space: SearchSpace, *, seed: int, start: Point | None = None, batch: int | None = None
    ) -> None:
        self._seed, self._turn = seed, 0
        self._place = begin_at(space, start)
        self._slopes: list[float] = []
        self._losses = FiniteLosses()

    def ask(self) -> list[Point]:
        """Propose the start, later a pair of points."""
        if self._turn == 0:
            return [self._place.copy()]
        generator = np.random.default_rng(seed_of(self._seed, self._turn))
        signs = generator.choice([-1.0, 1.0], size=len(self._place))
        reach = REACH / self._turn**REACH_DECAY
        return [np.clip(self._place + side * reach * signs, 0, 1) for side in (1, -1)]

    def tell(
        self,
        points: Sequence[Point],
        losses: Sequence[float],
        gradients: Sequence[Weights] | None = None,
    ) -> None:
        """Step down the slope between the two points."""
        finite = self._losses.of(losses)
        if self._turn:
            self._step(points[0] - points[1], float(finite[0] - finite[1]))
        self._turn += 1

    def close(self) -> None:
        """Do nothing."""

    def _step(self, between: Point, rise: float) -> None:
        # at a side of the box the pair is clipped: its real difference counts
        slopes = np.divide(rise, between, out=np.zeros_like(between), where=between != 0)
        self._slopes.append(float(np.abs(slopes).max(initial=0.0)))
        scale = float(np.mean(self._slopes))
        if scale > 0:
            gain = STEP * ((1 + STABILITY) / (self._turn + STABILITY)) ** STEP_DECAY
            self._place = np.clip(self._place - gain * slopes / scale, 0, 1)
