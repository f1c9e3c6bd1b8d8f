"""Texts instead of classes: which class, and which model, also of classes that nobody trained on.

    python -m bench.probex.zero_shot FOLDER --work WORK [--trees NAME ...]

Adapters know one class each: those of the split "test" classes that other adapters in training
know, those of "unseen" classes that no training model knows, of which only the words are given.
The models of "text-a" know dozens of classes each. ProbeX is trained with its defaults, which no
unseen class has seen, and with the text vectors taken around the mean of the seen classes' ones;
the penalties of the linear expert, which takes them so, are chosen by seen classes that are left
out in turn.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from bench import report
from bench.probex.baselines import recentred, unit
from bench.probex.membership import layer_of
from bench.probex.zoos import ADAPTERS, Tree, picked, trees_of
from torch import Tensor

from weightscape.probing.encoders import open_encoder
from weightscape.probing.layer_set import LayerSet
from weightscape.probing.prompts import text_vectors
from weightscape.probing.scores import mean_auc
from weightscape.probing.settings import ProbeTraining
from weightscape.probing.training import train_expert

NAME = "probex-zero-shot"
PENALTIES = (0.01, 0.1, 1.0)
FOLDS = 4
_DRAWS = 1000


@dataclass(frozen=True, slots=True)
class Population:
    """A tree's models with texts.

    seen, unseen: classes; texts: [classes, size] of both, in this order.
    """

    tree: Tree
    layers: LayerSet
    seen: tuple[str, ...]
    unseen: tuple[str, ...]
    texts: Tensor
    encoder: str

    def places(self, *splits: str) -> Tensor:
        """Tell where the models of some splits are in `layers`."""
        there = [place for place, name in enumerate(self.layers.names)
                 if self.tree.models[name].split in splits]  # fmt: skip
        return torch.tensor(there, dtype=torch.long)

    def members(self, classes: Sequence[str]) -> Tensor:
        """Tell which of the classes models know, [N, classes]."""
        labels = self.tree.labels(self.layers.names)
        return torch.tensor([[float(it in own) for it in classes] for own in labels])


def main() -> None:
    """Score every way on every tree, and write the JSON after each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("zoo", type=Path)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--trees", nargs="+", default=(ADAPTERS, "text-a"))
    asked = parser.parse_args()
    result: dict[str, Any] = {}
    trees = trees_of(asked.zoo, asked.work)
    for name in asked.trees:
        there = population(trees[name])
        result[name] = {
            "layer": there.layers.layer,
            "encoder": there.encoder.split()[0],
            "classes": {"seen": len(there.seen), "unseen": len(there.unseen)},
            "ways": in_population(there),
        }
        report.keep(NAME, result, module="bench.probex.zero_shot")
        for way, found in result[name]["ways"].items():
            for side in found:
                print(name, way, side, {k: v for k, v in found[side].items() if k != "chance"})


def population(tree: Tree) -> Population:
    """Read the layer of a tree's models and encode their classes' words."""
    layer = tree.layers()[0] if tree.name == ADAPTERS else layer_of(tree)[0]
    encoder = open_encoder(cache=tree.work / "texts")
    training = frozenset().union(*tree.labels(tree.named("train", "validation")))
    seen, unseen = sorted(training - tree.unseen), sorted(tree.unseen)
    classes = [*seen, *unseen]
    vectors = text_vectors(encoder, classes, words=tree.words)
    texts = torch.from_numpy(np.stack([vectors[it] for it in classes]))
    layers = picked(tree.read(layer), list(tree.models))
    return Population(tree, layers, tuple(seen), tuple(unseen), texts, encoder.identity)


def in_population(there: Population) -> dict[str, dict[str, Any]]:
    """Score ProbeX with and without ReLU, and the linear expert."""
    ways = {
        "ProbeX": by_probes(there, ProbeTraining()),
        "ProbeX, texts around their mean": by_probes(around_their_mean(there), ProbeTraining()),
        "linear, ridge to texts": linear(there),
    }
    if there.tree.name == ADAPTERS:
        ways["ProbeX without ReLU"] = by_probes(there, ProbeTraining(relu=False))
        ways["ProbeX by descent"] = by_probes(there, ProbeTraining(way="descent"))
    return {way: sides(there, scores) for way, scores in ways.items()}


def around_their_mean(there: Population) -> Population:
    """Take off what the texts of all seen classes have in common."""
    apart = there.texts - there.texts[: len(there.seen)].mean(0)
    return replace(there, texts=torch.nn.functional.normalize(apart, dim=1))


def sides(there: Population, scores: Tensor) -> dict[str, Any]:
    """Measure scores [N, classes] on models of seen classes and of unseen ones."""
    classes = (*there.seen, *there.unseen)
    members = there.members(classes)
    split = len(there.seen)
    test, unseen = there.places("test"), there.places("unseen")
    return {
        "seen": measured(scores[test][:, :split], members[test][:, :split]),
        "unseen": measured(scores[unseen][:, split:], members[unseen][:, split:]),
        "unseen among all": measured(scores[unseen], members[unseen]),
    }


