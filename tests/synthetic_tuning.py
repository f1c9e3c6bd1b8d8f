"""Searches of weights made up from a seed: no model is run, the numbers hang together."""

from pathlib import Path

import numpy as np

from weightscape.tuning.records import (
    Adaptation,
    Adapted,
    Baseline,
    Expert,
    Experts,
    Interval,
    State,
    Trial,
    TuneResult,
)

WAYS = ("fine-tuned base", "best expert", "uniform soup", "greedy soup", "RegMean")


def synthetic_tune(
    names: tuple[str, ...] = ("imdb-s0", "imdb-s1", "trec-s0"),
    *,
    groups: tuple[str, ...] = (),
    rivals: int = 5,
    best: bool = True,
    test: bool = True,
    trials: int = 40,
    box: bool = False,
    seed: int = 0,
) -> TuneResult:
    """Make up a search whose losses fall; the blend is ahead of the other ways, or not."""
    rng = np.random.default_rng(seed)
    shape = (len(groups), len(names)) if groups else (len(names),)
    tried = tuple(_trial(i, shape, trials, box, rng) for i in range(trials))
    complete = [it for it in tried if it.state == "complete"]
    lead = 0.84 if best else 0.70
    return TuneResult(
        task="mine",
        metric="accuracy",
        names=names,
        best=min(complete, key=lambda it: it.loss),
        dev={"accuracy": lead + 0.02, "loss": 0.5},
        held_out={"accuracy": lead, "loss": 0.52} if test else {},
        baselines=tuple(_baseline(i, test) for i in range(rivals)),
        trials=tried,
        sampler="cma-es",
        space="box" if box else "simplex",
        evaluations=trials,
        seconds=12.3,
        notes=("33 rows do not tell the best weights from the start of the search",),
        output=Path("/out/blend"),
        intervals={"accuracy": _around(lead + 0.02)},
        held_out_intervals={"accuracy": _around(lead)} if test else {},
        groups=groups,
    )


def synthetic_adaptation(models: int = 3) -> Adaptation:
    """Make up models that were adapted to a target."""
    made = tuple(
        Adapted(f"m{i}", f"/models/m{i}", Path(f"/out/m{i}"), {"accuracy": 0.7 + i / 100},
                0.2 if i else float("nan"), i != 1)
        for i in range(models)
    )  # fmt: skip
    cosines = tuple(tuple(1.0 if i == j else 0.3 for j in range(models)) for i in range(models))
    return Adaptation(
        task="mine", head="a linear probe of the mean", models=made, train_rows=60, dev_rows=30,
        cosines=cosines, head_cosines=cosines, head_spread=0.3, notes=("a note",), seconds=30.0,
    )  # fmt: skip


def synthetic_experts() -> Experts:
    """Make up experts, two of which are alike."""
    made = tuple(
        Expert(task, task, Path(f"/out/{task}"), {"accuracy": 0.8, "macro_f1": float("nan")}, True)
        for task in ("trec", "sst2", "imdb")
    )
    cosines = ((1.0, 0.1, 0.2), (0.1, 1.0, 0.97), (0.2, 0.97, 1.0))
    return Experts("base", made, cosines, (("sst2", "imdb"),), ("sst2 and imdb are alike",), 90.0)


def _trial(
    number: int, shape: tuple[int, ...], trials: int, box: bool, rng: np.random.Generator
) -> Trial:
    raw = rng.dirichlet(np.ones(shape[-1]), shape[:-1] or None)
    weights = raw * 3 - 2 / shape[-1] if box else raw
    state: State = "complete"
    if number % 5 == 4:
        state = "raced"
    elif number == trials - 3:
        state = "failed"
    loss = 0.5 + 0.4 * float(rng.random()) * (1 - number / (2 * trials))
    failed = state == "failed"
    return Trial(
        number, weights, float("inf") if failed else loss, 32 if state == "raced" else 60, state,
        0.02, "its losses are not finite" if failed else "",
    )  # fmt: skip


def _baseline(i: int, test: bool) -> Baseline:
    value = 0.82 - 0.015 * i
    name = WAYS[i] if i < len(WAYS) else f"another way {i}"
    return Baseline(
        name, 0.6 + i / 50, {"accuracy": value + 0.02},
        {"accuracy": value} if test else {}, 3.0 + i, "all rows" if i else "",
        {"accuracy": _around(value + 0.02)}, {"accuracy": _around(value)} if test else {},
        {"imdb-s0": 1.0} if i == 1 else None,
    )  # fmt: skip


def _around(value: float) -> Interval:
    return value - 0.03, value + 0.03
