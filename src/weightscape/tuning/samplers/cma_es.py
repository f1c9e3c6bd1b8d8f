"""CMA-ES: a normal distribution that moves and stretches towards the better points."""

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from weightscape.errors import MissingExtra
from weightscape.tuning.records import Weights
from weightscape.tuning.samplers.sampler import SAMPLERS, FiniteLosses, begin_at, seed_of
from weightscape.tuning.search_space import Point, SearchSpace

SIGMA = 0.25  # of the unit box: the first population reaches its sides, but seldom


@SAMPLERS.register("cma-es")
class CmaEs:
    """The covariance matrix adaptation of Hansen (2016), by the package cmaes.

    `batch` is its population, by default 4 + 3 log(size) points. The first point is the start.
    """

    wants_gradient: ClassVar[bool] = False
    from_history: ClassVar[bool] = False

    def __init__(
        self, space: SearchSpace, *, seed: int, start: Point | None = None, batch: int | None = None
    ) -> None:
        try:
            from cmaes import CMA
        except ModuleNotFoundError:
            raise MissingExtra("tune", "the package cmaes, for CMA-ES") from None
        self._first: Point | None = begin_at(space, start)
        self._cma = CMA(
            mean=self._first.copy(),
            sigma=SIGMA,
            bounds=np.tile([0.0, 1.0], (space.size, 1)),
            seed=seed_of(seed, 0),
            # it selects the better half, of which there must be one
            population_size=None if batch is None else max(batch, 2),
        )
        self._losses = FiniteLosses()

    @property
    def batch(self) -> int:
        """Tell the size of a population."""
        return int(self._cma.population_size)

    def ask(self) -> list[Point]:
        """Draw a population."""
        if self._cma.should_stop():
            return []
        points = [np.asarray(self._cma.ask()) for _ in range(self.batch)]
        if self._first is not None:  # of the first one, the mean itself is a member
            points[0] = self._first
        return points

    def tell(
        self,
        points: Sequence[Point],
        losses: Sequence[float],
        gradients: Sequence[Weights] | None = None,
    ) -> None:
        """Move and stretch the distribution."""
        self._first = None
        finite = self._losses.of(losses)
        self._cma.tell([(point, float(loss)) for point, loss in zip(points, finite, strict=True)])

    def close(self) -> None:
        """Do nothing."""
