"""Which layer of a tree its expert reads: the candidates, and the choice between them."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import numpy as np

from weightscape.atlas.layer_reading import Meter, opened
from weightscape.catalog.records import Model
from weightscape.errors import BadInput, WeightscapeError
from weightscape.probing.layer_choice import LayerChoice, changed_layers, choose_layer
from weightscape.probing.layer_set import LayerSet, Opener, read_set
from weightscape.probing.layers import LayerShape, Readable, layer_shapes
from weightscape.probing.settings import ProbeTraining
from weightscape.progress import Progress, silent

FIRST_LOOK = 6
"""Models that are opened to see which layers they have and in which of them they differ."""

FOR_CHOICE = 200
"""Models that the layers are compared with; the chosen one is read of all."""

_COPIES = 3
"""Of a layer of all models, in memory at once: as read, around the mean, its inner products."""


def choose(
    models: Sequence[Model],
    labels: Mapping[str, frozenset[str]],
    held_out: frozenset[str],
    how: ProbeTraining,
    *,
    memory: int,
    meter: Meter,
    kept: Path,
    progress: Progress = silent,
) -> LayerChoice:
    """Choose the layer of models (all of them labelled) that tells most about models held out.

    memory: bytes that a layer of all models may take; larger ones are no candidates. kept: a file
    in which the choice is kept. Raises BadInput where no layer can be scored.
    """
    some = _some(models, held_out, how.seed)
    candidates = _candidates(some, memory // (4 * _COPIES * len(models)), meter)
    openers: dict[str, Readable | Opener] = {it.name: partial(opened, it, meter) for it in some}
    read: Callable[[str], LayerSet] = lambda layer: read_set(  # noqa: E731
        openers, layer, shape=candidates[layer]
    )
    return choose_layer(
        read,
        list(candidates),
        {it.name: labels[it.name] for it in some},
        held_out=held_out & {it.name for it in some},
        how=how,
        kept=kept,
        identity=",".join(it.fingerprint for it in some),
        progress=progress,
    )


def _some(models: Sequence[Model], held_out: frozenset[str], seed: int) -> list[Model]:
    """Draw models to compare layers with, of those held out as large a share as of all."""
    if len(models) <= FOR_CHOICE:
        return sorted(models, key=lambda it: it.name)
    by_name = {it.name: it for it in models}
    out = sorted(held_out & set(by_name))
    rest = sorted(set(by_name) - held_out)
    draw = np.random.default_rng(seed)
    many = max(2, round(FOR_CHOICE * len(out) / len(models)))
    drawn = [
        names[place]
        for names, count in ((out, many), (rest, FOR_CHOICE - many))
        for place in draw.permutation(len(names))[:count]
    ]
    return [by_name[name] for name in sorted(drawn)]


def _candidates(models: Sequence[Model], largest: int, meter: Meter) -> dict[str, LayerShape]:
    """Give the layers that most of a few models have in one shape and in which they differ."""
    with ExitStack() as stack:
        looked: list[Readable] = []
        for model in models:
            try:
                looked.append(stack.enter_context(opened(model, meter)))
            except (WeightscapeError, OSError):
                continue  # it is skipped by name when the layer is read
            if len(looked) == FIRST_LOOK:
                break
        shapes = [layer_shapes(it, largest) for it in looked]
        many = Counter((name, shape) for one in shapes for name, shape in one.items())
        usual = [(name, shape) for (name, shape), count in many.items() if count * 2 > len(looked)]
        found = {
            name: shape
            for name, shape in usual
            if changed_layers(_havers(looked, shapes, name, shape), [name])
        }
    if not found:
        raise BadInput(
            "its models have no layer in common that differs between them and fits in memory "
            f"({largest:,} elements of each); name one with --layer, or give more --memory"
        )
    return found


def _havers(
    looked: Sequence[Readable],
    shapes: Sequence[Mapping[str, LayerShape]],
    name: str,
    shape: LayerShape,
) -> list[Readable]:
    return [it for it, own in zip(looked, shapes, strict=True) if own.get(name) == shape]
