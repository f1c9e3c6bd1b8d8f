"""What a candidate costs beside its forward pass, and how long a search takes to a given loss.

    python -m bench.tune.candidates --work FOLDER [--target subjectivity] [--rounds 5]

Models: a target's eight adapted experts (bench/tune/parts.py). Rows: of the target's, none that
they were trained on. Each round takes a new blend and scores it in every way, in turn. Forward:
the network over the same tokenised batches, and nothing else. Seconds are of the processor, for
other work shares it; those on the wall are in the result, too. One thread.

A search's time to a loss is compared by what the plain search (CMA-ES, 150 evaluations, no race,
no surrogate) ends with. What the way through a folder and a new process would take is not run: it
is the evaluations that the plain search needed, times what one of them costs in that way. Killed,
it goes on where it was.
"""

import argparse
import json
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from bench import report
from bench.tune.candidate_costs import PRECISIONS, costs
from bench.tune.given_loss import WAYS, reached, trace
from bench.tune.parts import Opened, adapted_of, opened
from bench.tune.unseen_rows import unseen_rows

ROWS = (20, 100, 500)
SEARCHED = {100: 3, 500: 1}
"""Seeds for each number of rows: of 500 a plain search takes minutes."""


def searches(target: str, models: Opened, rows: int, seed: int, work: Path) -> dict[str, Any]:
    """Search in all ways, unless that was done before."""
    file = work / "candidates" / f"{target}-{rows}-{seed}.json"
    if file.is_file():
        return json.loads(file.read_text())  # type: ignore[no-any-return]
    dev = unseen_rows(target, rows, seed)
    spanned, task = models.models.models, models.task
    precision = PRECISIONS["bfloat16"]
    found: dict[str, Any] = {"rows": rows, "seed": seed}
    goal = -np.inf
    for way in WAYS:
        found[way] = trace(way, spanned, task, dev, seed, precision, goal)
        if way == "plain":
            goal = found[way]["lines"][-1][-1]
        spent = {name: round(found[way][name], 1) for name in ("evaluations", "processor")}
        print(f"{rows} rows, seed {seed}, {way}: {found[way]['lines'][-1][-1]:.4f}, {spent}")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(found))
    return found


def compared(found: dict[str, Any], one_costs: float) -> dict[str, Any]:
    """Compare what the ways took to the plain search's end."""
    end = found["plain"]["lines"][-1][-1]
    at = {way: reached(found[way], end) for way in WAYS}
    plain = at["plain"]
    assert plain is not None
    return {
        "rows": found["rows"],
        "seed": found["seed"],
        "loss": end,
        "best": {way: found[way]["lines"][-1][-1] for way in WAYS},
        "start": found["plain"]["lines"][0][-1],
        "at": at,
        "folder_seconds": plain["evaluations"] * one_costs,
    }


def over_seeds(lines: list[dict[str, Any]]) -> dict[str, Any]:
    """Give medians over seeds; a way that did not come there counts as endless."""

    def times(over: Callable[[dict[str, Any]], float], way: str) -> float:
        ratios = [over(it) / it["at"][way]["processor"] if it["at"][way] else 0.0 for it in lines]
        return statistics.median(ratios)

    return {
        "rows": lines[0]["rows"],
        "seeds": len(lines),
        "ways": {
            way: {
                "came_there": sum(it["at"][way] is not None for it in lines),
                "seconds": _median([it["at"][way]["processor"] for it in lines if it["at"][way]]),
                "evaluations": _median(
                    [it["at"][way]["evaluations"] for it in lines if it["at"][way]]
                ),
                "forwards": _median([it["at"][way]["forwards"] for it in lines if it["at"][way]]),
                "faster_than_plain": times(lambda it: it["at"]["plain"]["processor"], way),
                "faster_than_folder": times(lambda it: it["folder_seconds"], way),
            }
            for way in WAYS
        },
        "folder_seconds": _median([it["folder_seconds"] for it in lines]),
    }


def _median(numbers: list[float]) -> float | None:
    return statistics.median(numbers) if numbers else None


def main() -> None:
    """Measure costs, then searches."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--target", default="subjectivity")
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    models = opened(asked.target, 0, asked.work)
    folders = adapted_of(asked.target, 0, asked.work)
    rows = []
    for count in ROWS:
        for precision in PRECISIONS:
            one = costs(asked.target, models, folders, count, precision, asked.work, asked.rounds)
            rows.append(one)
            print({key: one[key] for key in ("rows", "precision", "beyond_forward", "seconds")})
    lines: list[dict[str, Any]] = []
    for count, seeds in SEARCHED.items():
        one_costs = next(
            it["seconds"]["folder and process"]
            for it in rows
            if it["rows"] == count and it["precision"] == "bfloat16"
        )
        for seed in range(seeds):
            found = searches(asked.target, models, count, seed, asked.work)
            lines.append(compared(found, one_costs))
    groups = [[it for it in lines if it["rows"] == count] for count in SEARCHED]
    result = {
        "target": asked.target,
        "models": len(folders),
        "costs": rows,
        "to_a_loss": [over_seeds(group) for group in groups],
        "runs": lines,
    }
    path = report.keep("tune-candidates", result, module="bench.tune.candidates")
    print(f"wrote {path}")


if __name__ == "__main__":
    main()
