"""What is known where along a path, and which examples are forgotten first (Qin et al. 2022)."""

from collections.abc import Sequence
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from weightscape.paths.records import Forgetting, Interval, Knowledge, Traits
from weightscape.paths.resampling import percentiles
from weightscape.tasks.evaluation import Evaluation

Numbers = NDArray[np.float64]


class Cartography(Protocol):
    """How examples fared while a model was trained; every array is in the order of `rows`."""

    @property
    def rows(self) -> NDArray[np.int64]:
        """Give the examples' row numbers."""
        ...

    @property
    def confidence(self) -> Numbers:
        """Give the mean probability of the right answer."""
        ...

    @property
    def variability(self) -> Numbers:
        """Give the standard deviation of that probability."""
        ...

    @property
    def flips(self) -> NDArray[np.int64]:
        """Give how often right turned into wrong or back."""
        ...


def table(split: Literal["train", "test"], evaluations: Sequence[Evaluation]) -> Knowledge:
    """Make the examples x points table of a split from the evaluations of a path's points."""
    correct = np.stack([evaluation.correct for evaluation in evaluations])
    rows = evaluations[0].rows
    changes = np.diff(correct, axis=0)  # NaN where answers are not right or wrong
    return Knowledge(
        split=split,
        rows=rows,
        correct=correct,
        gold_probabilities=np.stack([e.gold_probabilities for e in evaluations]),
        forgotten=((), *(tuple(map(int, rows[change < 0])) for change in changes)),
        gained=((), *(tuple(map(int, rows[change > 0])) for change in changes)),
    )


def who_is_forgotten(
    known: Knowledge,
    t: Numbers,
    cartography: Cartography,
    dynamics: str,
    *,
    level: float = 0.95,
    draws: int = 1000,
    seed: int = 0,
) -> Forgetting:
    """Set what is forgotten along a path beside how it was learned.

    AUC: of low confidence, between the examples that the first end knows and that are wrong
    somewhere before half of the path, and the other examples that it knows.
    """
    place = {int(row): i for i, row in enumerate(cartography.rows)}
    recorded = np.array([int(row) in place for row in known.rows])
    at = np.array([place.get(int(row), 0) for row in known.rows])
    confidence = np.where(recorded, cartography.confidence[at], np.nan)
    traits = (
        confidence,
        np.where(recorded, cartography.variability[at], np.nan),
        np.where(recorded, cartography.flips[at], np.nan),
    )
    newly = [np.isin(known.rows, rows) & recorded for rows in known.forgotten]
    ever = np.any(newly, axis=0)
    judged = recorded & (known.correct[0] == 1)
    early = (known.correct[t < 0.5] == 0).any(axis=0)
    auc, interval = _auc(-confidence[judged], early[judged], level, draws, seed)
    return Forgetting(
        forgotten=tuple(_mean_traits(traits, which) for which in newly),
        rest=_mean_traits(traits, recorded & ~ever),
        auc=auc,
        auc_interval=interval,
        dynamics=dynamics,
    )


def _mean_traits(traits: tuple[Numbers, Numbers, Numbers], which: NDArray[np.bool_]) -> Traits:
    examples = int(which.sum())
    means = (float(trait[which].mean()) if examples else float("nan") for trait in traits)
    return Traits(examples, *means)


def _auc(
    scores: Numbers, positive: NDArray[np.bool_], level: float, draws: int, seed: int
) -> tuple[float, Interval]:
    """Compute the area under the ROC curve from ranks, and its bootstrap interval."""
    if positive.all() or not positive.any():
        return float("nan"), (float("nan"), float("nan"))
    whole = _areas(scores[None], positive[None])[0]
    picks = np.random.default_rng(seed).integers(0, len(scores), (draws, len(scores)))
    areas = _areas(scores[picks], positive[picks])
    low, high = percentiles(areas[np.isfinite(areas)], level)
    return float(whole), (float(low), float(high))


def _areas(scores: Numbers, positive: NDArray[np.bool_]) -> Numbers:
    from scipy.stats import rankdata

    ranks = rankdata(scores, axis=1)
    right = positive.sum(axis=1)
    pairs = right * (positive.shape[1] - right)
    wins = (ranks * positive).sum(axis=1) - right * (right + 1) / 2
    areas: Numbers = np.full(len(pairs), np.nan)
    np.divide(wins, pairs, out=areas, where=pairs > 0)
    return areas
