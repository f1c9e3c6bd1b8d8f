"""Points drawn alike: the yardstick from below."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from weightscape.tuning.records import Weights
from weightscape.tuning.samplers.sampler import SAMPLERS, begin_at, seed_of
from weightscape.tuning.search_space import Point, SearchSpace

BATCH = 8


@dataclass(slots=True)
class Random:
    """Uniform points; the first of all is the start."""

    seed: int
    start: Point
    batch: int
    turn: int = 0
    wants_gradient: ClassVar[bool] = False
    from_history: ClassVar[bool] = True

    def ask(self) -> list[Point]:
        """Draw a batch of points."""
        generator = np.random.default_rng(seed_of(self.seed, self.turn))
        drawn = generator.random((self.batch, len(self.start)))
        if self.turn == 0:
            drawn[0] = self.start
        return list(drawn)

    def tell(
        self,
        points: Sequence[Point],
        losses: Sequence[float],
        gradients: Sequence[Weights] | None = None,
    ) -> None:
        """Go on to the next batch."""
        self.turn += 1

    def close(self) -> None:
        """Do nothing."""


@SAMPLERS.register("random")
def random(
    space: SearchSpace, *, seed: int, start: Point | None = None, batch: int | None = None
) -> Random:
    """Make a sampler of uniform points."""
    return Random(seed, begin_at(space, start), batch or BATCH)
