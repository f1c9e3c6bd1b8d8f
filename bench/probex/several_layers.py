"""Do several layers of a model tell more than one, and does attention between them?

    python -m bench.probex.several_layers FOLDER --work WORK [--trees NAME ...]

The layers of a tree in the order in which a ridge regression ranks them in validation; ProbeX reads
the first, the first two, and so on. "mean": the same, every layer counting alike for each model.
"""

import argparse
import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from bench import report
from bench.probex.baselines import Found
from bench.probex.membership import difference, layer_of, told
from bench.probex.zoos import Sides, Tree, picked, sides_of, trees_of

from weightscape.probing.expert import Expert
from weightscape.probing.layer_set import LayerSet
from weightscape.probing.settings import ProbeTraining
from weightscape.probing.training import train_expert

NAME = "probex-several-layers"
MOST = 3


def main() -> None:
    """Score one layer, two and three, and write the JSON after each tree."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("zoo", type=Path)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--trees", nargs="+", default=("text-a", "digits"))
    asked = parser.parse_args()
    result: dict[str, Any] = {}
    trees = trees_of(asked.zoo, asked.work)
    for name in asked.trees:
        result[name] = of_tree(trees[name])
        report.keep(NAME, result, module="bench.probex.several_layers")
        for row in result[name]["rows"]:
            print(name, {key: it for key, it in row.items() if key != "right"})


def of_tree(tree: Tree) -> dict[str, Any]:
    """Score ProbeX by the number of layers that it reads."""
    sides = sides_of([tree])
    ranked = layer_of(tree)[1]
    best = sorted(ranked, key=lambda it: -ranked[it])[:MOST]
    sets = [picked(tree.read(layer), sides.names) for layer in best]
    rows: list[dict[str, Any]] = []
    for many in range(1, len(sets) + 1):
        expert = trained(sets[:many], sides)
        ways = {"attention": expert} | ({} if many == 1 else {"mean": without_attention(expert)})
        for way, one in ways.items():
            row = scored(one, sets[:many], sides)
            over = difference(row["right"], rows[0]["right"]) if rows else None
            rows.append({"layers": many, "way": way, "over_one": over} | row)
    return {"layers": best, "models": len(sides.test), "rows": rows}


def trained(sets: list[LayerSet], sides: Sides) -> Expert:
    """Train an expert on several layers."""
    places = torch.cat([sides.train, sides.valid])
    names = [sides.names[it] for it in places]
    labels = [
        frozenset(it for it, has in zip(sides.classes, row, strict=True) if has)
        for row in (sides.members[places] > 0).tolist()
    ]
    held_out = [False] * len(sides.train) + [True] * len(sides.valid)
    chosen = [picked(it, names) for it in sets]
    return train_expert(chosen, labels, validation=held_out, how=ProbeTraining())


def without_attention(expert: Expert) -> Expert:
    """Let every layer count alike."""
    network = copy.deepcopy(expert.network)
    with torch.no_grad():
        network.layers.keys.zero_()
        network.layers.favour.zero_()
    return replace(expert, network=network)


def scored(expert: Expert, sets: list[LayerSet], sides: Sides) -> dict[str, Any]:
    """Score the test models."""
    order = [expert.labels.index(it) for it in sides.classes]
    scores = torch.from_numpy(expert.label_scores([it.stack for it in sets])[:, order])
    valid = expert.metrics["label_auc"]
    row = told(", ".join(expert.layers), Found("", valid, scores), sides)
    return {key: row[key] for key in ("accuracy", "auc", "interval", "right", "valid")}


if __name__ == "__main__":
    main()
