"""Which sampler finds the better weights: all of them on the same models, rows and budgets.

    python -m bench.tune.samplers --work FOLDER [--targets TASK ...] [--summary]

Targets: four of `bench.tune.parts.TARGETS`, of four kinds, their eight adapted experts each (the
base besides in a box). 64 rows that no model was trained on, cut to 16 tokens so that a candidate
takes a tenth of a second; races as a search has them. A seed draws rows, order and chances.
Regret: the loss above the best that any run has found on those rows. Evaluations of the surrogate
are passes of all rows through the network, those for its derivatives among them. Killed, it goes
on where it was; --summary tells of what is there, whatever process made it.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from bench import report
from bench.tune.sampler_runs import SURROGATE, Job, Kind, Scene, run, scene_of
from bench.tune.sampler_summary import draw, summarise

TARGETS = ("subjectivity", "trec6", "vader_amazon", "20ng_sci")
LAYERED = TARGETS[:2]
FIRST = (SURROGATE, "cma-es", "cobyqa")
SECOND = ("tpe", "gp")
OTHERS = ("spsa", "random", "gradient")
CONTINUED = ("cma-es", "cobyqa")
USUAL, LONG = 150, 500
CAPS = {"gp": 100, "gradient": 25}
"""A Gaussian process asks for ever longer, and a gradient takes ten passes' time."""

ORDER: tuple[tuple[str, int], ...] = (
    ("simplex", 1),
    ("box", 1),
    ("simplex", 2),
    ("second", 1),
    ("after", 2),
    ("after", 1),
    ("layers", 1),
    ("others", 1),
    ("box", 2),
    ("second", 2),
    ("long", 0),
)
"""Phases and seeds, so that where time is short what matters most is there."""


def jobs(phase: str, target: str, seed: int) -> Iterator[Job]:
    """List a phase's runs of one target and seed."""

    def job(kind: Kind, sampler: str, evaluations: int = USUAL, after: bool = False) -> Job:
        most = min(evaluations, CAPS.get(sampler, evaluations))
        return Job(target, kind, sampler, seed, most, after)

    both: tuple[Kind, ...] = ("simplex", "box")
    if phase in ("simplex", "box"):
        yield from (job("box" if phase == "box" else "simplex", it) for it in FIRST)
    elif phase in ("second", "others"):
        yield from (
            job(kind, it) for kind in both for it in (SECOND if phase == "second" else OTHERS)
        )
    elif phase == "after":
        yield from (job(kind, it, after=True) for kind in both for it in CONTINUED)
    elif phase == "layers":
        yield from (job("layers", it) for it in (*FIRST, *OTHERS[:2]))
    else:  # a long run begins as a usual one does, and serves for it
        yield from (job("simplex", it, LONG) for it in (*FIRST, *SECOND, *OTHERS[:2]))


def main() -> None:
    """Make the runs, the most important ones first, and sum up."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--targets", nargs="+", choices=TARGETS, default=TARGETS)
    parser.add_argument("--summary", action="store_true")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    scenes: dict[str, Scene] = {}
    runs: list[dict[str, Any]] = []
    wanted = [
        job
        for phase, seed in ORDER
        for target in (LAYERED if phase == "layers" else TARGETS)
        if target in asked.targets
        for job in jobs(phase, target, seed)
    ]
    for job in wanted:
        there = job.file(asked.work).is_file()
        if asked.summary and not there:
            continue
        if not there and job.target not in scenes:
            scenes[job.target] = scene_of(job.target, asked.work)
        runs.append(run(job, asked.work, scenes.get(job.target)))
        told = runs[-1]
        print(f"{job.name}: {told['lines'][-1][1]:.4f}, {told['seconds']:.0f} s", flush=True)
    path = report.keep("tune-samplers", summarise(runs), module="bench.tune.samplers")
    print(f"wrote {path} and {draw(runs, ORDER[0][1])}")


if __name__ == "__main__":
    main()
