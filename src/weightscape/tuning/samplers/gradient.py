"""Exact gradients through the coefficients: the yardstick for the searches without them."""

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from jaxtyping import Float64

from weightscape.errors import BadInput
from weightscape.tuning.records import Weights
from weightscape.tuning.samplers.sampler import SAMPLERS, begin_at
from weightscape.tuning.search_space import Point, SearchSpace

FIRST_STEP, LAST_STEP = {"simplex": 1.0, "box": 0.3}, 1e-3
GROW, SHRINK = 1.3, 0.4
_SEED_WEIGHT = 1e-6  # a weight of zero would never move again


@SAMPLERS.register("gradient")
class Gradient:
    """Exponentiated gradient on the simplex (Kivinen & Warmuth 1997), projected gradient in a box.

    From the best point so far; a step that does not lower the loss is taken back and shortened,
    one that does lengthens the next. Asks for no more once steps are tiny.
    """

    batch: ClassVar[int] = 1
    wants_gradient: ClassVar[bool] = True
    from_history: ClassVar[bool] = False

    def __init__(
        self, space: SearchSpace, *, seed: int, start: Point | None = None, batch: int | None = None
    ) -> None:
        self._space = space
        self._next = begin_at(space, start)
        self._best: Float64[np.ndarray, "G N"] | None = None
        self._loss, self._step = np.inf, FIRST_STEP[space.kind]
        self._gradient: Float64[np.ndarray, "G N"] | None = None

    def ask(self) -> list[Point]:
        """Propose the next step, or none once it would lead nowhere."""
        return [] if self._step < LAST_STEP else [self._next.copy()]

    def tell(
        self,
        points: Sequence[Point],
        losses: Sequence[float],
        gradients: Sequence[Weights] | None = None,
    ) -> None:
        """Take the step or take it back; raises BadInput without a gradient."""
        (point,), (loss,) = points, losses
        shape = (self._space.groups, self._space.models)
        if np.isfinite(loss) and loss < self._loss:
            if gradients is None:
                raise BadInput(
                    "the sampler 'gradient' needs the loss's gradient, which was not given; "
                    "choose another sampler"
                )
            gradient = np.asarray(gradients[0], dtype=np.float64).reshape(shape)
            if np.isfinite(gradient).all():
                first = self._best is None
                self._best = self._space.weights_of(point).reshape(shape)
                self._loss, self._gradient = loss, gradient
                self._step *= 1.0 if first else GROW
                self._next = self._stepped()
                return
        self._step *= SHRINK
        self._next = self._stepped()

    def close(self) -> None:
        """Do nothing."""

    def _stepped(self) -> Point:
        if self._best is None or self._gradient is None:  # not even the start has a finite loss
            return self._next
        weights, slopes = self._best, self._gradient
        if self._space.kind == "simplex":
            slopes = slopes - (weights * slopes).sum(axis=1, keepdims=True)
            scale = max(float(np.abs(slopes).max()), np.finfo(float).tiny)
            grown = np.maximum(weights, _SEED_WEIGHT) * np.exp(-self._step * slopes / scale)
            return self._space.unit_of(grown / grown.sum(axis=1, keepdims=True))
        base = self._space.base or 0
        slopes = slopes - slopes[:, [base]]  # the base makes room for what a coefficient takes
        scale = max(float(np.abs(slopes).max()), np.finfo(float).tiny)
        return self._space.unit_of(weights - self._step * slopes / scale)
