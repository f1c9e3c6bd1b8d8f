"""Which tree a model belongs to, by how far one layer is from the centres of the trees.

The nearest centre wins (Horwitz et al., arXiv:2410.13569, section 4.3), if the model is no farther
from it than models of that tree may be: `reach` is the largest distance among those known, each
from the centre of the others, half as much again. A new model drawn like the n known ones is
farther than all of them in one of n + 1 cases, and so is wrongly called unknown no more often than
that. Strangers are far beyond: two layers that were drawn apart are all but orthogonal.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from weightscape.errors import BadInput
from weightscape.probing.distances import distances_from
from weightscape.probing.expert import Expert, Floats
from weightscape.probing.layers import Layer, LayerShape
from weightscape.probing.stacks import Stack, mean_of, shape_of, stack_layers

SLACK = 1.5
"""How much farther than the farthest known model one may be: some train longer than any seen."""

STRANGER_SHARE = 0.8
"""No tree reaches farther than this share of the distance at which strangers are expected."""


@dataclass(frozen=True, slots=True)
class TreeCentre:
    """The centre of a tree in one layer, [out, in], and how far its models may be from it."""

    tree: str
    layer: str
    centre: Tensor
    reach: float

    @property
    def shape(self) -> LayerShape:
        """Tell the shape of the layer."""
        return LayerShape(self.centre.shape[0], self.centre.shape[1], low_rank=False)


@dataclass(frozen=True, slots=True)
class Route:
    """Where a model belongs.

    tree: None where it is of no known tree. distances: to each tree's centre whose layer the model
    has, in units of that tree's reach: at most 1 is within. why: in words, when there is no tree.
    """

    tree: str | None
    distances: Mapping[str, float]
    why: str = ""


@dataclass(frozen=True, slots=True)
class Router:
    """The centres of the known trees, of whole weights."""

    centres: tuple[TreeCentre, ...]

    def route(self, layers: Mapping[str, Layer] | Layer) -> Route:
        """Tell the tree of one model by its layers; one alone is taken for every tree's.

        Trees whose layer the model lacks, or has in another shape, are out of the question. Equal
        distances go by the trees' names.
        """
        distances: dict[str, float] = {}
        for it in self.centres:
            layer = layers.get(it.layer) if isinstance(layers, Mapping) else layers
            if layer is None or shape_of(layer) != it.shape:
                continue
            distances[it.tree] = float(distances_from(it.centre, stack_layers([layer]))[0])
        if not distances:
            return Route(None, {}, "it has no layer that any expert reads")
        reaches = {it.tree: it.reach for it in self.centres}
        nearest = min(distances, key=lambda tree: (distances[tree], tree))
        relative = {tree: _share(far, reaches[tree]) for tree, far in distances.items()}
        if relative[nearest] <= 1.0:
            return Route(nearest, relative)
        return Route(
            None,
            relative,
            f"it is {relative[nearest]:.2g} times as far from {nearest!r}, the nearest tree, as "
            "that tree's models are at most",
        )


def router_of(experts: Sequence[Expert]) -> Router:
    """Make a router of the trees of experts of whole weights.

    Deltas of LoRA adapters lie around zero whatever their base, so no distance tells their trees
    apart: their tree is known by the base that they name, or not at all.
    """
    whole = [it for it in experts if not it.low_rank]
    trees = [it.tree for it in whole]
    if len(set(trees)) != len(trees):
        raise BadInput("a tree has several experts; give the router one of each tree")
    return Router(
        tuple(
            TreeCentre(
                it.tree, it.layer, it.normalisings[0].mean,
                _reach(it.normalisings[0].mean, it.known.distances, ~it.known.held_out),
            )
            for it in whole
        )
    )  # fmt: skip


def centre_of(tree: str, layer: str, stack: Stack) -> TreeCentre:
    """Find a tree's centre from its models' layers, of which one is enough."""
    centre = mean_of(stack)
    return TreeCentre(
        tree,
        layer,
        centre,
        _reach(centre, distances_from(centre, stack), np.ones(len(stack), bool)),
    )


def _reach(centre: Tensor, distances: Floats, averaged: np.ndarray) -> float:
    """Tell how far a tree's models may be; averaged: those that the centre is the mean of."""
    size = float(centre.norm())
    many = int(averaged.sum())
    # a model pulls the mean of which it is a part towards itself: it is this much nearer
    fair = np.where(averaged, distances * (many / max(1, many - 1)), distances)
    spread = float(np.median(fair))
    strangers = math.hypot(size, math.hypot(size, spread))
    most = STRANGER_SHARE * strangers
    if len(distances) == 1:
        # of a tree known by one model only: as near as to be hardly by chance
        return most / 2
    return min(SLACK * float(fair.max()), most)


def _share(distance: float, reach: float) -> float:
    if reach:
        return distance / reach
    return 0.0 if distance == 0.0 else math.inf
