"""Connect a pair by a line and by a Bezier curve, once, and keep what the tables need of it."""

import json
import shutil
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from hashlib import blake2b
from multiprocessing import get_context
from pathlib import Path
from time import perf_counter
from typing import Any, Literal

import numpy as np
import torch
from bench.connectivity.barriers import Array
from bench.connectivity.models import Recipe, base_of, make, task_named

from weightscape.paths.barrier import rises
from weightscape.paths.bends import BendTraining
from weightscape.paths.path import connect
from weightscape.paths.records import PathResult, Series
from weightscape.tasks.objective import Scoring

Space = Literal["factor", "product"]
CURVES: tuple[Literal["line", "bezier"], ...] = ("line", "bezier")


@dataclass(frozen=True, slots=True)
class Pair:
    """Two models to connect, and the task that the curve is scored on.

    head: "auto" interpolates heads that were made for the task; "probe" refits one at each point.
    """

    one: Recipe
    other: Recipe
    task: str
    space: Space = "factor"
    head: Literal["auto", "probe"] = "auto"

    @property
    def name(self) -> str:
        """Name the pair by its models."""
        head = "" if self.head == "auto" else f", {self.head}"
        return f"{self.one.name} -- {self.other.name} ({self.task}, {self.space}{head})"


@dataclass(frozen=True, slots=True)
class Measuring:
    """How pairs are measured. A bend is trained at the rate of the first end, for `bend_steps`.

    probe_rows: training rows where linear probes are fitted on them.
    """

    points: int = 7
    rows: int = 256
    train_rows: int = 64
    probe_rows: int = 512
    bend_steps: int = 60
    validation_rows: int = 64

    def scoring(self, pair: Pair) -> Scoring:
        """Give the rows that points are scored on."""
        same = task_named(pair.one.task).labels == task_named(pair.other.task).labels
        train = self.train_rows if same and pair.head == "auto" else self.probe_rows
        return Scoring(limit=self.rows, train_limit=train, validation_limit=0)

    def training(self, pair: Pair) -> BendTraining:
        """Give how a pair's bend is trained: the longer the ends took, the longer."""
        steps = max(self.bend_steps, pair.one.how.steps if is_control(pair) else 0)
        return BendTraining(
            lr=pair.one.how.lr,
            steps=steps,
            batch=pair.one.how.batch,
            validate_every=steps,
            validation_points=3,
            validation_rows=self.validation_rows,
        )


def is_control(pair: Pair) -> bool:
    """Tell whether a pair's models have no common start: there a bend has a long way to go."""
    return pair.one.start != pair.other.start


def measure(pair: Pair, how: Measuring, work: Path) -> dict[str, Any]:
    """Give a pair's line and curve, from the work folder if they were measured before."""
    told = f"{pair.name} {how}"
    file = work / "pairs" / f"{blake2b(told.encode(), digest_size=12).hexdigest()}.json"
    if file.is_file():
        return json.loads(file.read_text())  # type: ignore[no-any-return]
    began = perf_counter()
    scratch = file.with_suffix(".under-way")
    ends = [make(recipe, work) for recipe in (pair.one, pair.other)]
    found: dict[str, Any] = {"pair": told}
    for curve in CURVES:
        result = connect(
            ends[0],
            ends[1],
            task_named(pair.task),
            curve=curve,
            points=how.points,
            training=how.training(pair),
            head=pair.head,
            space=pair.space,
            base=base_of(pair.one, pair.other, work) if curve == "line" else None,
            scoring=how.scoring(pair),
            allow_chance=True,
            folder=scratch,
        )
        found[curve] = _kept(result)
    found["seconds"] = round(perf_counter() - began, 1)
    file.parent.mkdir(parents=True, exist_ok=True)
    half = file.with_suffix(".half")
    half.write_text(json.dumps(found))
    half.replace(file)
    shutil.rmtree(scratch)  # bends are as large as models
    return found


def rises_of(found: dict[str, Any], curve: str) -> Array:
    """Give a pair's rises over the chord [points, held-out rows]."""
    kept = found[curve]
    return rises(np.array(kept["losses"]), np.array(kept["t"]))


def run_all(
    job: Callable[..., Any], jobs: Sequence[tuple[Any, ...]], workers: int, what: str
) -> list[Any]:
    """Run jobs, in processes of one thread if there are several workers; tell how far it is."""
    done: list[Any] = []
    began = perf_counter()

    def tell(results: Iterable[Any]) -> list[Any]:
        for result in results:
            done.append(result)
            print(f"{what} {len(done)}/{len(jobs)}, {perf_counter() - began:.0f} s", flush=True)
        return done

    if workers == 1:
        return tell(job(*it) for it in jobs)
    with ProcessPoolExecutor(
        workers, mp_context=get_context("spawn"), initializer=torch.set_num_threads, initargs=(1,)
    ) as pool:
        futures = [pool.submit(job, *it) for it in jobs]
        return tell(future.result() for future in futures)


def _kept(result: PathResult) -> dict[str, Any]:
    series: Series = result.series[0]
    probabilities = np.maximum(series.held_out.gold_probabilities, 1e-12)
    return {
        "t": [point.t for point in series.points],
        "losses": np.round(-np.log(probabilities), 5).tolist(),
        "train_loss": [round(point.train_loss, 5) for point in series.points],
        "metrics": [dict(point.metrics) for point in series.points],
        "height": series.barrier.height,
        "interval": list(series.barrier.interval),
        "verdict": series.barrier.verdict,
        "threshold": series.barrier.threshold,
        "chance_loss": series.chance_loss,
        "head": result.head,
        "length": result.length,
        "l2": result.ends.l2,
        "delta_cosine": result.ends.delta_cosine,
        "bend_step": result.training.chosen_step if result.training else None,
        "seconds": round(result.seconds, 1),
    }