def by_probes(there: Population, how: ProbeTraining) -> Tensor:
    """Train an expert with texts; score all models with all classes' texts."""
    mine = there.places("train", "validation")
    names = [there.layers.names[it] for it in mine]
    vectors = dict(zip(there.seen, there.texts, strict=False))
    expert = train_expert(
        picked(there.layers, names),
        there.tree.labels(names),
        vectors,
        encoder=there.encoder,
        validation=[there.tree.models[it].split == "validation" for it in names],
        how=how,
    )
    return torch.from_numpy(expert.text_scores(there.layers.stack, there.texts))


def linear(there: Population) -> Tensor:
    """Regress what classes' texts say on the layers, and score by cosine with each text.

    Both penalties (on the layer's weights, on the texts') are the best for seen classes that were
    left out, judged on validation models.
    """
    train, valid = there.places("train"), there.places("validation")
    gram = recentred(unit(there.tree.gram(there.layers.layer)), train).float()
    members = there.members(there.seen)
    texts = there.texts[: len(there.seen)]
    fold = torch.from_numpy(np.random.default_rng(0).permutation(len(there.seen)) % FOLDS)
    best = (-1.0, PENALTIES[0], PENALTIES[0])
    for penalty in PENALTIES:
        for ridge in PENALTIES:
            areas = []
            for number in range(FOLDS):
                learned, held = torch.nonzero(fold != number)[:, 0], torch.nonzero(fold == number)
                rows = train[members[train][:, learned].sum(1) > 0]
                scores = _to_texts(
                    gram, rows, members[:, learned], texts[learned], penalty, ridge, there.texts
                )
                place = held[:, 0]
                areas.append(mean_auc(scores[valid][:, place], members[valid][:, place]))
            best = max(best, (float(np.nanmean(areas)), penalty, ridge))
    return _to_texts(gram, train, members, texts, best[1], best[2], there.texts)


def _to_texts(
    gram: Tensor,
    train: Tensor,
    members: Tensor,
    texts: Tensor,
    penalty: float,
    ridge: float,
    asked: Tensor,
) -> Tensor:
    """Score all models with texts: classes by kernel ridge, texts onto classes by ridge."""
    size = gram[train, train].mean()
    inner = gram[train][:, train] / size + penalty * torch.eye(len(train))
    mean = members[train].mean(0)
    predicted = gram[:, train] / size @ torch.linalg.solve(inner, members[train] - mean)
    middle = texts.mean(0)
    known, others = texts - middle, asked - middle
    between = known @ known.T
    between += ridge * between.diagonal().mean() * torch.eye(len(known))
    told = others @ known.T @ torch.linalg.inv(between)
    return predicted @ torch.nn.functional.normalize(told, dim=1).T


def measured(scores: Tensor, members: Tensor) -> dict[str, Any]:
    """Measure classification (the best text of a model) and retrieval (the best model of a text).

    MRR: mean of 1 / rank of the first right answer. Intervals draw classes again where models know
    one each, else models.
    """
    order = scores.argsort(1, descending=True)
    right = members.gather(1, order)
    models = members.gather(0, scores.argsort(0, descending=True))
    models = models[:, members.sum(0) > 0].T
    first = right[:, 0]
    groups = members.argmax(1) if bool((members.sum(1) == 1).all()) else torch.arange(len(members))
    top_five = min(5, scores.shape[1])
    return {
        "models": len(scores),
        "classes": scores.shape[1],
        "auc": mean_auc(scores, members),
        "top1": float(first.mean()),
        "top1_interval": _interval(first, groups),
        "top5": float((right[:, :top_five].sum(1) > 0).float().mean()),
        "mrr": float(_reciprocal(right).mean()),
        "retrieval_top1": float(models[:, 0].mean()),
        "retrieval_mrr": float(_reciprocal(models).mean()),
        "chance": chance(members),
    }


def chance(members: Tensor) -> dict[str, float]:
    """Measure orders drawn by chance."""
    generator = torch.Generator().manual_seed(0)
    found = []
    for _ in range(200):
        drawn = torch.rand(members.shape, generator=generator)
        right = members.gather(1, drawn.argsort(1))
        models = members.gather(0, drawn.argsort(0))[:, members.sum(0) > 0].T
        found.append(
            [
                float(right[:, 0].mean()),
                float((right[:, :5].sum(1) > 0).float().mean()),
                float(_reciprocal(right).mean()),
                float(models[:, 0].mean()),
                float(_reciprocal(models).mean()),
            ]
        )
    names = ("top1", "top5", "mrr", "retrieval_top1", "retrieval_mrr")
    return dict(zip(names, np.mean(found, 0).tolist(), strict=True))


def _reciprocal(right: Tensor) -> Tensor:
    """Give 1 / rank of the first right answer in each row."""
    return 1.0 / (1.0 + right.argmax(1).float())


def _interval(values: Tensor, groups: Tensor) -> list[float]:
    """Give the 95 % interval of a mean by drawing whole groups again."""
    random = np.random.default_rng(0)
    each = [values[groups == it] for it in groups.unique()]
    sums = np.array([float(it.sum()) for it in each])
    counts = np.array([len(it) for it in each])
    draw = random.integers(0, len(each), (_DRAWS, len(each)))
    means = sums[draw].sum(1) / counts[draw].sum(1)
    return [float(it) for it in np.quantile(means, [0.025, 0.975])]


if __name__ == "__main__":
    main()
