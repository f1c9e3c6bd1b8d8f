"""One layer of many models side by side, whole or as the factors of LoRA deltas."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from weightscape.errors import MismatchedModels
from weightscape.probing.layers import Dense, Layer, LayerShape

_BLOCK = 1 << 23
"""Elements that are turned to float64 or centred at once: 32 MB of float32."""


@dataclass(frozen=True, slots=True)
class DenseStack:
    """Matrices [N, out, in]."""

    matrices: Tensor

    def __len__(self) -> int:
        return len(self.matrices)

    @property
    def shape(self) -> LayerShape:
        """Tell the size of one matrix."""
        return LayerShape(self.matrices.shape[1], self.matrices.shape[2], low_rank=False)

    def take(self, places: Tensor) -> "DenseStack":
        """Pick some models by their places."""
        return DenseStack(self.matrices[places])

    def blocks(self) -> Iterator["DenseStack"]:
        """Cut into stacks that are small enough to be worked on as a whole."""
        yield from map(DenseStack, torch.split(self.matrices, _models_at_once(self.shape)))

    def formed(self) -> Tensor:
        """Return the matrices [N, out, in]."""
        return self.matrices


@dataclass(frozen=True, slots=True)
class ProductStack:
    """Products ``b @ a + gain * offset``: b [N, out, r] with the scales, a [N, r, in].

    offset: [out, in], alike for all; gains: [N], how often each has it, 1 if not given. Factors of
    smaller rank are filled up with zeros, which changes no product.
    """

    b: Tensor
    a: Tensor
    offset: Tensor | None = None
    gains: Tensor | None = None

    def __len__(self) -> int:
        return len(self.b)

    @property
    def shape(self) -> LayerShape:
        """Tell the size of one product."""
        return LayerShape(self.b.shape[1], self.a.shape[2], low_rank=True)

    def take(self, places: Tensor) -> "ProductStack":
        """Pick some models by their places."""
        gains = None if self.gains is None else self.gains[places]
        return ProductStack(self.b[places], self.a[places], self.offset, gains)

    def blocks(self) -> Iterator["ProductStack"]:
        """Cut into stacks that are small enough to be worked on as a whole."""
        size = _models_at_once(self.shape)
        for start in range(0, len(self), size):
            yield self.take(torch.arange(start, min(start + size, len(self))))

    def formed(self) -> Tensor:
        """Multiply out to [N, out, in]; for few models at once."""
        products = self.b @ self.a
        return products if self.offset is None else products + self.offsets()

    def offsets(self) -> Tensor:
        """Return what is added to each product, [N or 1, out, in]; nought where there is none."""
        offset = torch.zeros(1, 1, 1) if self.offset is None else self.offset[None]
        return offset if self.gains is None else self.gains[:, None, None] * offset


Stack = DenseStack | ProductStack


def stack_layers(layers: Sequence[Layer]) -> Stack:
    """Lay layers of one shape and kind side by side; raise MismatchedModels for others."""
    if not layers:
        raise MismatchedModels("no layer was read; give at least one model")
    if len({shape_of(layer) for layer in layers}) > 1:
        raise MismatchedModels("these layers differ in shape, or some are LoRA deltas")
    products = [layer for layer in layers if not isinstance(layer, Dense)]
    if not products:
        return DenseStack(torch.stack([it.matrix for it in layers if isinstance(it, Dense)]))
    rank = max(layer.a.shape[0] for layer in products)
    shape = shape_of(products[0])
    b = torch.zeros(len(layers), shape.out, rank)
    a = torch.zeros(len(layers), rank, shape.inputs)
    for place, layer in enumerate(products):
        own = layer.a.shape[0]
        b[place, :, :own] = layer.b * layer.scale
        a[place, :own] = layer.a
    return ProductStack(b, a)


def shape_of(layer: Layer) -> LayerShape:
    """Tell the size of a layer."""
    if isinstance(layer, Dense):
        return LayerShape(layer.matrix.shape[0], layer.matrix.shape[1], low_rank=False)
    return LayerShape(layer.b.shape[0], layer.a.shape[1], low_rank=True)


def mean_of(stack: Stack) -> Tensor:
    """Average to [out, in]; summed in float64, so that models that hardly differ keep what does."""
    total = torch.zeros(stack.shape.out, stack.shape.inputs, dtype=torch.float64)
    for block in stack.blocks():
        if isinstance(block, DenseStack):
            total += block.matrices.sum(0, dtype=torch.float64)
        else:
            # the sum of products is one product of the factors laid end to end
            left = block.b.transpose(0, 1).flatten(1)
            total += (left @ block.a.flatten(0, 1)).double()
            if block.offset is not None:
                total += block.offsets().double().expand(len(block), -1, -1).sum(0)
    return (total / max(1, len(stack))).float()


def _models_at_once(shape: LayerShape) -> int:
    return max(1, _BLOCK // (shape.out * shape.inputs))
