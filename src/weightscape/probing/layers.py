"""The one matrix of a model that is read: which there are, and reading it alone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from weightscape.errors import BadCheckpoint, MismatchedModels
from weightscape.geometry.align import Backbone, backbone, role, strip_wrappers
from weightscape.io.tensors import TensorInfo

SMALLEST_SIDE = 8
"""Matrices with a shorter side (token types, gates) say too little to be worth a probe."""

LARGEST = 1 << 24
"""Elements of a layer that is still worth reading from every model: a matrix of 4,096 x 4,096."""


class Readable(Protocol):
    """What is asked of a model's files: a local `Checkpoint` or one that is read by ranges."""

    @property
    def tensors(self) -> Mapping[str, TensorInfo]:
        """Every stored tensor by name."""
        ...

    @property
    def tied(self) -> Mapping[str, str]:
        """Alias to the tensor whose elements it shares."""
        ...

    def tensor(self, name: str) -> Tensor:
        """Read one tensor."""
        ...


@runtime_checkable
class Factored(Protocol):
    """A model whose tensors are stored as the factors of low-rank deltas: a LoRA adapter."""

    def factors(self, name: str) -> tuple[Tensor, Tensor, float]:
        """Return B [out, r], A [r, in] and the scale of their product."""
        ...


@dataclass(frozen=True, slots=True)
class LayerShape:
    """The size of a layer as it is read: a kernel's in-channels and places are one dimension.

    low_rank: it is the delta of a LoRA, kept as factors.
    """

    out: int
    inputs: int
    low_rank: bool

    def __str__(self) -> str:
        return f"[{self.out}, {self.inputs}]" + (" of a LoRA" if self.low_rank else "")


@dataclass(frozen=True, slots=True)
class Dense:
    """A layer's weights, [out, in] in float32."""

    matrix: Tensor


@dataclass(frozen=True, slots=True)
class Product:
    """The delta ``scale * b @ a`` of a LoRA that is never formed: b [out, r], a [r, in]."""

    b: Tensor
    a: Tensor
    scale: float


Layer = Dense | Product


def layer_shapes(checkpoint: Readable, largest: int = LARGEST) -> dict[str, LayerShape]:
    """Tell a model's matrices that can be read, by their names in the backbone.

    Heads are left out: they hold a model's classes openly or not at all.
    """
    low_rank = isinstance(checkpoint, Factored)
    found = {}
    for name, shape in backbone(checkpoint.tensors, checkpoint.tied).shapes.items():
        if len(shape) < 2:
            continue
        out, inputs = shape[0], prod(shape[1:])
        if min(out, inputs) >= SMALLEST_SIDE and (low_rank or out * inputs <= largest):
            found[name] = LayerShape(out, inputs, low_rank)
    return found


def readable_layers(checkpoints: Sequence[Readable], largest: int = LARGEST) -> list[str]:
    """Name the matrices that all models have in one shape, in the order of the first one.

    Raises MismatchedModels where there is none.
    """
    common: dict[str, LayerShape] = {}
    for number, checkpoint in enumerate(checkpoints):
        shapes = layer_shapes(checkpoint, largest)
        if number == 0:
            common = shapes
        else:
            common = {name: it for name, it in common.items() if shapes.get(name) == it}
    if not common:
        raise MismatchedModels(
            f"the {len(checkpoints)} models have no matrix in common that can be read; "
            "give models of one tree, all whole or all LoRA adapters"
        )
    return list(common)


def layer_shape(checkpoint: Readable, layer: str) -> LayerShape:
    """Tell a layer's size by the headers alone; raise MismatchedModels where there is none."""
    return _shape_of(checkpoint, _stored_name(checkpoint, layer))


def read_layer(checkpoint: Readable, layer: str, *, shape: LayerShape | None = None) -> Layer:
    """Read one layer, and no other byte of the model's tensors.

    layer: its name in the backbone, with or without what wrappers put in front. shape: that it has
    to have, which is looked at before any of it is read; without it, it may be of any shape of at
    most `LARGEST` elements.

    Raises MismatchedModels if the model has no such matrix or one of another size, BadCheckpoint
    if it has NaN or infinite values.
    """
    name = _stored_name(checkpoint, layer)
    _check_shape(layer, _shape_of(checkpoint, name), shape)
    if isinstance(checkpoint, Factored):
        b, a, scale = checkpoint.factors(name)
        return Product(_finite(b.float(), name), _finite(a.flatten(1).float(), name), scale)
    matrix = checkpoint.tensor(name).flatten(1).float()
    return Dense(_finite(matrix, name))


def same_layer(one: Layer, other: Layer) -> bool:
    """Tell whether two layers hold the same numbers."""
    if isinstance(one, Dense) and isinstance(other, Dense):
        return torch.equal(one.matrix, other.matrix)
    if isinstance(one, Product) and isinstance(other, Product):
        return (
            torch.equal(one.b, other.b) and torch.equal(one.a, other.a) and one.scale == other.scale
        )
    return False


def names_for(found: Backbone, layer: str) -> list[str]:
    """List what a backbone may call a layer, by its name with or without wrappers."""
    if layer in found.stored:
        return [layer]
    # a wrapper that is not known by name stands in front of one of the two
    return [it for it in found.stored if it.endswith(f".{layer}") or layer.endswith(f".{it}")]


def _stored_name(checkpoint: Readable, layer: str) -> str:
    # names alone are known without asking: of a sharded model on a server, what a backbone is made
    # of would take the headers of all shards
    plain = [name for name in checkpoint.tensors if strip_wrappers(name) == layer]
    if len(plain) == 1:
        info = checkpoint.tensors[plain[0]]
        if len(info.shape) >= 2 and role(layer, info) == "backbone":
            return plain[0]
    found = backbone(checkpoint.tensors, checkpoint.tied)
    names = names_for(found, layer)
    if len(names) != 1:
        raise MismatchedModels(f"has no layer {layer!r}" if not names else f"has several {layer!r}")
    if len(found.shapes[names[0]]) < 2:
        raise MismatchedModels(f"its {layer!r} is no matrix")
    return found.stored[names[0]]


def _shape_of(checkpoint: Readable, name: str) -> LayerShape:
    stored = checkpoint.tensors[name].shape
    return LayerShape(stored[0], prod(stored[1:]), isinstance(checkpoint, Factored))


def _check_shape(layer: str, found: LayerShape, wanted: LayerShape | None) -> None:
    if wanted is None:
        if not found.low_rank and found.out * found.inputs > LARGEST:
            raise MismatchedModels(
                f"its {layer!r} has shape {found}: more than {LARGEST:,} elements are read only "
                "where that shape is asked for"
            )
        return
    same = (found.out, found.inputs) == (wanted.out, wanted.inputs)
    if wanted.low_rank and not same:
        # a LoRA stores the factors of an embedding's delta the other way round
        same = (found.inputs, found.out) == (wanted.out, wanted.inputs)
    if not same or found.low_rank != wanted.low_rank:
        raise MismatchedModels(f"its {layer!r} has shape {found}, not {wanted}")


def _finite(matrix: Tensor, name: str) -> Tensor:
    if not bool(torch.isfinite(matrix.sum())) and not bool(torch.isfinite(matrix).all()):
        raise BadCheckpoint("holds NaN or infinite values", file="this model", tensor=name)
    return matrix
