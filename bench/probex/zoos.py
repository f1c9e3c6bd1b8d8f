"""Probes zoos as the benches read them: a tree's models, what they know, one layer of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from weightscape.io import open_checkpoint
from weightscape.probing.layer_choice import centred_gram, changed_layers
from weightscape.probing.layer_set import LayerSet, read_set, select
from weightscape.probing.layers import readable_layers
from weightscape.zoo.truth import ZooModel, read_truth

TREES = ("text-a", "digits", "text-b")
ADAPTERS = "adapters"
LARGEST = 1 << 20
"""Elements of a layer that is a candidate: all trained ones but word embeddings."""
_LOOKED_AT = 4


@dataclass(frozen=True, slots=True)
class Tree:
    """One tree of a zoo, without its root.

    models: by name, those whose files are there. work: a folder in which read layers are kept.
    """

    name: str
    folder: Path
    models: Mapping[str, ZooModel]
    words: Mapping[str, str]
    unseen: frozenset[str]
    work: Path

    def named(self, *splits: str) -> list[str]:
        """Name the models of some splits."""
        return [name for name, it in self.models.items() if it.split in splits]

    def labels(self, names: Sequence[str]) -> list[frozenset[str]]:
        """Tell what models know."""
        return [frozenset(self.models[name].classes) for name in names]

    def layers(self) -> list[str]:
        """Name the layers in which the models differ."""
        models = [open_checkpoint(self.folder / it) for it in list(self.models)[:_LOOKED_AT]]
        return changed_layers(models, readable_layers(models, LARGEST))

    def read(self, layer: str) -> LayerSet:
        """Read one layer of all models."""
        openers = {name: partial(open_checkpoint, self.folder / name) for name in self.models}
        return read_set(openers, layer, kept=self._kept(f"{layer}.safetensors"))

    def gram(self, layer: str) -> Tensor:
        """Give inner products [N, N] around the mean of the training models, in `read`'s order."""
        kept = self._kept(f"{layer}.npz")
        names = list(self.models)
        if kept.is_file() and list((found := np.load(kept))["names"]) == names:
            return torch.from_numpy(found["gram"])
        train = torch.tensor([place for place, name in enumerate(names)
                              if self.models[name].split == "train"])  # fmt: skip
        gram = centred_gram(picked(self.read(layer), names).stack, train)
        np.savez(kept, gram=gram.numpy(), names=np.array(names))
        return gram

    def gram_of(self, layer: str, names: Sequence[str]) -> Tensor:
        """Give the inner products of some models."""
        places = {name: place for place, name in enumerate(self.models)}
        at = torch.tensor([places[name] for name in names])
        return self.gram(layer)[at][:, at]

    def _kept(self, file: str) -> Path:
        kept = self.work / "layers" / self.folder.name / self.name / file
        kept.parent.mkdir(parents=True, exist_ok=True)
        return kept


def trees_of(folder: Path, work: Path) -> dict[str, Tree]:
    """Find the trees of a zoo that were made so far."""
    truth = read_truth(folder)
    found: dict[str, dict[str, ZooModel]] = {}
    for name, it in truth.models.items():
        if it.split is not None and it.tree is not None and (folder / name).is_dir():
            found.setdefault(it.tree, {})[name] = it
    return {
        name: Tree(name, folder, models, truth.classes, frozenset(truth.unseen), work)
        for name, models in found.items()
    }


def picked(layer_set: LayerSet, names: Sequence[str]) -> LayerSet:
    """Pick models that must all be there."""
    found = select(layer_set, names)
    if found.names != tuple(names):
        raise SystemExit(f"{len(names) - len(found)} models have no {layer_set.layer}")
    return found


@dataclass(frozen=True, slots=True)
class Sides:
    """A tree's models in one order: which train, validate and test, and their classes.

    members: [N, classes] of 0 and 1, of the classes that some training models have and some not.
    """

    names: tuple[str, ...]
    classes: tuple[str, ...]
    members: Tensor
    train: Tensor
    valid: Tensor
    test: Tensor


def sides_of(trees: Sequence[Tree]) -> Sides:
    """Lay out the models of one tree, or of several that share their classes."""
    names, labels, splits = [], [], []
    for tree in trees:
        mine = tree.named("train", "validation", "test")
        names += mine
        labels += tree.labels(mine)
        splits += [tree.models[name].split for name in mine]
    training = [own for own, split in zip(labels, splits, strict=True) if split == "train"]
    everywhere = frozenset.intersection(*training)
    classes = sorted(frozenset().union(*training) - everywhere)
    members = torch.tensor([[float(it in own) for it in classes] for own in labels])
    train, valid, test = (
        torch.tensor([place for place, it in enumerate(splits) if it == split])
        for split in ("train", "validation", "test")
    )
    return Sides(tuple(names), tuple(classes), members, train, valid, test)
