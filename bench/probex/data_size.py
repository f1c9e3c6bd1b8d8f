"""How many models does it take? Membership by the number of training models.

    python -m bench.probex.data_size FOLDER --work WORK [--trees NAME ...]

The same layer, validation and test models for every size; smaller training sets are drawn three
times. Beside ProbeX the linear expert that reads the same layers of one size.
"""

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from bench import report
from bench.probex import baselines
from bench.probex.membership import by_probes, layer_of, told
from bench.probex.zoos import Sides, Tree, picked, sides_of, trees_of

from weightscape.probing.settings import ProbeTraining

NAME = "probex-data-size"
SIZES = (25, 50, 100, 200)
DRAWS = 3


def main() -> None:
    """Score every size, and write the JSON after each tree."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("zoo", type=Path)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--trees", nargs="+", default=("text-a", "text-b"))
    asked = parser.parse_args()
    result: dict[str, Any] = {}
    trees = trees_of(asked.zoo, asked.work)
    for name in asked.trees:
        result[name] = by_size(trees[name])
        report.keep(NAME, result, module="bench.probex.data_size")
        for row in result[name]["rows"]:
            print(name, row)


def by_size(tree: Tree) -> dict[str, Any]:
    """Score ProbeX and the linear expert by the number of training models."""
    whole = sides_of([tree])
    layer = layer_of(tree)[0]
    layers = picked(tree.read(layer), whole.names)
    whole_gram = tree.gram_of(layer, whole.names)
    rows = []
    for size in [it for it in SIZES if it < len(whole.train)] + [len(whole.train)]:
        runs = DRAWS if size < len(whole.train) else 1
        probes, plain = [], []
        for seed in range(runs):
            sides = fewer(whole, size, seed)
            gram = baselines.recentred(whole_gram, sides.train)
            sized = baselines.recentred(baselines.unit(gram), sides.train)
            plain.append(told(layer, baselines.ridge(sized, sides), sides)["accuracy"])
            probes.append(by_probes(layers, sides, ProbeTraining())["accuracy"])
        rows.append({"models": size, "ProbeX": probes, "linear": plain})
    return {"layer": layer, "test": len(whole.test), "rows": rows}


def fewer(sides: Sides, size: int, seed: int) -> Sides:
    """Draw some of the training models."""
    drawn = np.random.default_rng([seed, size]).permutation(len(sides.train))[:size]
    return replace(sides, train=sides.train[torch.from_numpy(np.sort(drawn))])


if __name__ == "__main__":
    main()
