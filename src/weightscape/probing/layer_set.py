"""One layer of every model of a tree, read once and kept on disk if wished."""

import json
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from weightscape.errors import MismatchedModels, WeightscapeError
from weightscape.probing.files import read_tensors, write_tensors
from weightscape.probing.layers import (
    Dense,
    Layer,
    LayerShape,
    Product,
    Readable,
    layer_shape,
    read_layer,
)
from weightscape.probing.stacks import DenseStack, ProductStack, Stack, shape_of, stack_layers
from weightscape.progress import Progress, silent

Opener = Callable[[], AbstractContextManager[Any]]
"""Opens a model's files as a `Readable`: called to look at its headers, and to read its layer."""

log = logging.getLogger(__name__)

_FORMAT = 1


@dataclass(frozen=True, slots=True)
class LayerSet:
    """A layer of N models.

    names: of the models, in the order of `stack`. skipped: name of a model that was not read to
    the reason.
    """

    layer: str
    names: tuple[str, ...]
    stack: Stack
    skipped: Mapping[str, str]

    def __len__(self) -> int:
        return len(self.names)


def read_set(
    models: Mapping[str, Readable | Opener],
    layer: str,
    *,
    shape: LayerShape | None = None,
    kept: Path | None = None,
    identity: str = "",
    progress: Progress = silent,
) -> LayerSet:
    """Read one layer of models that have it in one shape; the others are skipped by name.

    models: name to an open model, or to what opens it (so that not all are open at once). shape:
    that they should have; where it is not given, that of most of them, for which the headers of all
    are looked at first: of a layer that is skipped nothing is read. kept: a file that the layers
    are kept in; it is read instead of the models if it is of the same layer, shape, names and
    `identity` (say, a hash of the models' fingerprints).

    Raises MismatchedModels if no model has the layer.
    """
    said = {"format": _FORMAT, "layer": layer, "identity": identity, "asked": sorted(models)}
    said["shape"] = None if shape is None else str(shape)
    if kept is not None and (found := _read_kept(kept, said)) is not None:
        return found
    layers: dict[str, Layer] = {}
    skipped: dict[str, str] = {}
    with progress.stage(f"reading {layer}", total=len(models), unit="models") as advance:
        usual = shape or _usual_shape(models, layer)
        for name, model in models.items():
            try:
                layers[name] = _read_one(model, layer, usual)
            except (WeightscapeError, OSError) as error:
                skipped[name] = str(error)
            advance(1)
    if not layers:
        reasons = Counter(skipped.values()).most_common(1)
        why = f"; the first of them {reasons[0][0]}" if reasons else ""
        raise MismatchedModels(f"none of {len(models)} models has layer {layer!r}{why}")
    _skip_others(layers, skipped)
    read = LayerSet(layer, tuple(layers), stack_layers(list(layers.values())), skipped)
    if kept is not None:
        _keep(kept, read, said)
    return read


def select(layer_set: LayerSet, names: Iterable[str]) -> LayerSet:
    """Pick some models of a set, in the given order; those that it lacks are left out."""
    import torch

    places = {name: place for place, name in enumerate(layer_set.names)}
    chosen = [name for name in names if name in places]
    taken = layer_set.stack.take(torch.tensor([places[name] for name in chosen], dtype=torch.long))
    return LayerSet(layer_set.layer, tuple(chosen), taken, layer_set.skipped)


def _usual_shape(models: Mapping[str, Readable | Opener], layer: str) -> LayerShape | None:
    """Tell the shape that most models have the layer in; None where none has it."""
    shapes: Counter[LayerShape] = Counter()
    for model in models.values():
        # who cannot be looked at is skipped, by name and with the reason, when it is read
        with suppress(WeightscapeError, OSError), _open(model) as opened:
            shapes[layer_shape(opened, layer)] += 1
    return max(shapes, key=lambda it: (shapes[it], str(it)), default=None)


def _read_one(model: Readable | Opener, layer: str, shape: LayerShape | None) -> Layer:
    with _open(model) as opened:
        read = read_layer(opened, layer, shape=shape)
        return _copied(read) if callable(model) else read


def _open(model: Readable | Opener) -> AbstractContextManager[Any]:
    """Open a model; one that is open already stays so."""
    return model() if callable(model) else nullcontext(model)


def _copied(layer: Layer) -> Layer:
    """Let go of the mapped file that a layer may be a view of."""
    if isinstance(layer, Dense):
        return Dense(layer.matrix.clone())
    return Product(layer.b.clone(), layer.a.clone(), layer.scale)


def _skip_others(layers: dict[str, Layer], skipped: dict[str, str]) -> None:
    """Put aside the layers of LoRAs whose factors are stored the other way round."""
    shapes: dict[str, LayerShape] = {name: shape_of(it) for name, it in layers.items()}
    usual, _ = max(Counter(shapes.values()).items(), key=lambda it: (it[1], str(it[0])))
    for name, shape in shapes.items():
        if shape != usual:
            skipped[name] = f"its layer has shape {shape}; {usual} is what the others have"
            del layers[name]


def _keep(path: Path, read: LayerSet, said: Mapping[str, Any]) -> None:
    stack = read.stack
    tensors = (
        {"matrices": stack.matrices}
        if isinstance(stack, DenseStack)
        else {"b": stack.b, "a": stack.a}
    )
    told = {**said, "names": list(read.names), "skipped": dict(read.skipped)}
    write_tensors(path, tensors, {"layer_set": json.dumps(told)})


def _read_kept(path: Path, said: Mapping[str, Any]) -> LayerSet | None:
    """Read a kept set; None where there is none, it is of other models, or it is damaged."""
    if not path.is_file():
        return None
    try:
        tensors, metadata = read_tensors(path)
        told = json.loads(metadata["layer_set"])
        if any(told.get(key) != value for key, value in said.items()):
            return None
        names, skipped = tuple(told["names"]), dict(told["skipped"])
        stack: Stack
        if "matrices" in tensors:
            stack = DenseStack(tensors["matrices"])
        else:
            stack = ProductStack(tensors["b"], tensors["a"])
        if len(stack) != len(names) or {*names, *skipped} != set(said["asked"]):
            raise ValueError("its names are not those of its layers")
        return LayerSet(said["layer"], names, stack, skipped)
    except (WeightscapeError, OSError, ValueError, KeyError, TypeError) as error:
        log.warning("%s is damaged (%s); the models are read again", path, error)
        return None
