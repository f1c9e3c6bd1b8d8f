"""TPE and Gaussian processes: a model of all losses so far tells where to look, by optuna."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from weightscape.errors import MissingExtra
from weightscape.tuning.records import Weights
from weightscape.tuning.samplers.sampler import SAMPLERS, FiniteLosses, begin_at, seed_of
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
        self, make: "Callable[[int], BaseSampler]", start: Point, *, seed: int, batch: int
    ) -> None:
        from optuna import create_study
        from optuna.distributions import FloatDistribution

        self.batch = batch
        self._make, self._seed, self._turn = make, seed, 0
        self._names = [f"x{i:04d}" for i in range(len(start))]
        self._ranges: dict[str, BaseDistribution] = {
            name: FloatDistribution(0.0, 1.0) for name in self._names
        }
        self._start = start
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
        return [np.array([it.params[name] for name in self._names]) for it in self._asked]

    def tell(
        self,
        points: Sequence[Point],
        losses: Sequence[float],
        gradients: Sequence[Weights] | None = None,
    ) -> None:
        """Give the losses to the model."""
        finite = [float(loss) for loss in self._losses.of(losses)]
        with _quiet():
            if self._asked:
                for trial, loss in zip(self._asked, finite, strict=True):
                    self._study.tell(trial, loss)
            else:  # asked for in an earlier process
                for point, loss in zip(points, finite, strict=True):
                    self._remember(point, loss)
        self._asked = []
        self._turn += 1

    def close(self) -> None:
        """Do nothing."""

    def _remember(self, point: Point, loss: float) -> None:
        from optuna.trial import create_trial

        parameters = self._parameters(point)
        self._study.add_trial(
            create_trial(params=parameters, distributions=self._ranges, value=loss)
        )

    def _parameters(self, point: Point) -> dict[str, float]:
        return dict(zip(self._names, point.tolist(), strict=True))


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

    return ModelBased(make, begin_at(space, start), seed=seed, batch=batch or 1)


@SAMPLERS.register("gp")
def gp(
    space: SearchSpace, *, seed: int, start: Point | None = None, batch: int | None = None
) -> ModelBased:
    """Make a sampler by the expected improvement of a Gaussian process (Matern 5/2)."""
    _require_optuna("a Gaussian process")

    def make(seed: int) -> "BaseSampler":
        from optuna.samplers import GPSampler

        return GPSampler(seed=seed, n_startup_trials=STARTUP)

    return ModelBased(make, begin_at(space, start), seed=seed, batch=batch or 1)


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
