"""Paths and planes made up from a seed: no model is run, the numbers hang together."""

from itertools import pairwise

import numpy as np

from weightscape.paths.records import (
    Barrier,
    BendsTrained,
    BestPoint,
    Ends,
    Forgetting,
    Knowledge,
    MetricDrop,
    PathPoint,
    PathResult,
    PlaneResult,
    Series,
    Traits,
    Verdict,
)

NAN = float("nan")


def synthetic_path(
    names: tuple[str, str] = ("imdb-s0", "imdb-s1"),
    *,
    tasks: tuple[str, ...] = ("sst2",),
    height: float = 0.6,
    points: int = 26,
    rows: int = 120,
    curve: str = "line",
    verdict: Verdict | None = None,
    seed: int = 0,
) -> PathResult:
    """Make up a path whose loss rises `height` above the chord about its middle."""
    rng = np.random.default_rng(seed)
    series = tuple(
        _series(task, place, names, height, points, rows, verdict, rng)
        for place, task in enumerate(tasks)
    )
    bends = 0 if curve == "line" else 1
    training = BendsTrained(
        losses=np.linspace(1, 0.3, 20),
        validation=((0, 0.9), (10, 0.5), (20, 0.4)),
        chosen_step=20,
        folders=("/out/bend-1",),
        arguments={"lr": 1e-4, "steps": 20, "init": "midpoint"},
    )
    return PathResult(
        ends=Ends(names, 12.5, 0.0026, 0.993, 0.21, None, 22_713_216, 11_000_000),
        curve=curve,  # type: ignore[arg-type]
        bends=bends,
        head="own",
        space="factor",
        length=12.5,
        series=series,
        training=training if bends else None,
        seconds=31.0,
    )


def _series(
    task: str,
    place: int,
    names: tuple[str, str],
    height: float,
    count: int,
    rows: int,
    verdict: Verdict | None,
    rng: np.random.Generator,
) -> Series:
    ts = np.linspace(0, 1, count)
    starts, stops = (0.32, 0.38) if place == 0 else (0.95, 0.30)
    chord = (1 - ts) * starts + ts * stops
    loss = chord + height * np.sin(np.pi * ts) ** 2 + 0.012 * np.sin(9 * ts) * np.sin(np.pi * ts)
    spread = 0.03 + 0.05 * np.sin(np.pi * ts) * height
    accuracy = 0.93 - 0.12 * (loss - chord) - 0.05 * ts
    points = tuple(
        PathPoint(
            t=float(t),
            weights=(float(1 - t), float(t)),
            loss=float(loss[i]),
            loss_interval=(float(loss[i] - spread[i]), float(loss[i] + spread[i])),
            train_loss=float(loss[i] * 0.7),
            train_loss_interval=(float(loss[i] * 0.7 - 0.02), float(loss[i] * 0.7 + 0.02)),
            metrics={"accuracy": float(accuracy[i]), "macro_f1": float(accuracy[i] - 0.01)},
            metric_intervals={
                "accuracy": (float(accuracy[i] - 0.02), float(accuracy[i] + 0.02)),
                "macro_f1": (float(accuracy[i] - 0.03), float(accuracy[i] + 0.01)),
            },
            train_metrics={"accuracy": float(accuracy[i] + 0.02), "macro_f1": NAN},
            chord=float(chord[i]),
            validation_loss=None,
            length=float(12.5 * t),
        )
        for i, t in enumerate(ts)
    )
    rise = loss - chord
    top = int(np.argmax(rise))
    high = float(max(rise[top], 0))
    threshold = 0.034
    said = verdict or ("connected" if high < threshold else "not connected")
    best = int(np.argmin(loss))
    train = _knowledge("train", ts, rows, height, rng)
    return Series(
        task=task,
        labels=("neg", "pos"),
        points=points,
        barrier=Barrier(
            high,
            (max(0.0, high - 0.03), high + 0.04),
            float(ts[top]),
            threshold,
            "5 % of the gap between the ends' loss and chance",
            said,
        ),
        metric_drop=MetricDrop("accuracy", 0.04, (0.01, 0.07), float(ts[top])),
        best=BestPoint(
            float(ts[best]),
            "train",
            float(loss[best]),
            {"accuracy": float(accuracy[best]), "macro_f1": NAN},
            float(min(loss[0], loss[-1]) - loss[best]),
            (-0.002, 0.02),
            0.004,
            (-0.01, 0.02),
            False,
        ),
        held_out=_knowledge("test", ts, rows // 2, height, rng),
        train=train,
        forgetting=Forgetting(
            tuple(
                Traits(len(lost), 0.7 if lost else NAN, 0.2 if lost else NAN, 1.5 if lost else NAN)
                for lost in train.forgotten
            ),
            Traits(rows // 2, 0.95, 0.05, 0.2),
            0.81,
            (0.7, 0.9),
            names[0],
        ),
        chance_loss=0.693,
        chance_ends=(),
        loss_rows=rows // 2,
        train_rows=rows,
        rows_there=rows,
    )


def _knowledge(
    split: str, ts: np.ndarray, rows: int, height: float, rng: np.random.Generator
) -> Knowledge:
    hard = rng.uniform(0, 1, rows)
    dip = min(1.0, height) * np.sin(np.pi * ts)
    gold = np.clip(1.05 - hard[None, :] * 0.6 - dip[:, None] * rng.uniform(0, 1, rows), 0.02, 0.99)
    correct = (gold > 0.5).astype(float)
    numbers = np.arange(rows) * 3 + (1 if split == "test" else 0)
    lost = [tuple[int, ...]()]
    won = [tuple[int, ...]()]
    for before, now in pairwise(correct):
        lost.append(tuple(int(row) for row in numbers[(before == 1) & (now == 0)]))
        won.append(tuple(int(row) for row in numbers[(before == 0) & (now == 1)]))
    return Knowledge(split, numbers, correct, gold, tuple(lost), tuple(won))  # type: ignore[arg-type]


def synthetic_plane(
    names: tuple[str, str, str] = ("imdb-s0", "imdb-s1", "imdb-s2"),
    *,
    grid: int = 11,
    height: float = 2.0,
    holes: bool = False,
) -> PlaneResult:
    """Make up a plane in which each model sits in a basin of its own, `height` apart."""
    positions = np.array([[0.0, 0.0], [10.0, 0.0], [4.0, 8.0]])
    x = np.linspace(-3, 13, grid)
    y = np.linspace(-3, 11, grid)
    across, up = np.meshgrid(x, y)
    distance = np.stack([np.hypot(across - a, up - b) for a, b in positions])
    losses = 0.3 + height * np.log1p(distance.min(axis=0) ** 2 / 8)
    if holes:
        losses[0, 0] = np.nan
    accuracy = 0.95 - losses / 10
    return PlaneResult(
        names=names,
        task="sst2",
        head="own",
        space="factor",
        x=x,
        y=y,
        positions=positions,
        losses=losses,
        train_losses=losses * 0.8,
        metrics={"accuracy": accuracy},
        train_metrics={"accuracy": accuracy + 0.01},
        ends_loss=(0.3, 0.31, 0.32),
        ends_metrics={"accuracy": (0.92, 0.91, 0.93)},
        chance_loss=0.693,
        loss_rows=120,
        train_rows=240,
        seconds=60.0,
    )
