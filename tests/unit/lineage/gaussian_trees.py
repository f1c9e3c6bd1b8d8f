"""Trees whose truth is known by construction: random weights, random updates, brute-force Grams."""

from collections.abc import Callable
from hashlib import sha256
from zlib import crc32

import numpy as np
import torch

from weightscape.catalog.records import Edge, EdgeKind
from weightscape.geometry.products import Moments, TreeGram

SHAPES = {
    **{f"layer.{k}.weight": (64, 96) for k in range(8)},
    "embed.weight": (150, 64),
    **{f"layer.{k}.bias": (96,) for k in range(8)},
}
Tensors = dict[str, np.ndarray]


class Gaussian:
    """A population that is grown model by model; `truth` gathers the edges."""

    def __init__(self, seed: int, *, likeness: float = 0.3, decay: float = 0.0) -> None:
        self.rng = np.random.default_rng(seed)
        self.likeness, self.decay = likeness, decay
        self.models: dict[str, Tensors] = {}
        self.truth: list[Edge] = []
        self.tasks: dict[int, Tensors] = {}

    def root(self, name: str = "base") -> str:
        self.models[name] = _stored(
            {n: 0.05 * self.rng.normal(size=shape) for n, shape in SHAPES.items()}
        )
        return name

    def train(
        self,
        parent: str,
        child: str,
        *,
        task: int | None = None,
        size: float = 0.03,
        only: Callable[[str], bool] = lambda name: True,
    ) -> str:
        """Add a random update of relative size `size`; updates of one task have cosine likeness."""
        if task is not None and task not in self.tasks:
            self.tasks[task] = {n: self.rng.normal(size=shape) for n, shape in SHAPES.items()}
        tensors = {}
        for name, old in self.models[parent].items():
            update = self.rng.normal(size=old.shape)
            if task is not None:
                update *= np.sqrt(1.0 - self.likeness)
                update += np.sqrt(self.likeness) * self.tasks[task][name]
            # layers move by unequal amounts, as they do in training
            scale = 0.05 * size * (0.6 + crc32(name.encode()) % 100 / 100)
            tensors[name] = (1.0 - self.decay) * old + scale * update if only(name) else old
        return self.add(child, tensors, "full" if all(map(only, SHAPES)) else "frozen-part", parent)

    def low_rank(self, parent: str, child: str, rank: int = 4) -> str:
        tensors = dict(self.models[parent])
        for name in [name for name in SHAPES if name.startswith("layer") and "weight" in name]:
            left = self.rng.normal(size=(SHAPES[name][0], rank))
            tensors[name] = tensors[name] + 5e-4 * left @ self.rng.normal(
                size=(rank, SHAPES[name][1])
            )
        return self.add(child, tensors, "lora", parent)

    def copy(self, parent: str, child: str) -> str:
        return self.add(child, self.models[parent], "copy", parent)

    def cast(self, parent: str, child: str) -> str:
        rounded = {n: bf16(x) for n, x in self.models[parent].items()}
        return self.add(child, rounded, "cast", parent)

    def prune(self, parent: str, child: str, share: float = 0.3) -> str:
        def cut(x: np.ndarray) -> np.ndarray:
            return np.where(np.abs(x) < np.quantile(np.abs(x), share), 0.0, x)

        pruned = {n: cut(x) if x.ndim > 1 else x for n, x in self.models[parent].items()}
        return self.add(child, pruned, "pruned", parent)

    def quantise(self, parent: str, child: str, bits: int = 8) -> str:
        def levels(x: np.ndarray) -> np.ndarray:
            step = np.abs(x).max(axis=-1, keepdims=True) / (2 ** (bits - 1) - 1)
            return np.round(x / step) * step

        rounded = {n: levels(x) if x.ndim > 1 else x for n, x in self.models[parent].items()}
        return self.add(child, rounded, "quantised", parent)

    def merge(self, weights: dict[str, float], child: str) -> str:
        mixed = {n: sum(w * self.models[m][n] for m, w in weights.items()) for n in SHAPES}
        return self.add(child, mixed, "merge", *weights)

    def add(self, name: str, tensors: Tensors, kind: EdgeKind, *parents: str) -> str:
        self.models[name] = _stored(tensors)
        self.truth += [Edge(parent, name, kind, 1.0) for parent in parents]
        return name

    def gram(self, names: list[str] | None = None, reference: str | None = None) -> TreeGram:
        return gram_of({n: self.models[n] for n in names or self.models}, reference)

    def shuffled(self, seed: int = 0, without: tuple[str, ...] = ()) -> TreeGram:
        names = [name for name in self.models if name not in without]
        np.random.default_rng(seed).shuffle(names)
        return self.gram(names)


def gram_of(models: dict[str, Tensors], reference: str | None = None) -> TreeGram:
    """Work out in float64 what the streaming pass would give."""
    names = tuple(models)
    reference = reference or names[0]
    tensors = tuple(models[names[0]])
    flat = {t: np.stack([models[n][t].ravel() for n in names]) for t in tensors}
    deltas = {t: flat[t] - models[reference][t].ravel() for t in tensors}
    zeros = np.zeros((len(tensors), len(names)))
    moments = Moments(
        norm=np.stack([np.linalg.norm(flat[t], axis=1) for t in tensors]),
        kurtosis=zeros,
        peak=np.stack([np.abs(flat[t]).max(axis=1) for t in tensors]),
        unchanged=zeros,
        nonfinite=zeros.astype(np.int64),
        hashes=tuple(tuple(sha256(row.tobytes()).hexdigest() for row in flat[t]) for t in tensors),
    )
    gram = np.stack([deltas[t] @ deltas[t].T for t in tensors])
    shapes = tuple(models[names[0]][t].shape for t in tensors)
    return TreeGram(names, tensors, shapes, gram, moments, reference)


def bf16(x: np.ndarray) -> np.ndarray:
    return torch.from_numpy(x).to(torch.bfloat16).to(torch.float64).numpy()


def _stored(tensors: Tensors) -> Tensors:
    return {name: x.astype(np.float32).astype(np.float64) for name, x in tensors.items()}
