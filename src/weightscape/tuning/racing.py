"""When to stop reading rows: a candidate that is worse than the best one, with a stated error.

The test is a one-sided t test on the differences row by row, for a random sample of a finite
population, at a level that is shared among the looks (Bonferroni). A plain one is fooled by a
candidate that mends a few rows on which the incumbent fails badly and is a little worse elsewhere,
as long as too few of them were read. But the incumbent's losses are known on all rows, so

- the mean difference is the regression estimate by the incumbent's loss (Cochran, Sampling
  Techniques, 1977, chapter 7), which also has less spread;
- unread rows on which the incumbent fails worse than on any that was read are given to the
  candidate, as if it lost nothing there.

Racing by paired tests: Maron and Moore, "Hoeffding Races", NIPS 1993; Birattari et al., "A Racing
Algorithm for Configuring Metaheuristics", 2002.
"""

from dataclasses import dataclass
from functools import lru_cache
from math import sqrt

import numpy as np
from jaxtyping import Float64

from weightscape.errors import BadInput

LEAST_ROWS = 16
"""Below this, differences that are mostly small and now and then large fool a t test."""


@dataclass(frozen=True, slots=True)
class Racing:
    """How a race may end early.

    error: the chance, over the order of the rows, that a candidate is stopped that is better than
    the incumbent on all rows; it holds for each candidate by itself. least: rows that are read
    before anything is stopped.

    Raises BadInput for an error outside (0, 0.5) or fewer than three rows.
    """

    error: float = 0.05
    least: int = LEAST_ROWS

    def __post_init__(self) -> None:
        if not 0 < self.error < 0.5:
            raise BadInput(f"a race's error must lie between 0 and 0.5, got {self.error:g}")
        if self.least < 3:
            raise BadInput(f"a race needs three rows or more before it stops, got {self.least}")


def looks_worse(
    losses: Float64[np.ndarray, " n"],
    incumbent: Float64[np.ndarray, " N"],
    looks: int,
    racing: Racing,
    *,
    handicap: float = 0.0,
) -> bool:
    """Tell whether to stop a candidate by its losses on the rows read so far.

    incumbent: its losses on all rows, of which those read are the first ones, a random sample.
    looks: how often it is looked in all. handicap: what the candidate's penalty is larger by.
    Losses must not be negative; those of a custom kind may be, and then the rate is a t test's.

    >>> looks_worse(np.linspace(0.5, 1.0, 32), np.zeros(100), 1, Racing())
    True
    >>> looks_worse(np.linspace(0.5, 1.0, 32), np.full(100, 0.75), 1, Racing())
    False
    """
    read, rows = len(losses), len(incumbent)
    if read < max(racing.least, 3) or read >= rows:
        return False
    known, unread = incumbent[:read], incumbent[read:]
    unlike = unread[unread > known.max()]
    mean, spread = _regressed(losses - known, known, unread[unread <= known.max()])
    if spread == 0.0:  # rows on which both answer exactly alike tell nothing of the others
        return False
    expected = mean * (1.0 - len(unlike) / rows) - float(unlike.sum()) / rows
    return (expected + handicap) / spread > _quantile(racing.error / looks, read - 2)


def _regressed(
    differences: Float64[np.ndarray, " n"],
    known: Float64[np.ndarray, " n"],
    unread: Float64[np.ndarray, " m"],
) -> tuple[float, float]:
    """Estimate the mean difference on all rows from those read, and its standard error."""
    read, rows = len(known), len(known) + len(unread)
    centred = known - known.mean()
    square = float(centred @ centred)
    slope = float(centred @ differences) / square if square > 0 else 0.0
    away = (float(known.sum()) + float(unread.sum())) / rows - float(known.mean())
    rest = differences - differences.mean() - slope * centred
    noise = float(rest @ rest) / (read - 2)
    lever = away * away / square if square > 0 else 0.0
    spread = sqrt(noise * ((1.0 - read / rows) / read + lever))
    return float(differences.mean()) + slope * away, spread


@lru_cache(maxsize=256)
def _quantile(level: float, freedom: int) -> float:
    from scipy.stats import t  # half a second, and only where something is raced

    return float(t.isf(level, freedom))
