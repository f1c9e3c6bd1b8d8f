"""Question 1: what changes whether two fine-tuned models are connected?

    python -m bench.connectivity.factors --work DIR [--workers 2] [--only "LoRA" ...]

Every cell is three pairs of models, each connected by a line and by a Bezier curve. Models and
measured pairs are kept in DIR: a run that was killed goes on, cells share models.
"""

import argparse
import time
from dataclasses import asdict
from pathlib import Path

import torch
from bench import report
from bench.connectivity.cells import STANDARD, Cell, cells, pairs_of
from bench.connectivity.measure import Measuring, measure, run_all
from bench.connectivity.models import make, recipes_of
from bench.connectivity.tables import draw_barriers, interval, summary


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="where models and pairs are kept")
    parser.add_argument("--workers", type=int, default=1 if torch.cuda.is_available() else 2)
    parser.add_argument("--only", nargs="+", help="of these factors, beside the first cell")
    options = parser.parse_args()
    began = time.perf_counter()
    reference, *rest = cells()
    listed = [reference, *(it for it in rest if not options.only or it.factor in options.only)]
    how = Measuring()
    pairs = pairs_of(listed)
    recipes = recipes_of((pair.one, pair.other) for pair in pairs)
    run_all(make, [(recipe, options.work) for recipe in recipes], options.workers, "models")
    jobs = [(pair, how, options.work) for pair in pairs]
    measured = dict(zip(pairs, run_all(measure, jobs, options.workers, "pairs"), strict=True))
    beside = [measured[pair] for pair in reference.pairs]
    rows = [
        {
            "factor": cell.factor,
            "ends": cell.ends,
            **summary(
                [measured[pair] for pair in cell.pairs],
                beside if _comparable(cell) and cell is not reference else (),
            ),
        }
        for cell in listed
    ]
    picture = draw_barriers("connectivity-factors.png", [cell.name for cell in listed], rows)
    path = report.keep(
        "connectivity-factors",
        {
            "rows": rows,
            "measuring": asdict(how),
            "standard": asdict(STANDARD.how),
            "models": len(recipes),
            "pair_seconds": sum(it["seconds"] for it in measured.values()),
            "seconds_of_this_run": time.perf_counter() - began,
        },
        module="bench.connectivity.factors",
    )
    report.show(
        ["factor", "ends", "accuracy", "cosine", "line", "above the first", "Bezier", "verdicts"],
        [
            (
                it["factor"],
                it["ends"],
                f"{it['end_accuracy']:.3f}",
                "" if it["delta_cosine"] is None else f"{it['delta_cosine']:.2f}",
                interval(it["line"]["barrier"]),
                interval(it["line"]["above_reference"]) if "above_reference" in it["line"] else "",
                interval(it["bezier"]["barrier"]),
                f"{it['line']['verdicts']} {it['bezier']['verdicts']}",
            )
            for it in rows
        ],
    )
    print(f"wrote {path} and {picture}")


def _comparable(cell: Cell) -> bool:
    """Tell whether a cell is scored on the rows of the first one."""
    return all(pair.task == STANDARD.task for pair in cell.pairs)


if __name__ == "__main__":
    main()
