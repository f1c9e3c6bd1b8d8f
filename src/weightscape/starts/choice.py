"""Which of the candidates that were run to the end is recommended."""

from collections.abc import Sequence

import numpy as np

from weightscape.starts.candidates import Proposal
from weightscape.starts.halving import Place, Search
from weightscape.starts.pool import Pool, Weights
from weightscape.starts.scoring import ProbeScores

NEGLIGIBLE = 0.005
"""Nats: where all candidates answer nearly everything right, their errors are nearly none, too."""


def choose(pool: Pool, tried: Sequence[Proposal], search: Search, probes: ProbeScores) -> Proposal:
    """Take the candidate nearest to the base among those within one error of the least loss.

    The error is the standard error of the mean difference to the best, paired by row, and not less
    than `NEGLIGIBLE`; the rule is that of Breiman et al. 1984 ("Classification and Regression
    Trees", 3.4.3) for trees of many sizes, here for points far from the base, whose gains on few
    rows are often chance. Without a base, the least loss; without runs, that of a probe.
    """
    left = [it for it in tried if it.candidate.name not in search.dropped]
    shared = search.common([it.candidate.name for it in left])
    if not shared:
        return min(left, key=lambda it: probes.loss(it.weights))
    best = least(left, search, shared)
    if pool.base is None:
        return best
    lowest = search.row_losses(best.candidate.name, shared)
    if not np.isfinite(lowest).all():  # then no mean is: nothing speaks for leaving the base
        return min(left, key=lambda it: from_base(pool, it.weights))
    close = [
        it
        for it in left
        if _is_within_an_error(search.row_losses(it.candidate.name, shared) - lowest)
    ]
    return min(close, key=lambda it: from_base(pool, it.weights))


def least(left: Sequence[Proposal], search: Search, shared: Sequence[Place]) -> Proposal:
    """Give the candidate of the least held-out loss on cells that all have runs in."""
    return min(left, key=lambda it: search.loss(it.candidate.name, shared))


def from_base(pool: Pool, weights: Weights) -> float:
    """Measure how far a point is from the base, which is the pool's first model."""
    shares = np.broadcast_to(weights, (len(pool.tree.gram), weights.shape[-1]))
    squared = np.einsum("gi,gij,gj->", shares, pool.tree.gram, shares)
    return float(np.sqrt(max(float(squared), 0.0)))


def _is_within_an_error(worse: np.ndarray) -> bool:
    if not np.isfinite(worse).all():
        return False
    error = float(worse.std(ddof=1)) / np.sqrt(len(worse)) if len(worse) > 1 else 0.0
    return bool(worse.mean() <= max(error, NEGLIGIBLE))
