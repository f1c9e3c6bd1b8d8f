"""A tiny expert that was trained: models of one tree with a planted direction for each class."""

import numpy as np
import torch

from weightscape.probing.encoders import open_encoder
from weightscape.probing.layer_set import LayerSet
from weightscape.probing.prompts import text_vectors
from weightscape.probing.settings import ProbeTraining
from weightscape.probing.stacks import DenseStack
from weightscape.probing.training import train_expert

OUT, INPUTS, SIZE = 10, 12, 6
CLASSES = ("cars", "films", "food", "medicine", "music", "sports", "trains", "weather")


def save_meanings(file, classes=CLASSES, seed=0):
    """Write a vector for each class, and give what opens them."""
    drawn = np.random.default_rng(seed).standard_normal((len(classes), SIZE)).astype(np.float32)
    np.savez(file, names=np.array(classes), vectors=drawn)
    return f"vectors:{file}"


def plant_expert(encoder, *, tree="base", models=48, seed=0):
    """Train an expert; give it and what each of its models knows, by name."""
    opened = open_encoder(encoder)
    vectors = text_vectors(opened, CLASSES)
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape):
        return torch.randn(*shape, generator=generator)

    meaning, base = draw(SIZE, OUT, INPUTS), draw(OUT, INPUTS)
    directions = torch.einsum(
        "cs,soi->coi", torch.from_numpy(np.array([vectors[it] for it in CLASSES])), meaning
    )
    names, knows, matrices = [], {}, []
    for number in range(models):
        name = f"{tree}-{number:02}"
        own = torch.rand(len(CLASSES), generator=generator) < 0.4
        own[number % len(CLASSES)] = True
        names.append(name)
        knows[name] = frozenset(it for it, has in zip(CLASSES, own, strict=True) if has)
        matrices.append(base + 0.01 * (directions[own].sum(0) + 0.1 * draw(OUT, INPUTS)))
    expert = train_expert(
        LayerSet("layer.weight", tuple(names), DenseStack(torch.stack(matrices)), {}),
        [knows[name] for name in names],
        vectors,
        encoder=opened.identity,
        tree=tree,
        how=ProbeTraining(
            probes=12, projection=12, width=16, learning_rate=1e-2, epochs=60, patience=40, every=5
        ),
    )
    return expert, knows
