"""How far to go from where a search began towards what it found, by cross-validation.

The best weights on few rows are not the best on others: they fit the rows, too. So the search is
made on each part of the rows but one, and a share of the way is judged on the one left out. All
rows serve to search and all to judge, and none to judge what it was searched on.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from jaxtyping import Float64

from weightscape.tasks.task import Example
from weightscape.tuning.candidates import CandidateLoss
from weightscape.tuning.records import Weights
from weightscape.tuning.search_space import SearchSpace
from weightscape.tuning.selection import Parts
from weightscape.tuning.trust_region import TrustRegion, descend

SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Of the way, that are judged."""


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """What shares of the way lose on rows that were left out.

    losses [shares, rows]: of `SHARES`, row by row. read, evaluated: rows and candidates that went
    through the network.
    """

    losses: Float64[np.ndarray, "s n"]
    read: int
    evaluated: int

    @property
    def best(self) -> int:
        """Give the number of the best share: the largest one, where several are as good."""
        means = self.losses.mean(axis=1)
        return int(np.flatnonzero(means <= means.min() + 1e-12)[-1])


def judge_shares(
    parts: Sequence[Parts],
    loss_on: Callable[[tuple[Example, ...]], CandidateLoss],
    space: SearchSpace,
    start: Weights,
    how: TrustRegion,
    *,
    going: Callable[[int, CandidateLoss], bool] = lambda part, loss: True,
) -> Judged:
    """Search on the surrogate in all parts but one, and judge on that one; each part in turn.

    loss_on: makes the loss on rows. going: asked before every step of a part's search.
    Raises NonFinite where losses on the way are not finite, and as `descend` does.
    """
    columns, read, evaluated = [], 0, 0
    for number, part in enumerate(parts):
        loss = loss_on(part.search)
        found = descend(loss, space, start, how, going=partial(going, number, loss)).weights
        judge = loss_on(part.choice)
        columns.append(np.stack([judge.losses(along(start, found, share)) for share in SHARES]))
        read += loss.read + judge.read
        evaluated += loss.evaluated + judge.evaluated
    return Judged(np.concatenate(columns, axis=1), read, evaluated)


def along(start: Weights, end: Weights, share: float) -> Weights:
    """Go a share of the way from one point to another.

    >>> along(np.array([0.5, 0.5]), np.array([1.0, 0.0]), 0.5).tolist()
    [0.75, 0.25]
    """
    return np.asarray(start + share * (end - start))
