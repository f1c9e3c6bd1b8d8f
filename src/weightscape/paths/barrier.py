"""The barrier of a path: how far its loss rises above the chord, and what follows from that."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from weightscape.errors import BadInput
from weightscape.paths.records import Barrier, Interval, Verdict
from weightscape.paths.resampling import draw_shares, interval_of_highest

Array = NDArray[np.float64]

GAP_SHARE = 0.05
"""A rise of less than this share of what the ends have learned counts as none."""

LEAST_THRESHOLD = 0.02
"""Nats; below it, held-out losses of a few hundred rows tell nothing."""


@dataclass(frozen=True, slots=True)
class Threshold:
    """A rise of the loss up to which models count as connected, and where it is from."""

    value: float
    rule: str


def default_threshold(ends_loss: float, chance_loss: float | None) -> Threshold:
    """Set the threshold to 5 % of what the ends have learned, and at least 0.02.

    What they have learned is the gap between the loss at chance and the mean loss of the ends.
    Where there is no loss at chance (texts), the ends' mean loss stands in for the gap.
    """
    if chance_loss is None:
        share, words = GAP_SHARE * ends_loss, "of the ends' mean loss"
    else:
        share = GAP_SHARE * (chance_loss - ends_loss)
        words = "of the gap between the loss at chance and the ends' mean loss"
    if share >= LEAST_THRESHOLD:
        return Threshold(share, f"{GAP_SHARE:.0%} {words}")
    return Threshold(LEAST_THRESHOLD, f"{LEAST_THRESHOLD}, as {GAP_SHARE:.0%} {words} is less")


def given_threshold(value: float) -> Threshold:
    """Take the user's own threshold."""
    if not 0 <= value < float("inf"):
        raise BadInput(f"the threshold of a barrier must be a number of 0 or more, not {value}")
    return Threshold(value, "given")


def rises(losses: Array, t: Array) -> Array:
    """Subtract the chord between the ends' losses from the losses [points, rows]."""
    chord: Array = np.outer(1 - t, losses[0]) + np.outer(t, losses[-1])
    rise: Array = losses - chord
    # the ends lie on their chord by definition, whatever the rounding
    rise[0] = rise[-1] = 0.0
    return rise


def find_barrier(
    losses: Array,
    t: Array,
    threshold: Threshold,
    *,
    level: float = 0.95,
    draws: int = 1000,
    seed: int = 0,
) -> Barrier:
    """Find the barrier max_t [L(t) - ((1-t) L(0) + t L(1))] of losses [points, rows].

    The interval comes from a paired bootstrap over rows, in a band that holds all points at once
    (see `interval_of_highest`).

    >>> t = np.linspace(0, 1, 5)
    >>> hill = np.outer(4 * t * (1 - t), np.ones(50))
    >>> found = find_barrier(hill, t, given_threshold(0.1))
    >>> found.height, found.at, found.verdict
    (1.0, 0.5, 'not connected')
    """
    rise = rises(losses, t)
    means = rise.mean(axis=1)
    drawn = draw_shares(losses.shape[1], draws, seed) @ rise.T
    low, high = interval_of_highest(means, drawn, level)
    interval = (max(0.0, low), max(0.0, high))
    at = int(means.argmax())
    return Barrier(
        height=float(means[at]),
        interval=interval,
        at=float(t[at]),
        threshold=threshold.value,
        threshold_rule=threshold.rule,
        verdict=judge(interval, threshold.value),
    )


def judge(interval: Interval, threshold: float) -> Verdict:
    """Judge by the whole interval.

    >>> judge((0.0, 0.05), 0.1), judge((0.2, 0.4), 0.1), judge((0.0, 0.4), 0.1)
    ('connected', 'not connected', 'cannot tell')
    """
    low, high = interval
    if high <= threshold:
        return "connected"
    return "not connected" if low > threshold else "cannot tell"
