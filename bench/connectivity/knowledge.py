"""Question 3: what is forgotten on the way from one task's model to another's?

    python -m bench.connectivity.knowledge --work DIR [--workers 2]

The first model's head is kept all along the line, so what is lost is what its encoder knew. Its
training recorded how sure it was of every training row: are rows of low confidence lost first?
"""

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import asdict
from hashlib import blake2b
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import torch
from bench import report
from bench.connectivity.barriers import Array, Estimate
from bench.connectivity.measure import run_all
from bench.connectivity.models import Recipe, make, recipes_of, task_named
from bench.connectivity.tables import interval, save
from numpy.typing import NDArray

from weightscape.paths.path import connect
from weightscape.paths.resampling import percentiles
from weightscape.tasks.dynamics import cartography, load_dynamics
from weightscape.tasks.fine_tuning import FineTuning
from weightscape.tasks.objective import Scoring

ROWS = 512
HOW = FineTuning(lr=2e-4, steps=160, record_dynamics=10, dynamics_rows=ROWS)
TASKS = ("trec6", "20ng_sci", "vader_movies")
POINTS = 13
DRAWS = 1000
THIRDS = ("hard", "middling", "easy")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="where models and pairs are kept")
    parser.add_argument("--workers", type=int, default=1 if torch.cuda.is_available() else 2)
    options = parser.parse_args()
    began = time.perf_counter()
    # few rows, so that each is seen several times: cartography is about what is learned when
    models = [Recipe(f"{task} first {ROWS}", HOW) for task in TASKS]
    pairs = list(permutations(models, 2))
    jobs = [(recipe, options.work) for recipe in recipes_of(pairs)]
    run_all(make, jobs, options.workers, "models")
    jobs = [(*pair, options.work) for pair in pairs]
    found = run_all(follow, jobs, options.workers, "pairs")
    rows = [told(it) for it in found]
    means = {
        "confidence": mean_auc(found, "confidence"),
        "end_probability": mean_auc(found, "end_probability"),
    }
    path = report.keep(
        "connectivity-knowledge",
        {
            "rows": rows,
            "mean_auc": {name: it.as_json() for name, it in means.items()},
            "kept": {third: share.tolist() for third, share in kept_by_third(found).items()},
            "t": found[0]["t"],
            "fine_tuning": asdict(HOW),
            "points": POINTS,
            "training_rows": ROWS,
            "pair_seconds": sum(it["seconds"] for it in found),
            "seconds_of_this_run": time.perf_counter() - began,
        },
        module="bench.connectivity.knowledge",
    )
    picture = draw(found, rows)
    report.show(
        ["from", "to", "known", "lost before half", "lost in all", "AUC", "AUC of the end's own"],
        [
            (
                it["from"],
                it["to"],
                it["known"],
                it["lost_early"],
                it["lost"],
                interval(it["auc"]),
                f"{it['end_probability_auc']:.3f}",
            )
            for it in rows
        ],
    )
    for name, it in means.items():
        print(f"mean AUC by {name}: {interval(it.as_json())}")
    print(f"wrote {path} and {picture}")


def follow(one: Recipe, other: Recipe, work: Path) -> dict[str, Any]:
    """Follow the first model's training rows along the line, or take them from the work folder."""
    name = f"{one.name} -- {other.name} {POINTS}"
    file = work / "knowledge" / f"{blake2b(name.encode(), digest_size=12).hexdigest()}.json"
    if file.is_file():
        return json.loads(file.read_text())  # type: ignore[no-any-return]
    ends = [make(recipe, work) for recipe in (one, other)]
    result = connect(
        ends[0],
        ends[1],
        task_named(one.task),
        points=POINTS,
        head=ends[0],
        scoring=Scoring(limit=128, train_limit=ROWS, validation_limit=0),
        allow_chance=True,
        folder=file.with_suffix(".under-way"),
    )
    series = result.series[0]
    data_map = cartography(load_dynamics(ends[0]))
    place = {int(row): i for i, row in enumerate(data_map.rows)}
    at = [place[int(row)] for row in series.train.rows]
    assert series.forgetting is not None
    found = {
        "from": one.task.split()[0],
        "to": other.task.split()[0],
        "t": [point.t for point in series.points],
        "held_out_accuracy": [point.metrics["accuracy"] for point in series.points],
        "correct": series.train.correct.astype(int).tolist(),
        "confidence": data_map.confidence[at].round(5).tolist(),
        "variability": data_map.variability[at].round(5).tolist(),
        "flips": data_map.flips[at].tolist(),
        "end_probability": series.train.gold_probabilities[0].round(5).tolist(),
        "auc": [series.forgetting.auc, *series.forgetting.auc_interval],
        "seconds": round(result.seconds, 1),
    }
    half = file.with_suffix(".half")
    half.write_text(json.dumps(found))
    half.replace(file)
    return found


