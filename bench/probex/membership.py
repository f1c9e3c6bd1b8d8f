"""Which classes was a model trained on? Combinations never seen, within each tree.

    python -m bench.probex.membership FOLDER --work WORK [--control FOLDER] [--descent] [--go-on]

FOLDER: made by `weightscape zoo probes FOLDER`; --control: by the same with --random-init.
Accuracy is the mean over models and classes at a threshold of one half, as in the paper. Layers,
penalties and the moment to stop are chosen by the validation models; the test models are scored
once. ProbeX takes the layer that a ridge regression ranks first, every other way its own best.
"""

import argparse
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from bench import report
from bench.probex import baselines
from bench.probex.baselines import Found
from bench.probex.zoos import TREES, Sides, Tree, picked, sides_of, trees_of
from torch import Tensor

from weightscape.probing.expert import Expert
from weightscape.probing.layer_set import LayerSet
from weightscape.probing.scores import accuracy, mean_auc
from weightscape.probing.settings import ProbeTraining
from weightscape.probing.stacks import DenseStack
from weightscape.probing.training import train_expert

NAME = "probex-membership"
PROBEX = "ProbeX"
VARIANTS: Mapping[str, ProbeTraining] = {
    PROBEX: ProbeTraining(),
    "ProbeX without ReLU": ProbeTraining(relu=False),
    "ProbeX without centring": ProbeTraining(centre=False),
}
DESCENT = "ProbeX by descent"
JOINT = "ProbeX, one for both text trees"
SEEDS = (0, 1, 2)
_DRAWS = 2000


def main() -> None:
    """Score every way on every tree, and write the JSON after each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("zoo", type=Path)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--control", type=Path)
    parser.add_argument("--trees", nargs="+", default=TREES)
    parser.add_argument("--descent", action="store_true", help="also the paper's way to train")
    parser.add_argument("--go-on", action="store_true", help="keep what the JSON has")
    asked = parser.parse_args()
    result: dict[str, Any] = {"trees": {}, "control": {}}
    if asked.go_on:
        before = json.loads((report.RESULTS / f"{NAME}.json").read_text())
        result = {what: before[what] for what in result}
    trees = {n: it for n, it in trees_of(asked.zoo, asked.work).items() if n in asked.trees}
    for name, tree in trees.items():
        if name not in result["trees"]:
            result["trees"][name] = in_tree(tree)
            kept(result)
    texts = [it for name, it in trees.items() if name.startswith("text")]
    if len(texts) > 1 and JOINT not in result["trees"][texts[0].name]["ways"]:
        jointly(texts, result["trees"])
        kept(result)
    if asked.control is not None:
        for name, tree in trees_of(asked.control, asked.work).items():
            if name in asked.trees and name not in result["control"]:
                result["control"][name] = in_tree(tree, variants=(PROBEX,))
                kept(result)
    if asked.descent:
        for name, tree in trees.items():
            by_descent(tree, result["trees"][name]["ways"])
            kept(result)
    for what in ("trees", "control"):
        for name, it in result[what].items():
            rows = [
                [way, row["layer"], f"{row['accuracy']:.3f}"] for way, row in it["ways"].items()
            ]
            print(f"\n{what} {name}")
            report.show(["way", "layer", "accuracy"], rows)


def in_tree(tree: Tree, *, variants: Sequence[str] = tuple(VARIANTS)) -> dict[str, Any]:
    """Score every way on one tree."""
    sides = sides_of([tree])
    ways = {"most training models": told("", baselines.majority(sides), sides)}
    ways |= plain_ways(tree, sides)
    layer, ranked = layer_of(tree)
    layers = picked(tree.read(layer), sides.names)
    for name in variants:
        ways[name] = by_probes(layers, sides, VARIANTS[name])
    best = ways[PROBEX]
    for way in ways.values():
        way["probex_over"] = difference(best["right"], way["right"])
    return {
        "models": {it: len(getattr(sides, it)) for it in ("train", "valid", "test")},
        "classes": len(sides.classes),
        "layers": ranked,
        "ways": ways,
    }


def plain_ways(tree: Tree, sides: Sides) -> dict[str, dict[str, Any]]:
    """Score the baselines, each on the layer where it validates best."""
    best: dict[str, tuple[str, Found]] = {}
    for layer in tree.layers():
        for way, found in on_layer(tree, layer, sides).items():
            if way not in best or found.valid > best[way][1].valid:
                best[way] = layer, found
    return {way: told(layer, found, sides) for way, (layer, found) in best.items()}


def on_layer(tree: Tree, layer: str, sides: Sides) -> dict[str, Found]:
    """Fit every baseline on one layer."""
    stack = picked(tree.read(layer), sides.names).stack
    assert isinstance(stack, DenseStack)
    gram = tree.gram_of(layer, sides.names)
    sized = baselines.recentred(baselines.unit(gram), sides.train)
    return {
        "linear, ridge": baselines.ridge(gram, sides),
        "linear, logistic": baselines.logistic(gram, sides),
        "linear, ridge, layers of one size": baselines.ridge(sized, sides),
        "linear, logistic, layers of one size": baselines.logistic(sized, sides),
        "nearest models by cosine": baselines.neighbours(gram, sides),
        "statistics of the layer": baselines.statistics(stack, sides),
    }


def layer_of(tree: Tree) -> tuple[str, dict[str, float]]:
    """Choose ProbeX's layer as `choose_layer` ranks them: by a ridge regression, in validation."""
    sides = sides_of([tree])
    ranked = {}
    for layer in tree.layers():
        found = baselines.ridge(tree.gram_of(layer, sides.names), sides)
        ranked[layer] = mean_auc(found.scores[sides.valid], sides.members[sides.valid])
    return max(ranked, key=lambda it: ranked[it]), ranked


