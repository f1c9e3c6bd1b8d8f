"""Populations of known regions: random deltas with a given cosine inside each task."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from weightscape.geometry.products import Moments, TreeGram

SHAPES = (*[(40, 50)] * 9, (50,), (50,))


def grown(
    tasks: Sequence[int], *, likeness: float = 0.3, seed: int = 0, background: float = 0.0
) -> dict[str, list[np.ndarray]]:
    """Give each model a delta per tensor; models of one task have cosine `likeness`.

    `background` is a cosine that all of them share.
    """
    rng = np.random.default_rng(seed)
    common = [rng.normal(size=shape) for shape in SHAPES]
    centres = {task: [rng.normal(size=shape) for shape in SHAPES] for task in set(tasks)}
    own = 1.0 - likeness - background
    models = {"base": [np.zeros(shape) for shape in SHAPES]}
    for i, task in enumerate(tasks):
        models[f"t{task}-{i}"] = [
            np.sqrt(own) * rng.normal(size=shape)
            + np.sqrt(likeness) * centres[task][t]
            + np.sqrt(background) * common[t]
            for t, shape in enumerate(SHAPES)
        ]
    return models


def gram_of(models: dict[str, list[np.ndarray]], reference: str | None = "base") -> TreeGram:
    """Work out the Grams of models given by their deltas from an unnamed origin."""
    names = tuple(models)
    flat = [np.stack([models[name][t].ravel() for name in names]) for t in range(len(SHAPES))]
    shift = [x - x[names.index(reference)] if reference else x for x in flat]
    zeros = np.zeros((len(SHAPES), len(names)))
    norm = np.stack([np.linalg.norm(x, axis=1) + 100.0 for x in flat])
    hashes = tuple(tuple(f"{t}.{name}" for name in names) for t in range(len(SHAPES)))
    moments = Moments(norm, zeros, zeros, zeros, zeros.astype(np.int64), hashes)
    gram = np.stack([x @ x.T for x in shift])
    tensors = tuple(f"layer.{t}" for t in range(len(SHAPES)))
    return TreeGram(names, tensors, SHAPES, gram, moments, reference)


@pytest.fixture
def grow() -> Callable[..., dict[str, list[np.ndarray]]]:
    return grown


@pytest.fixture
def products() -> Callable[..., TreeGram]:
    return gram_of
