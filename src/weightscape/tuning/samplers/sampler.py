"""The seam of samplers: points to try are asked for, and their losses told."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from jaxtyping import Float64

from weightscape.registry import Registry
from weightscape.tuning.records import Weights
from weightscape.tuning.search_space import Point, SearchSpace

Losses = Float64[np.ndarray, " M"]


class Sampler(Protocol):
    """Proposes the points of a search.

    The same seed and the same losses give the same points. Losses that are not finite are taken
    for very bad ones. Ask and tell take turns: what was asked for is told whole and in order.
    """

    @property
    def batch(self) -> int:
        """The most points that are asked for at once, and could be evaluated side by side."""
        ...

    @property
    def wants_gradient(self) -> bool:
        """Whether it must be told gradients."""
        ...

    @property
    def from_history(self) -> bool:
        """Whether what it was told decides its next points even where it was never asked.

        Then a search that is taken up again spares it the asking, which costs some dearly.
        """
        ...

    def ask(self) -> list[Point]:
        """Propose points; none at all when the search has converged."""
        ...

    def tell(
        self,
        points: Sequence[Point],
        losses: Sequence[float],
        gradients: Sequence[Weights] | None = None,
    ) -> None:
        """Learn the points' losses, and their gradients by the weights of the models."""
        ...

    def close(self) -> None:
        """Stop what goes on behind the seam; nothing is asked for afterwards."""
        ...


class SamplerFactory(Protocol):
    """Makes a sampler; `start` is where it begins, the space's own start by default.

    batch: how many points to ask for at once, where the method leaves that open.
    Raises MissingExtra where the method needs a package that is not installed.
    """

    def __call__(
        self,
        space: SearchSpace,
        *,
        seed: int,
        start: Point | None = None,
        batch: int | None = None,
    ) -> Sampler:
        """Make a sampler of points of the space."""
        ...


SAMPLERS: Registry[SamplerFactory] = Registry("sampler")

DEFAULT_SAMPLER = "cobyqa"
"""Ended lower than CMA-ES in 13 of 14 runs on real tasks (docs/results.md)."""


def check_sampler(name: str) -> None:
    """Raise UnknownName or MissingExtra for a sampler that cannot be had, before hours of work."""
    SAMPLERS[name](SearchSpace("simplex", 2), seed=0).close()


@dataclass(slots=True)
class FiniteLosses:
    """Puts a bad but finite loss in the place of one that is not finite.

    As far above the worst loss known as that is above the best: bad enough to be left, near
    enough that a model fitted to all losses still sees the others.
    """

    best: float = np.inf
    worst: float = -np.inf

    def of(self, losses: Sequence[float]) -> Losses:
        """Give finite losses in the order of `losses`."""
        found = np.array(losses, dtype=np.float64)
        finite = found[np.isfinite(found)]
        if len(finite):
            self.best = min(self.best, float(finite.min()))
            self.worst = max(self.worst, float(finite.max()))
        known = np.isfinite(self.best)
        bad = self.worst + max(self.worst - self.best, 1e-3 * abs(self.worst)) if known else 1.0
        return np.where(np.isfinite(found), found, bad)


def begin_at(space: SearchSpace, start: Point | None) -> Point:
    """Give the start inside of the unit box, or the space's own."""
    return np.clip(np.array(space.start if start is None else start, dtype=np.float64), 0, 1)


def seed_of(seed: int, turn: int) -> int:
    """Derive the seed of one turn, so that turns need not be taken to reach a later one."""
    return int(np.random.SeedSequence([seed, turn]).generate_state(1)[0])
