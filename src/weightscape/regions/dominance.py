"""P_B: how often a random point of one group is better than a random point of another."""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float64

from weightscape.paths.resampling import percentiles
from weightscape.regions.records import Dominance, GroupName, Interval

Losses = Float64[np.ndarray, "points tasks"]


def dominances(
    losses: Mapping[GroupName, Losses],
    tasks: Sequence[str],
    *,
    level: float = 0.95,
    draws: int = 1000,
    seed: int = 0,
) -> tuple[Dominance, ...]:
    """Compare every ordered pair of groups, task by task and over all tasks.

    ``P_B(X over Y) = Pr[loss(x) < loss(y)]`` for x, y drawn from the two groups, ties counting a
    half (Gueta et al. 2023, arXiv:2302.04863). In the bootstrap the points of both groups are
    drawn anew, a point with its losses on all tasks, and for the mean the tasks too. A group of
    no points is left out.
    """
    groups = [name for name, of in losses.items() if len(of)]
    found = []
    for better in groups:
        for worse in groups:
            if better == worse:
                continue
            wins = _wins(losses[better], losses[worse])
            found += [
                _dominance(better, worse, task, wins[[i]], level, draws, seed)
                for i, task in enumerate(tasks)
            ]
            found.append(_dominance(better, worse, None, wins, level, draws, seed))
    return tuple(found)


def _wins(ours: Losses, theirs: Losses) -> Float64[np.ndarray, "tasks ours theirs"]:
    """Score each pair of points on each task: 1 where ours is better, a half for a tie."""
    one, other = ours.T[:, :, None], theirs.T[:, None, :]
    wins: Float64[np.ndarray, "tasks ours theirs"] = (one < other) + 0.5 * (one == other)
    return wins


def _dominance(
    better: GroupName,
    worse: GroupName,
    task: str | None,
    wins: Float64[np.ndarray, "tasks ours theirs"],
    level: float,
    draws: int,
    seed: int,
) -> Dominance:
    interval = _interval(wins, level, draws, seed)
    return Dominance(better, worse, task, float(wins.mean()), interval)


def _interval(
    wins: Float64[np.ndarray, "tasks ours theirs"], level: float, draws: int, seed: int
) -> Interval:
    generator = np.random.default_rng(seed)
    shares = [generator.multinomial(n, np.full(n, 1 / n), size=draws) / n for n in wins.shape]
    drawn = np.einsum("tij,dt,di,dj->d", wins, *shares, optimize=True)
    low, high = percentiles(drawn, level)
    # shares of n add up to 1 only nearly: what is always won is won for certain
    return round(float(low), 12), round(float(high), 12)
