import pytest
import torch

from weightscape.probing.layer_set import LayerSet
from weightscape.probing.layers import Product
from weightscape.probing.settings import ProbeTraining
from weightscape.probing.stacks import DenseStack, stack_layers

OUT, INPUTS = 20, 24


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


class Planted:
    """Models that are a base and the sum of one low-rank direction for each class they know.

    Each class has a text vector, and its direction is linear in that vector.
    """

    def __init__(self, *, models=160, classes=8, size=8, share=0.5, one_base=True, seed=0):
        generator = torch.Generator().manual_seed(seed)

        def draw(*shape):
            return torch.randn(*shape, generator=generator)

        self.classes = [f"class {number}" for number in range(classes)]
        vectors = torch.nn.functional.normalize(draw(classes, size), dim=1)
        self.vectors = dict(zip(self.classes, vectors, strict=True))
        meaning = draw(size, OUT, INPUTS) / 2
        directions = torch.einsum("cs,soi->coi", vectors, meaning)
        self.base = draw(OUT, INPUTS)
        self.labels, matrices = [], []
        for _ in range(models):
            knows = torch.rand(classes, generator=generator) < share
            delta = directions[knows].sum(0) + 0.3 * draw(OUT, INPUTS)
            base = self.base if one_base else draw(OUT, INPUTS)
            matrices.append(base + 0.01 * (0.5 + torch.rand(1, generator=generator)) * delta)
            self.labels.append(
                frozenset(it for it, own in zip(self.classes, knows, strict=True) if own)
            )
        names = tuple(f"model {number:03}" for number in range(models))
        self.set = LayerSet("layer.weight", names, DenseStack(torch.stack(matrices)), {})


@pytest.fixture(scope="session")
def plant():
    return Planted


@pytest.fixture(scope="session")
def planted(plant):
    return plant()


@pytest.fixture(scope="session")
def small():
    """Settings with which a training takes a second or two."""
    return ProbeTraining(width=24, steps=20)


@pytest.fixture(scope="session")
def descent():
    return ProbeTraining(
        way="descent", probes=16, projection=16, width=24, learning_rate=5e-3, epochs=60,
        patience=40, every=4, sized=False,
    )  # fmt: skip


@pytest.fixture(params=["left-out", "descent"])
def either(request, small, descent):
    """Give the settings of each way of training."""
    return small if request.param == "left-out" else descent


@pytest.fixture
def low_rank():
    """Make LoRA layers of ranks 2 and 3, and the matrices that they are products of."""

    def make(models=6, seed=0):
        generator = torch.Generator().manual_seed(seed)
        layers = [
            Product(
                torch.randn(OUT, 2 + number % 2, generator=generator),
                torch.randn(2 + number % 2, INPUTS, generator=generator),
                0.5 + number,
            )
            for number in range(models)
        ]
        formed = torch.stack([it.scale * it.b @ it.a for it in layers])
        return stack_layers(layers), DenseStack(formed)

    return make
