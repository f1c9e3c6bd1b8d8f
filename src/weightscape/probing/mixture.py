"""The experts of several trees as one: a model goes to the expert of its tree, or to none."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from weightscape.errors import MismatchedModels
from weightscape.probing.expert import Expert, Floats
from weightscape.probing.layers import Layer, Readable, read_layer
from weightscape.probing.oddness import Oddness, oddness_of
from weightscape.probing.router import Route, Router, router_of
from weightscape.probing.stacks import stack_layers
from weightscape.probing.untouched import nothing_learned


@dataclass(frozen=True, slots=True)
class Look:
    """What an expert sees of a model: its vector, or why there is none."""

    vector: Floats | None
    untouched: str | None


@dataclass(frozen=True, slots=True)
class Placed:
    """What is known of a model once it was read.

    expert, vector: of its tree; None where it is of no known tree, which `route` says in words.
    untouched: why the layer tells nothing, although its tree is known; there is no vector then.
    """

    route: Route
    expert: Expert | None
    vector: Floats | None
    untouched: str | None = None

    @property
    def known(self) -> bool:
        """Tell whether the model is of a known tree."""
        return self.expert is not None

    def oddness(self) -> Oddness | None:
        """Compare the model with those of its tree; None where that cannot be told."""
        if self.expert is None or self.vector is None:
            return None
        return oddness_of(self.expert, self.vector)[0]


@dataclass(frozen=True, slots=True)
class Mixture:
    """Experts, one a tree, and the router between them."""

    experts: Mapping[str, Expert]
    router: Router

    def place(self, checkpoint: Readable, tree: str | None = None) -> Placed:
        """Read the layers that are needed of a model, and give its vector by its tree's expert.

        tree: where it is known to belong, as a LoRA adapter by the base that it names; else the
        router tells. Raises MismatchedModels if a known tree's expert cannot read the model.
        """
        if tree is not None:
            return self._placed(checkpoint, Route(tree, {}), {})
        layers: dict[str, Layer] = {}
        for it in self.router.centres:
            if it.layer not in layers:
                with suppress(MismatchedModels):
                    layers[it.layer] = read_layer(checkpoint, it.layer, shape=it.shape)
        return self._placed(checkpoint, self.router.route(layers), layers)

    def _placed(self, checkpoint: Readable, route: Route, layers: Mapping[str, Layer]) -> Placed:
        expert = None if route.tree is None else self.experts.get(route.tree)
        if expert is None:
            why = route.why or (
                f"there is no expert of its tree, {route.tree!r}; train-probes makes one where its "
                "models have labels"
            )
            return Placed(Route(None, route.distances, why), None, None)
        seen = look(expert, checkpoint, layers)
        return Placed(route, expert, seen.vector, seen.untouched)


def look(expert: Expert, checkpoint: Readable, read: Mapping[str, Layer] = {}) -> Look:
    """Read an expert's layers of one model; those that were read already are taken from `read`.

    Raises MismatchedModels if the model lacks one or has it in another shape, BadCheckpoint for
    values that are not finite.
    """
    layers = [
        read.get(name) or read_layer(checkpoint, name, shape=shape)
        for name, shape in zip(expert.layers, expert.shapes, strict=True)
    ]
    untouched = nothing_learned(expert, layers)
    if untouched is not None:
        return Look(None, untouched)
    return Look(expert.embed([stack_layers([it]) for it in layers])[0], None)


def mixture_of(experts: Sequence[Expert]) -> Mixture:
    """Put experts of different trees together; raise BadInput if a tree has several."""
    return Mixture({it.tree: it for it in experts}, router_of(experts))
