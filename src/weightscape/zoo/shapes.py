"""Trees of a wanted shape: who is whose parent, before any model is made."""

import random
from collections.abc import Callable

from weightscape.registry import Registry

Shape = Callable[[int, random.Random], int]
"""Chooses the parent of node i > 0 among nodes 0 ... i - 1 of its tree; node 0 is the root."""

SHAPES: Registry[Shape] = Registry("shape")


@SHAPES.register("star")
def _star(node: int, chance: random.Random) -> int:
    return 0


@SHAPES.register("chain")
def _chain(node: int, chance: random.Random) -> int:
    return node - 1


@SHAPES.register("balanced")
def _balanced(node: int, chance: random.Random) -> int:
    """Four children each: 1, 4, 16, ... models a level."""
    return (node - 1) // 4


@SHAPES.register("lopsided")
def _lopsided(node: int, chance: random.Random) -> int:
    """One long arm with twigs: every other model carries on from the newest."""
    return node - 1 if node % 2 else chance.randrange(node)


@SHAPES.register("random")
def _random(node: int, chance: random.Random) -> int:
    return chance.randrange(node)


def grow(shape: str, models: int, *, roots: int = 1, seed: int = 0) -> list[tuple[int, int]]:
    """Grow trees with `models` nodes beside their roots, dealt out to the roots in turn.

    Returns (tree, parent) of each model in order; parents count within the tree, 0 is its root.
    Raises UnknownName for an unknown shape.

    >>> grow("chain", 3)
    [(0, 0), (0, 1), (0, 2)]
    >>> [parent for _, parent in grow("balanced", 6)]
    [0, 0, 0, 0, 1, 1]
    """
    choose = SHAPES[shape]
    chance = random.Random(seed)
    return [(i % roots, choose(i // roots + 1, chance)) for i in range(models)]
