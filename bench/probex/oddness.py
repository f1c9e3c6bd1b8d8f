"""Neighbours by what models know, and models that are odd.

    python -m bench.probex.oddness FOLDER --work WORK [--control FOLDER]

Adapters of classes that nobody trained on: is the nearest other one of the same class, and does a
one-class score from a class's other adapters tell its own from the rest? And for a tree's expert:
are models of the tree that it has not seen told from strangers: those of another tree, those that
know unseen classes too, those of a control? Each in ProbeX's vectors and in the raw centred layer.
"""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from bench import report
from bench.probex.membership import trained
from bench.probex.zero_shot import Population, population
from bench.probex.zoos import ADAPTERS, Tree, picked, sides_of, trees_of
from numpy.typing import NDArray
from torch import Tensor

from weightscape.probing.layer_choice import centred_gram
from weightscape.probing.layer_set import LayerSet
from weightscape.probing.oddness import odd_scores
from weightscape.probing.scores import mean_auc
from weightscape.probing.settings import ProbeTraining
from weightscape.probing.stacks import DenseStack
from weightscape.probing.training import train_expert

NAME = "probex-oddness"
Array = NDArray[np.float32]


def main() -> None:
    """Score neighbours and one-class scores, and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("zoo", type=Path)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--control", type=Path)
    asked = parser.parse_args()
    trees = trees_of(asked.zoo, asked.work)
    control = {} if asked.control is None else trees_of(asked.control, asked.work)
    result: dict[str, Any] = {"adapters": of_adapters(population(trees[ADAPTERS]))}
    report.keep(NAME, result, module="bench.probex.oddness")
    strangers = {"another tree": trees["text-b"]} if "text-b" in trees else {}
    strangers |= {"random initialisations": control["text-a"]} if "text-a" in control else {}
    result["text-a"] = of_tree(trees["text-a"], strangers)
    report.keep(NAME, result, module="bench.probex.oddness")
    print(result)


def of_adapters(there: Population) -> dict[str, Any]:
    """Score adapters of unseen classes in the vectors of an expert of the seen ones."""
    names = [there.layers.names[it] for it in there.places("train", "validation")]
    expert = train_expert(
        picked(there.layers, names),
        there.tree.labels(names),
        dict(zip(there.seen, there.texts, strict=False)),
        encoder=there.encoder,
        validation=[there.tree.models[it].split == "validation" for it in names],
    )
    unseen = there.places("unseen")
    classes = there.members(there.unseen)[unseen].argmax(1).numpy()
    gram = there.tree.gram(there.layers.layer)
    spaces = {
        "ProbeX": _to_unit(expert.embed(there.layers.stack)[unseen]),
        "raw layer": _to_unit(_coordinates(gram)[unseen]),
    }
    return {
        "models": len(unseen),
        "classes": len(there.unseen),
        "chance": float(
            np.mean([(classes == it).sum() - 1 for it in classes]) / (len(classes) - 1)
        ),
        "ways": {
            space: {"nearest": nearest(vectors, classes), "one_class": one_class(vectors, classes)}
            for space, vectors in spaces.items()
        },
    }


def nearest(vectors: Array, classes: NDArray[np.int64]) -> float:
    """Tell how often a model's nearest other one knows the same class."""
    apart = np.linalg.norm(vectors[:, None] - vectors[None], axis=2)
    np.fill_diagonal(apart, np.inf)
    return float((classes[apart.argmin(1)] == classes).mean())


def one_class(vectors: Array, classes: NDArray[np.int64]) -> float:
    """Average the area under ROC of "as a class's other models are", each left out in turn."""
    areas = []
    for wanted in np.unique(classes):
        own = np.flatnonzero(classes == wanted)
        others = vectors[classes != wanted]
        for left in own:
            known = vectors[own[own != left]]
            if len(known) < 3:
                continue
            scores = odd_scores(known, np.concatenate([vectors[left : left + 1], others])).scores
            areas.append(float((scores[1:] > scores[0]).mean()))
    return float(np.mean(areas))


def of_tree(tree: Tree, strangers: Mapping[str, Tree]) -> dict[str, Any]:
    """Tell new models of a tree from those that are no usual ones."""
    there = population(tree)
    sides = sides_of([tree])
    layers = picked(there.layers, sides.names)
    expert, _ = trained(layers, sides, ProbeTraining())
    odd = {"they know unseen classes too": picked(there.layers, tree.named("unseen"))}
    for what, other in strangers.items():
        odd[what] = picked(other.read(layers.layer), other.named("test"))
    found: dict[str, Any] = {}
    for what, them in odd.items():
        whole = LayerSet(layers.layer, (), _joined(layers, them), {})
        vectors = {
            "ProbeX": expert.embed(whole.stack),
            "raw layer": _coordinates(centred_gram(whole.stack, sides.train)),
        }
        new = torch.arange(len(layers), len(whole.stack))
        # of training models the vectors that are kept of them: by regressions without them
        rows = {name: row for row, name in enumerate(expert.known.names)}
        kept = [rows[sides.names[it]] for it in sides.train]
        vectors["ProbeX"][sides.train] = expert.known.vectors[kept]
        found[what] = {
            f"{space}, {how}": told_apart(mine, sides.train, sides.test, new, how)
            for space, mine in vectors.items()
            for how in ("neighbours", "mahalanobis")
        }
    return {"layer": layers.layer, "models": len(sides.test), "odd": found}


def told_apart(vectors: Array, known: Tensor, usual: Tensor, odd: Tensor, how: Any) -> float:
    """Give the area under ROC of odd models among usual ones, by scores against the known."""
    asked = torch.cat([usual, odd])
    scores = odd_scores(vectors[known], vectors[asked], yardstick=vectors[usual], method=how).scores
    members = torch.cat([torch.zeros(len(usual)), torch.ones(len(odd))])
    return mean_auc(torch.from_numpy(scores)[:, None], members[:, None])


def _joined(one: LayerSet, other: LayerSet) -> DenseStack:
    stacks = [it.stack.matrices for it in (one, other) if isinstance(it.stack, DenseStack)]
    return DenseStack(torch.cat(stacks))


def _coordinates(gram: Tensor) -> Array:
    """Give vectors that have these inner products."""
    values, vectors = torch.linalg.eigh(gram)
    found: Array = (vectors * values.clamp_min(0.0).sqrt()).float().numpy()
    return found


def _to_unit(vectors: Array) -> Array:
    found: Array = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return found


if __name__ == "__main__":
    main()
