"""A trained ProbeX with all that it takes to read other models with it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from weightscape.errors import BadInput, MismatchedModels
from weightscape.probing.layers import LayerShape
from weightscape.probing.network import Network, parameter_count
from weightscape.probing.normalising import Normalising, normalise
from weightscape.probing.origin import Origin
from weightscape.probing.scores import Calibration
from weightscape.probing.settings import ProbeTraining
from weightscape.probing.stacks import DenseStack, ProductStack, Stack

Floats = NDArray[np.float32]
Layers = Stack | Sequence[Stack]
"""What an expert reads of N models: one layer, or a stack for each of its layers."""


@dataclass(frozen=True, slots=True)
class KnownModels:
    """The models that an expert was trained with.

    held_out: which of them only told when to stop. vectors: [N, width]; of those held out as
    `Expert.embed` gives them, of the others by a regression without them (see `Expert.in_sample`).
    distances: of the read layer from the centre of the tree.
    """

    names: tuple[str, ...]
    held_out: NDArray[np.bool_]
    vectors: Floats
    distances: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Expert:
    """One tree's ProbeX.

    layers: that it reads, with their normalisings. low_rank: whether these are LoRA deltas.
    labels: of its head of classes; may be empty. encoder: identity of the encoder whose vectors
    its head of texts takes; None without one. metrics: on the validation models. origin: what the
    models were before they learned; None where the base is not known.
    """

    tree: str
    layers: tuple[str, ...]
    low_rank: bool
    normalisings: tuple[Normalising, ...]
    network: Network
    labels: tuple[str, ...]
    encoder: str | None
    label_calibration: Calibration
    text_calibration: Calibration
    known: KnownModels
    metrics: Mapping[str, float]
    how: ProbeTraining
    made_with: str
    origin: Origin | None = None

    @property
    def layer(self) -> str:
        """Name the layer that is read, the first of several."""
        return self.layers[0]

    @property
    def in_sample(self) -> bool:
        """Tell whether the training models' vectors are by what was learned from them.

        They then say what these models were told to know, and are no witness of it.
        """
        return self.how.way == "descent"

    @property
    def shapes(self) -> tuple[LayerShape, ...]:
        """Tell the sizes of the layers that are read."""
        means = (it.mean for it in self.normalisings)
        return tuple(LayerShape(it.shape[0], it.shape[1], self.low_rank) for it in means)

    @property
    def width(self) -> int:
        """Tell the length of a model's vector."""
        return self.how.width

    @property
    def parameters(self) -> int:
        """Count what was learned, as parameters of the whole layer's ProbeX."""
        sides = [(it.mean.shape[0], it.mean.shape[1]) for it in self.normalisings]
        return parameter_count(self.network, sides)

    @torch.no_grad()
    def embed(self, layers: Layers) -> Floats:
        """Give the vectors [N, width] of N models by their layers.

        Raises MismatchedModels for layers of another shape or kind.
        """
        stacks = self._stacks(layers)
        self.network.eval()
        vectors, done = [], 0
        # as many models at once as the largest of the layers allows
        largest = max(stacks, key=lambda it: it.shape.out * it.shape.inputs)
        for block in largest.blocks():
            places = torch.arange(done, done + len(block))
            done += len(block)
            read = [
                normalise(it.take(places), how)
                for it, how in zip(stacks, self.normalisings, strict=True)
            ]
            vectors.append(self.network(read))
        found: Floats = torch.cat(vectors).numpy()
        return found

    def label_scores(self, layers: Layers) -> Floats:
        """Give the probabilities [N, labels] that models know the classes of the head."""
        return self.label_scores_of(self.embed(layers))

    @torch.no_grad()
    def label_scores_of(self, vectors: Floats) -> Floats:
        """Give the probabilities [M, labels] for vectors [M, width] of `embed`."""
        if self.network.labels is None:
            raise BadInput(f"the expert of {self.tree!r} has no classes; ask it with texts")
        logits = self.network.labels(self._checked(vectors))
        found: Floats = self.label_calibration.apply(logits).numpy()
        return found

    def text_scores(self, layers: Layers, text_vectors: Floats | Tensor) -> Floats:
        """Give the probabilities [N, T] that models know what T texts name."""
        return self.text_scores_of(self.embed(layers), text_vectors)

    @torch.no_grad()
    def text_scores_of(self, vectors: Floats, text_vectors: Floats | Tensor) -> Floats:
        """Give the probabilities [M, T] for vectors [M, width] and the encoder's [T, size]."""
        head = self.network.texts
        if head is None:
            raise BadInput(f"the expert of {self.tree!r} knows no texts; train it with an encoder")
        texts = _rows(text_vectors)
        if texts.shape[1] != head.weight.shape[1]:
            raise BadInput(
                f"text vectors of length {texts.shape[1]} were given, but the expert of "
                f"{self.tree!r} takes {head.weight.shape[1]}; use its encoder, {self.encoder}"
            )
        logits = head(self._checked(vectors), texts)
        found: Floats = self.text_calibration.apply(logits).numpy()
        return found

    def check_encoder(self, identity: str) -> None:
        """Raise BadInput if texts encoded by `identity` mean nothing to this expert."""
        if self.encoder != identity:
            raise BadInput(
                f"the expert of {self.tree!r} was trained with the encoder {self.encoder}, not "
                f"{identity}; choose that encoder, or train the expert again"
            )

    def _stacks(self, layers: Layers) -> Sequence[Stack]:
        stacks = [layers] if isinstance(layers, DenseStack | ProductStack) else list(layers)
        if len(stacks) != len(self.layers):
            raise MismatchedModels(
                f"{len(stacks)} layers were given, but the expert reads {len(self.layers)}: "
                + ", ".join(self.layers)
            )
        for stack in stacks:
            if stack.shape.low_rank != self.low_rank:
                raise MismatchedModels(
                    f"the expert of {self.tree!r} reads "
                    + ("deltas of LoRA adapters" if self.low_rank else "whole weights")
                )
        return stacks

    def _checked(self, vectors: Floats) -> Tensor:
        found = _rows(vectors)
        if found.shape[1] != self.width:
            raise BadInput(
                f"vectors of length {found.shape[1]} were given, but those of the expert of "
                f"{self.tree!r} have {self.width}: they are of another expert"
            )
        return found


def _rows(vectors: Floats | Tensor) -> Tensor:
    """Lay out one vector or several as [M, size]."""
    found = torch.as_tensor(vectors, dtype=torch.float32)
    return found[None] if found.ndim == 1 else found
