"""TPE and Gaussian processes: a model of all losses so far tells where to look, by optuna."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from weightscape.errors import MissingExtra
from weightscape.tuning.records import Weights
from weightscape.tuning.samplers.sampler import SAMPLERS, FiniteLosses, begin_at, seed_of
from weightscape.tuning.samplers.straight import bend, straighten
from weightscape.tuning.search_space import Point, SearchSpace

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.samplers import BaseSampler
    from optuna.trial import Trial

STARTUP = 10  # random points before the first model


class ModelBased:
    """A sampler of optuna's behind the seam; the first point is the start.

    It is made anew for every batch, from the seed and the batch's number: what was told, and not
    how often it was asked, decides the next points. Points of one batch are asked for one after
    the other, each knowing that the ones before are on their way.
    """

    wants_gradient: ClassVar[bool] = False
    from_history: ClassVar[bool] = True

    def __init__(
        self,
        make: "Callable[[int], BaseSampler]",
        space: SearchSpace,
        start: Point,
        *,
        seed: int,
        batch: int,
        straight: bool,
    ) -> None:
        from optuna import create_study
        from optuna.distributions import FloatDistribution

        self.batch = batch
        self._make, self._seed, self._turn = make, seed, 0
        self._space, self._start, self._straight = space, start, straight
        self._names = [f"x{i:04d}" for i in range(len(start))]
        self._ranges: dict[str, BaseDistribution] = {
            name: FloatDistribution(0.0, 1.0) for name in self._names
        }
        self._losses = FiniteLosses()
        self._asked: list[Trial] = []
        with _quiet():
            self._study = create_study(direction="minimize")

    def ask(self) -> list[Point]:
        """Propose a batch."""
        with _quiet():
            if self._turn == 0:
                self._study.enqueue_trial(self._parameters(self._start))
            self._study.sampler = self._make(seed_of(self._seed, self._turn))
            self._asked = [self._study.ask(self._ranges) for _ in range(self.batch)]
        found = [np.array([it.params[name] for name in self._names]) for it in self._asked]
        return [bend(self._space, it) for it in found] if self._straight else found

    def tell(
        self,
        points: Sequence[Point],
        losses: Sequence[float],
        gradients: Sequence[Weights] | None = None,
    ) -> None:
        """Give the losses to the model."""
        from optuna.trial import TrialState, create_trial

        with _quiet():
            # not answered but replaced: then it is the same to the last digit whether the batch
            # was asked for here or in an earlier process
            for trial in self._asked:
                self._study.tell(trial, state=TrialState.FAIL)
            for point, loss in zip(points, self._losses.of(losses), strict=True):
                parameters = self._parameters(point)
                told = create_trial(
                    params=parameters, distributions=self._ranges, value=float(loss)
                )
                self._study.add_trial(told)
        self._asked = []
        self._turn += 1

    def close(self) -> None:
        """Do nothing."""

    def _parameters(self, point: Point) -> dict[str, float]:
        found = straighten(self._space, point) if self._straight else point
        return dict(zip(self._names, found.tolist(), strict=True))


@SAMPLERS.register("tpe")
def tpe(
    space: SearchSpace, *, seed: int, start: Point | None = None, batch: int | None = None
) -> ModelBased:
    """Make a sampler by tree-structured Parzen estimators (Bergstra et al. 2011), multivariate."""
    _require_optuna("TPE")

    def make(seed: int) -> "BaseSampler":
        from optuna.samplers import TPESampler

        return TPESampler(
            seed=seed, n_startup_trials=STARTUP, multivariate=True, constant_liar=True
        )

    begin = begin_at(space, start)
    return ModelBased(make, space, begin, seed=seed, batch=batch or 1, straight=False)


@SAMPLERS.register("gp")
def gp(
    space: SearchSpace, *, seed: int, start: Point | None = None, batch: int | None = None
) -> ModelBased:
    """Make a sampler by the expected improvement of a Gaussian process (Matern 5/2)."""
    _require_optuna("a Gaussian process")

    def make(seed: int) -> "BaseSampler":
        from optuna.samplers import GPSampler

        return GPSampler(seed=seed, n_startup_trials=STARTUP)

    begin = begin_at(space, start)
    return ModelBased(make, space, begin, seed=seed, batch=batch or 1, straight=True)


def _require_optuna(method: str) -> None:
    if find_spec("optuna") is None:
        raise MissingExtra("tune", f"the package optuna, for {method}")


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep optuna, which prints by itself, from telling of studies that nobody asked for."""
    from optuna import logging

    before = logging.get_verbosity()
    logging.set_verbosity(logging.ERROR)
    try:
        yield
    finally:
        logging.set_verbosity(before)
