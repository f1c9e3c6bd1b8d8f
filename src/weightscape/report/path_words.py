"""What was found along a path, in sentences that terminal, page and pictures share."""

import numpy as np

from weightscape.paths.records import (
    Barrier,
    BestPoint,
    Forgetting,
    Interval,
    Knowledge,
    PathResult,
    PlaneResult,
    Series,
)


def number(value: float) -> str:
    """Write a loss or a share with three decimals, or the first digit that is not nought.

    >>> number(0.0344), number(0.0), number(0.00021), number(-1.5)
    ('0.034', '0.000', '0.0002', '-1.500')
    """
    if np.isnan(value):
        return "unknown"
    small = value != 0 and abs(value) < 0.0005
    return f"{value:.1g}" if small else f"{value:.3f}"


def between(interval: Interval) -> str:
    """Write an interval."""
    return f"{number(interval[0])} to {number(interval[1])}"


def verdict_words(series: Series) -> str:
    """Say in one sentence whether the ends are connected on this task, and by which numbers."""
    barrier = series.barrier
    if barrier.verdict == "cannot tell" and series.chance_ends:
        return (
            f"cannot tell: {' and '.join(series.chance_ends)} "
            f"{'is' if len(series.chance_ends) == 1 else 'are'} not better than chance beyond noise"
        )
    height = f"loss barrier {number(barrier.height)} ({between(barrier.interval)})"
    if barrier.verdict == "cannot tell":
        return f"cannot tell: {height} is not clear of the threshold {number(barrier.threshold)}"
    side = "below" if barrier.verdict == "connected" else "above"
    return f"{barrier.verdict}: {height} is {side} the threshold {number(barrier.threshold)}"


def advice(series: Series) -> str | None:
    """Say what would settle a verdict that is open: how many held-out rows."""
    if series.barrier.verdict != "cannot tell":
        return None
    wanted = rows_wanted(series.barrier, series.loss_rows)
    there = max(series.rows_there, series.loss_rows)
    if wanted is None or wanted > MOST_ROWS:
        return "the barrier is about as high as the threshold: more rows will hardly settle it"
    said = f"about {wanted} held-out rows would settle it"
    if wanted <= there:
        return f"{said} (--rows {wanted})"
    if there > series.loss_rows:
        return f"{said}; the task has {there} (--rows all)"
    return f"{said}; the task has {there}, and all of them were scored"


MOST_ROWS = 1_000_000


def rows_wanted(barrier: Barrier, rows: int) -> int | None:
    """Estimate how many rows would bring the interval clear of the threshold; None for no number.

    An interval over rows is as wide as 1 / sqrt(rows). Rounded up to two digits.

    >>> from weightscape.paths.records import Barrier
    >>> rows_wanted(Barrier(0.05, (0.0, 0.15), 0.5, 0.1, "given", "cannot tell"), 100)
    400
    """
    low, high = barrier.interval
    room = abs(barrier.threshold - barrier.height)
    wide = high - barrier.height
    if barrier.height > barrier.threshold:
        wide = max(wide, barrier.height - low)  # which may have been cut off at nought
    if not np.isfinite(wide) or room * 1e4 <= wide:
        return None
    wanted = rows * (wide / room) ** 2
    step = 10.0 ** max(0, int(np.floor(np.log10(max(wanted, 1)))) - 1)
    return int(np.ceil(wanted / step - 1e-9) * step)


def metric_words(series: Series, result: PathResult) -> str | None:
    """Say what the first metric does on the way, and what to conclude where only the loss rises."""
    drop, barrier = series.metric_drop, series.barrier
    if drop is None:
        return None
    name = drop.metric.replace("_", " ")
    fall = f"{number(drop.height)} ({between(drop.interval)}) below the worse end"
    falls = f"{name} falls {fall} at t = {drop.at:.2f}" if drop.height > 0 else None
    if barrier.verdict != "not connected" or drop.interval[0] > 0:
        return falls
    said = (
        f"the verdict rests on the loss alone: {name} falls nowhere below the worse end beyond "
        f"noise (at most by {number(drop.interval[1])}). Between the two the answers stay right "
        "but their probabilities do not: trust the labels of an average, not how sure it is"
    )
    if result.head == "own" and series.labels:
        said += "; --head probe tells whether it is only the heads that do not fit together"
    return said


