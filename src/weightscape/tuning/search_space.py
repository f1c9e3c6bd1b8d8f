"""Which weights a search may try: numbers in [0, 1] to weights of models, and back."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Float64, Int64

from weightscape.errors import BadInput
from weightscape.tuning.records import Weights

Point = Float64[np.ndarray, " d"]
"""What samplers see of a candidate: `SearchSpace.size` numbers between 0 and 1."""

_LARGEST = 25.0  # of -log(1 - u): beyond it, 1 - u has few digits left


@dataclass(frozen=True, slots=True)
class SearchSpace:
    """The weights that a search may give to `models` models, in all or in each layer group.

    "simplex": weights that are not negative and sum to one. A point u has e = -log(1 - u) and
    weights e / sum(e), so that uniform points are uniform on the simplex.
    "box": the delta of every model from the model number `base` gets a coefficient between `low`
    and `high`, as in LoraHub (Huang et al. 2023), and the base what is left of one. It may
    extrapolate.
    l1: the loss also has this times the mean magnitude of the coefficients (LoraHub: 0.05).

    Raises BadInput for less than two models, and for a box without a base or without zero in it.

    >>> SearchSpace("simplex", 4).weights_of(SearchSpace("simplex", 4).start)
    array([0.25, 0.25, 0.25, 0.25])
    """

    kind: Literal["simplex", "box"]
    models: int
    groups: int = 1
    base: int | None = None
    low: float = -1.5
    high: float = 1.5
    l1: float = 0.0

    def __post_init__(self) -> None:
        if self.kind not in ("simplex", "box"):
            raise BadInput(f"a search space is 'simplex' or 'box'; got {self.kind!r}")
        if self.models < 2:
            raise BadInput(f"a search needs two models or more to weigh; got {self.models}")
        if self.groups < 1:
            raise BadInput(f"a search space has one layer group or more; got {self.groups}")
        if not (np.isfinite(self.l1) and self.l1 >= 0):
            raise BadInput(f"the L1 penalty is zero or more; got {self.l1}")
        if self.kind == "simplex":
            return
        if self.base is None or not 0 <= self.base < self.models:
            raise BadInput(
                "a box weighs deltas from a base, which must be among the models; add the base "
                "model or search the simplex"
            )
        if not -np.inf < self.low <= 0 <= self.high < np.inf or self.low == self.high:
            raise BadInput(f"a box must have zero in it; got {self.low} to {self.high}")

    @property
    def size(self) -> int:
        """Count the numbers of a point."""
        return self.groups * (self.models - (self.kind == "box"))

    @property
    def start(self) -> Point:
        """Give the point of the uniform soup; of the base itself where the space is a box."""
        if self.kind == "box":
            return np.full(self.size, -self.low / (self.high - self.low))
        return np.full(self.size, 1 - np.exp(-1))

    def weights_of(self, point: Point) -> Weights:
        """Give the weights [models], or [groups, models] for several groups, which sum to one."""
        unit = np.clip(np.asarray(point, dtype=np.float64).reshape(self.groups, -1), 0, 1)
        if self.kind == "box":
            coefficients = self.low + unit * (self.high - self.low)
            weights = np.empty((self.groups, self.models))
            weights[:, self._weighed] = coefficients
            weights[:, self.base] = 1 - coefficients.sum(axis=1)
        else:
            with np.errstate(divide="ignore"):
                e = np.minimum(-np.log1p(-unit), _LARGEST)
            e[e.sum(axis=1) == 0] = 1.0  # the one point without a direction
            weights = e / e.sum(axis=1, keepdims=True)
        return weights if self.groups > 1 else weights[0]

    def unit_of(self, weights: Weights) -> Point:
        """Give a point of these weights, or the nearest that the space has."""
        rows = np.asarray(weights, dtype=np.float64).reshape(self.groups, self.models)
        if self.kind == "box":
            coefficients = rows[:, self._weighed]
            return np.clip((coefficients - self.low) / (self.high - self.low), 0, 1).ravel()
        rows = np.maximum(rows, 0.0)
        largest = rows.max(axis=1, keepdims=True)
        scale = np.minimum(self.models, _LARGEST / np.where(largest > 0, largest, 1))
        point: Point = -np.expm1(-rows * scale).ravel()
        return point

    def penalty(self, weights: Weights) -> float:
        """Give what the loss has on top for these weights."""
        return self.l1 * float(np.abs(self._penalised(weights)).mean()) if self.l1 else 0.0

    def penalty_gradient(self, weights: Weights) -> Weights:
        """Give the penalty's derivative by the weights, in their shape."""
        slopes = np.zeros((self.groups, self.models))
        slopes[:, self._weighed] = np.sign(self._penalised(weights)) * self.l1 / self.size
        return slopes.reshape(np.shape(weights))

    def plain(self) -> dict[str, Any]:
        """Give what tells this space from others, as plain JSON."""
        return {key: value for key, value in asdict(self).items() if value is not None}

    @property
    def _weighed(self) -> Int64[np.ndarray, " n"]:
        """Number the models that have coefficients of their own."""
        base = self.base if self.kind == "box" else None
        return np.array([i for i in range(self.models) if i != base], dtype=np.int64)

    def _penalised(self, weights: Weights) -> Float64[np.ndarray, "G n"]:
        rows = np.asarray(weights, dtype=np.float64).reshape(self.groups, self.models)
        return rows[:, self._weighed]
