"""Models of few rows and of many: do they cluster by their data set, or by how many they saw?

    python -m bench.regions.sizes --work FOLDER [--workers 2]

Makes the models; `python -m bench.regions.clustering --sizes` scores them.
"""

import argparse
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

from bench.connectivity.measure import run_all
from bench.regions.agreement import agreement
from bench.regions.grams import tree_gram
from bench.regions.models import BASE, TOKENS, base_folder, recipe_of, task_named

from weightscape.regions.chart import chart_regions
from weightscape.tasks.fine_tune import fine_tune
from weightscape.tasks.precision import multiplies_bfloat16

TASKS = ("trec6", "rt_polarity", "20ng_rec", "vader_tweets")
SIZES = (200, 400, 800, 1600)
SEEDS = 2
STEPS = 60


def main() -> None:
    """Make what is not there."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--workers", type=int, default=1)
    asked = parser.parse_args()
    wanted = [(*it, asked.work) for it in product(TASKS, SIZES, range(SEEDS))]
    run_all(make, wanted, asked.workers, "model")


def make(task: str, size: int, seed: int, work: Path) -> Path:
    """Make a model of a task's first rows, unless it is there."""
    name = f"{task}-of-{size}-{seed}"
    out = work / "sizes" / name
    if not out.is_dir():
        whole = task_named(task, TOKENS)
        few = {**whole.splits, "train": whole.splits["train"][:size]}
        how = replace(recipe_of(name), steps=STEPS, autocast=multiplies_bfloat16())
        fine_tune(base_folder(), replace(whole, splits=few), out, how, parent=BASE, score_rows=256)
    return out


def by_size(work: Path) -> list[dict[str, Any]]:
    """Score the clusters of these models against data sets, and against numbers of rows."""
    folders = {it.name: it for it in sorted((work / "sizes").iterdir()) if "-of-" in it.name}
    tree = tree_gram({"base": base_folder(), **folders}, "base")
    told = {name: name.rsplit("-of-", 1) for name in folders}
    groups = {
        "data set": {name: task for name, (task, _) in told.items()},
        "number of rows": {name: rest.split("-")[0] for name, (_, rest) in told.items()},
    }
    rows = []
    for what, group in groups.items():
        found = chart_regions(tree, base="base", regions=len(set(group.values())))
        labels = {name: it.label for it in found.regions for name in it.members}
        clusters = [labels.get(name, f"alone {name}") for name in folders]
        truth = [group[name] for name in folders]
        rows.append({"what": what, "models": len(folders), **agreement(truth, clusters)})
    return rows


if __name__ == "__main__":
    main()