def best_words(best: BestPoint) -> str:
    """Say where on the path the best model lies, and whether it beats both ends."""
    if best.t in (0.0, 1.0):
        return f"best point: the {'first' if best.t == 0 else 'second'} end itself"
    where = f"best point: t = {best.t:.2f} (chosen on {best.chosen_on} rows)"
    low, high = best.gain_interval
    lower = best.gain >= 0
    # the interval counts in the direction of the words before it
    spread = between((low, high) if lower else (0.0 - high, 0.0 - low))
    gain = f"loss {number(abs(best.gain))} ({spread}) {'below' if lower else 'above'}"
    if best.beats_both:
        ending = "beats both ends beyond noise"
    elif low > 0:
        ending = "better than that end beyond noise, but not than the other"
    elif high < 0:
        ending = "worse than that end beyond noise"
    else:
        ending = "no difference beyond noise, as the interval holds 0"
    return f"{where}, {gain} that of the better end: {ending}"


def told_table(series: Series, head: str) -> Knowledge:
    """Give the table that words and pictures are about: training rows, unless a probe saw them."""
    return series.held_out if head == "probe" else series.train


def rows_words(split: str) -> str:
    """Name the rows of a split as the sentences do."""
    return "training" if split == "train" else "held-out"


def knowledge_words(series: Series, head: str) -> str:
    """Say how many rows are forgotten and gained along the path."""
    table = told_table(series, head)
    forgotten = {row for rows in table.forgotten for row in rows}
    gained = {row for rows in table.gained for row in rows}
    if not np.isfinite(table.correct).any():
        return "answers of this task are not right or wrong row by row"
    always = int((table.correct == 1).all(axis=0).sum())
    return (
        f"of {len(table.rows)} {rows_words(table.split)} rows, {len(forgotten)} are forgotten and "
        f"{len(gained)} gained somewhere on the way; {always} are known all along"
        + ("; the probe was fitted on the training rows" if head == "probe" else "")
    )


def forgetting_words(found: Forgetting) -> str:
    """Say whether it is the hard examples that are forgotten first."""
    if np.isnan(found.auc):
        return "too few rows are forgotten to say whether the hard ones go first"
    return (
        f"AUC {number(found.auc)} ({between(found.auc_interval)}) of early forgetting by low "
        "confidence in training (0.5 is chance)"
    )


def head_words(result: PathResult | PlaneResult) -> str:
    """Say what was done with the heads, and why where that was left open."""
    if result.head == "own":
        return "heads: interpolated with the rest"
    if result.head == "probe":
        why = f", as {result.head_reason}" if result.head_reason else ""
        return f"heads: a linear probe refitted at every point on training rows{why}"
    return f"heads: that of {result.head} at every point"


def head_tag(result: PathResult | PlaneResult) -> str:
    """Name the head in a few words, for a picture."""
    heads = {"own": "their own, interpolated", "probe": "a linear probe at every point"}
    why = f" ({result.head_reason})" if result.head_reason else ""
    return f"heads: {heads.get(result.head, result.head)}{why}"


def curve_words(result: PathResult) -> str:
    """Name the curve.

    A chain of one bend is two straight pieces.
    """
    bends = f"{result.bends} bend" + ("" if result.bends == 1 else "s")
    named = {"line": "straight line", "bezier": f"Bezier curve with {bends}"}
    return named.get(result.curve, f"chain with {bends}")


def series_words(series: Series, result: PathResult) -> list[str]:
    """Say all that was found on one task, the verdict first."""
    said = [verdict_words(series), advice(series), metric_words(series, result)]
    if series.chance_ends and series.barrier.verdict != "cannot tell":
        said.append(f"not better than chance beyond noise: {' and '.join(series.chance_ends)}")
    said += [best_words(series.best), knowledge_words(series, result.head)]
    if series.forgetting is not None:
        fitted = " on training rows, which the probe was fitted on" * (result.head == "probe")
        said.append(forgetting_words(series.forgetting) + fitted)
    said.append(head_words(result))
    return [it for it in said if it]


def plane_words(result: PlaneResult) -> list[str]:
    """Say where the plane is lowest and highest, and how that compares with the three models."""
    if not np.isfinite(result.losses).any():
        return ["no point of the grid has a finite loss"]
    row, column = np.unravel_index(np.nanargmin(result.losses), result.losses.shape)
    low, high = float(result.losses[row, column]), float(np.nanmax(result.losses))
    best = min(result.ends_loss)
    ends = "; ".join(
        f"{name} {number(loss)}" for name, loss in zip(result.names, result.ends_loss, strict=True)
    )
    side = "below" if low < best else "not below"
    return [
        f"losses on {result.loss_rows} held-out rows: {ends}",
        f"lowest point of the grid: {number(low)} at ({result.x[column]:.3g}, "
        f"{result.y[row]:.3g}), {side} the best model; highest: {number(high)}",
        head_words(result),
    ]