def told(found: dict[str, Any]) -> dict[str, Any]:
    """Sum up one line for the table."""
    known, early, lost = fates(found)
    confidence = np.array(found["confidence"])
    return {
        "from": found["from"],
        "to": found["to"],
        "known": int(known.sum()),
        "lost_early": int(early[known].sum()),
        "lost": int(lost[known].sum()),
        "auc": dict(zip(("value", "low", "high"), found["auc"], strict=True)),
        "end_probability_auc": auc_of(found, "end_probability", np.flatnonzero(known)),
        "confidence_lost_early": mean_or_nan(confidence[known & early]),
        "confidence_lost_later": mean_or_nan(confidence[known & lost & ~early]),
        "confidence_never_lost": mean_or_nan(confidence[known & ~lost]),
        "order": first_lost_against_confidence(found),
    }


def mean_or_nan(values: Array) -> float:
    """Average what there is; NaN of nothing."""
    return float(values.mean()) if len(values) else float("nan")


def fates(found: dict[str, Any]) -> tuple[NDArray[np.bool_], ...]:
    """Tell of each row whether the first end knows it, and whether it is lost before half, or ever.

    Never lost is what is right at every point.
    """
    correct, t = np.array(found["correct"]), np.array(found["t"])
    wrong = correct == 0
    return correct[0] == 1, wrong[t < 0.5].any(axis=0), wrong.any(axis=0)


def first_lost_against_confidence(found: dict[str, Any]) -> float:
    """Correlate (Spearman) where a lost row is first wrong with how sure training was of it."""
    from scipy.stats import spearmanr

    known, _, lost = fates(found)
    which = known & lost
    first = (np.array(found["correct"]) == 0).argmax(axis=0)
    return float(spearmanr(first[which], np.array(found["confidence"])[which]).statistic)


def auc_of(found: dict[str, Any], score: str, which: NDArray[np.int64]) -> float:
    """Measure how well a low score tells rows lost before half; among `which`, with repeats."""
    from scipy.stats import rankdata

    early = fates(found)[1][which]
    right = int(early.sum())
    if right in (0, len(early)):
        return float("nan")
    ranks = rankdata(-np.array(found[score])[which])
    wins = ranks[early].sum() - right * (right + 1) / 2
    return float(wins / (right * (len(early) - right)))


def mean_auc(found: Sequence[dict[str, Any]], score: str) -> Estimate:
    """Average over the lines, with an interval over lines and examples."""
    known = [np.flatnonzero(fates(it)[0]) for it in found]
    each = [auc_of(it, score, which) for it, which in zip(found, known, strict=True)]
    generator = np.random.default_rng(0)
    drawn = []
    for _ in range(DRAWS):
        lines = generator.integers(0, len(found), len(found))
        drawn.append(
            np.nanmean(
                [auc_of(found[i], score, generator.choice(known[i], len(known[i]))) for i in lines]
            )
        )
    low, high = percentiles(np.array(drawn), 0.95)
    return Estimate(float(np.nanmean(each)), float(low), float(high))


def kept_by_third(found: Sequence[dict[str, Any]]) -> dict[str, Array]:
    """Give the share of known rows that are right at each point, by thirds of confidence."""
    shares: dict[str, list[Array]] = {third: [] for third in THIRDS}
    for it in found:
        known = np.flatnonzero(fates(it)[0])
        by_confidence = known[np.argsort(np.array(it["confidence"])[known], kind="stable")]
        for third, rows in zip(THIRDS, np.array_split(by_confidence, 3), strict=True):
            shares[third].append(np.array(it["correct"])[:, rows].mean(axis=1))
    return {third: np.mean(each, axis=0) for third, each in shares.items()}


def draw(found: Sequence[dict[str, Any]], rows: Sequence[dict[str, Any]]) -> Path:
    """Draw what is kept along the lines by thirds of confidence, and each line's AUC."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 3.2), dpi=90, layout="constrained")
    left, right = figure.subplots(1, 2)
    for (third, share), colour in zip(
        kept_by_third(found).items(), ("#b5432f", "#8a8a8a", "#2c6fb0"), strict=True
    ):
        left.plot(found[0]["t"], share, color=colour, label=f"{third} third")
    left.set_xlabel("t, from the task's model to another's")
    left.set_ylabel("known training rows still right")
    left.legend(frameon=False)
    for place, row in enumerate(rows):
        if not row["lost_early"]:
            right.text(0.51, place, "no row is lost before half", va="center", fontsize=8)
            continue
        right.plot([row["auc"]["low"], row["auc"]["high"]], [place, place], color="#2c6fb0")
        right.plot(row["auc"]["value"], place, "o", color="#2c6fb0", markersize=4)
    right.axvline(0.5, color="#999999", linewidth=0.8)
    right.set_yticks(range(len(rows)), [f"{row['from']} to {row['to']}" for row in rows])
    right.invert_yaxis()
    right.set_xlabel("AUC of low confidence")
    return save(figure, "connectivity-knowledge.png")


if __name__ == "__main__":
    main()
