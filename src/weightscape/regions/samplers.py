"""Ways to draw points of the convex hull of a group's models (the paper's group In')."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float64

from weightscape.errors import BadInput
from weightscape.registry import Registry

Weights = Float64[np.ndarray, "S N"]
Sampler = Callable[[int, int, np.random.Generator], Weights]
"""From how many points, of how many members, and a generator: convex weights [points, members]."""

SAMPLERS: Registry[Sampler] = Registry("hull sampler")
DEFAULT_SAMPLER = "dirichlet"
_FEW = 3


def sample_hull(name: str, count: int, members: int, seed: int) -> Weights:
    """Draw convex weights [count, members] by a registered sampler.

    Raises UnknownName for the sampler, BadInput where it gives anything but convex weights.
    """
    weights = np.asarray(SAMPLERS[name](count, members, np.random.default_rng(seed)))
    right = weights.shape == (count, members) and np.isfinite(weights).all()
    if not right or (weights < 0).any() or not np.allclose(weights.sum(axis=1), 1.0):
        raise BadInput(
            f"the hull sampler {name!r} must give {count} rows of {members} weights, none "
            f"negative, each row of sum 1; it gave an array of shape {list(weights.shape)}"
        )
    return weights.astype(np.float64)


@SAMPLERS.register("dirichlet")
def uniform_over_weights(count: int, members: int, generator: np.random.Generator) -> Weights:
    """Draw weights evenly from the simplex: Dirichlet(1, ..., 1), as the paper does.

    With many members most points lie near the centroid, as most of a simplex does.
    """
    return generator.dirichlet(np.ones(members), size=count)


@SAMPLERS.register("edges")
def between_two(count: int, members: int, generator: np.random.Generator) -> Weights:
    """Draw points evenly on the segments between two members."""
    return _of_few(count, members, 2, generator)


@SAMPLERS.register("sparse")
def between_three(count: int, members: int, generator: np.random.Generator) -> Weights:
    """Draw points evenly from the triangles of three members."""
    return _of_few(count, members, _FEW, generator)


def _of_few(count: int, members: int, few: int, generator: np.random.Generator) -> Weights:
    weights = np.zeros((count, members))
    few = min(few, members)
    for row in weights:
        chosen = generator.choice(members, size=few, replace=False)
        row[chosen] = generator.dirichlet(np.ones(few))
    return weights