def trained(layers: LayerSet, sides: Sides, how: ProbeTraining) -> tuple[Expert, float]:
    """Train an expert of classes and tell the processor seconds that it took."""
    places = torch.cat([sides.train, sides.valid])
    names = [sides.names[it] for it in places]
    labels = [_labels(sides, int(it)) for it in places]
    held_out = [False] * len(sides.train) + [True] * len(sides.valid)
    start = time.process_time()
    expert = train_expert(picked(layers, names), labels, validation=held_out, how=how)
    return expert, time.process_time() - start


def by_probes(layers: LayerSet, sides: Sides, how: ProbeTraining) -> dict[str, Any]:
    """Train ProbeX and score it."""
    expert, seconds = trained(layers, sides, how)
    order = [expert.labels.index(it) for it in sides.classes]
    scores = torch.from_numpy(expert.label_scores(layers.stack)[:, order])
    valid = accuracy(scores[sides.valid], sides.members[sides.valid])
    setting = f"best at {expert.metrics['best_epoch']:.0f}"
    row = told(layers.layer, Found(setting, valid, scores), sides)
    return row | {"seconds": seconds, "parameters": expert.parameters}


def jointly(trees: Sequence[Tree], rows: Mapping[str, dict[str, Any]]) -> None:
    """Train one expert for trees of one shape, and score it on each; on the first one's layer."""
    layer = rows[trees[0].name]["ways"][PROBEX]["layer"]
    sets = [picked(it.read(layer), sides_of([it]).names) for it in trees]
    stacks = [it.stack.matrices for it in sets if isinstance(it.stack, DenseStack)]
    sides = sides_of(trees)
    whole = LayerSet(layer, sides.names, DenseStack(torch.cat(stacks)), {})
    expert, seconds = trained(whole, sides, ProbeTraining())
    for tree, layers in zip(trees, sets, strict=True):
        mine = sides_of([tree])
        order = [expert.labels.index(it) for it in mine.classes]
        scores = torch.from_numpy(expert.label_scores(layers.stack)[:, order])
        valid = accuracy(scores[mine.valid], mine.members[mine.valid])
        row = told(layer, Found("", valid, scores), mine) | {"seconds": seconds}
        own = rows[tree.name]["ways"]
        own[JOINT] = row | {"probex_over": difference(own[PROBEX]["right"], row["right"])}


def by_descent(tree: Tree, ways: dict[str, dict[str, Any]]) -> None:
    """Train ProbeX as the paper does, from several draws, on the layer that ours reads."""
    sides = sides_of([tree])
    layers = picked(tree.read(ways[PROBEX]["layer"]), sides.names)
    runs = [by_probes(layers, sides, ProbeTraining(way="descent", seed=seed)) for seed in SEEDS]
    right = np.mean([it["right"] for it in runs], 0).tolist()
    ways[DESCENT] = runs[0] | {
        "runs": [it["accuracy"] for it in runs],
        "accuracy": float(np.mean([it["accuracy"] for it in runs])),
        "right": right,
        "interval": interval(torch.tensor(right)),
        "probex_over": difference(ways[PROBEX]["right"], right),
    }


def told(layer: str, found: Found, sides: Sides) -> dict[str, Any]:
    """Score the test models; right: of each its share of right answers."""
    scores, members = found.scores[sides.test], sides.members[sides.test]
    right = ((scores >= 0.5) == (members > 0)).double().mean(1)
    return {
        "layer": layer,
        "setting": found.setting,
        "valid": found.valid,
        "accuracy": float(right.mean()),
        "auc": mean_auc(scores, members),
        "right": [round(float(it), 4) for it in right],
        "interval": interval(right),
    }


def difference(one: Sequence[float], other: Sequence[float]) -> dict[str, Any]:
    """Tell how far one way is above another, model by model."""
    apart = torch.tensor(one, dtype=torch.float64) - torch.tensor(other, dtype=torch.float64)
    return {"value": float(apart.mean()), "interval": interval(apart)}


def interval(values: Tensor) -> list[float]:
    """Give the 95 % interval of a mean over test models, drawn again with the bootstrap."""
    draw = np.random.default_rng(0).integers(0, len(values), (_DRAWS, len(values)))
    means = values.double()[torch.from_numpy(draw)].mean(1)
    return [float(it) for it in np.quantile(means.numpy(), [0.025, 0.975])]


def kept(result: dict[str, Any]) -> None:
    """Write what there is so far."""
    report.keep(NAME, result, module="bench.probex.membership")


def _labels(sides: Sides, place: int) -> frozenset[str]:
    own = sides.members[place] > 0
    return frozenset(it for it, has in zip(sides.classes, own.tolist(), strict=True) if has)


if __name__ == "__main__":
    main()
