"""An expert as two files in a folder: its tensors, and what they mean.

`expert.json` names the hash of `expert.safetensors` and is written last: a folder whose writing was
cut short holds the expert of before, or is said to be damaged.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xxhash
from torch import Tensor

from weightscape import __version__
from weightscape.errors import BadCheckpoint, BadInput, NotFound
from weightscape.io.json_files import read_json
from weightscape.io.walk import MADE_FILE
from weightscape.probing import checked_values
from weightscape.probing.expert import Expert, KnownModels
from weightscape.probing.files import read_tensors, write_tensors, write_text
from weightscape.probing.network import Network, ProbeSize
from weightscape.probing.normalising import Normalising
from weightscape.probing.origin import Origin
from weightscape.probing.reduction import Reduction
from weightscape.probing.scores import Calibration
from weightscape.probing.settings import ProbeTraining

FORMAT = 2
"""Of the two files; raise it when what they hold means something else.

In format 1, the training models' vectors were by what had been learned from these very models.
"""

TENSORS = "expert.safetensors"
TOLD = "expert.json"


def save_expert(expert: Expert, folder: str | Path) -> Path:
    """Write an expert into a folder, in place of the one that may be there; return the folder."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    # keeps those who look for models from taking the folder for one
    (folder / MADE_FILE).touch()
    write_tensors(folder / TENSORS, _tensors(expert), {"format": "pt"})
    told = {**_told(expert), "tensors": _digest(folder / TENSORS)}
    write_text(folder / TOLD, json.dumps(told, indent=2) + "\n")
    return folder


def load_expert(folder: str | Path) -> Expert:
    """Read an expert; everything is checked, since it may come from a stranger.

    Raises NotFound where there is none, BadInput for one that another version wrote, BadCheckpoint
    for what cannot be an expert or was cut short.
    """
    folder = Path(folder)
    path = folder / TOLD
    if not path.is_file():
        raise NotFound(f"{folder}: holds no expert ({TOLD}); give the folder of a trained one")
    told = read_json(path)
    if told.get("format") != FORMAT:
        other = told.get("made_with")
        or_use = "" if other in (None, __version__) else f", or use weightscape {other}"
        raise BadInput(
            f"{path}: is an expert of format {told.get('format')!r}, but this version reads "
            f"{FORMAT}; train it again (weightscape train-probes){or_use}"
        )
    _check_settings(told, path)
    tensors, _ = read_tensors(folder / TENSORS)
    if told.get("tensors") != _digest(folder / TENSORS):
        raise BadCheckpoint(
            f"does not belong to its {TOLD}: one of the two was changed or its writing was cut "
            "short; train the expert again (weightscape train-probes)",
            file=folder / TENSORS,
        )
    try:
        return _made(told, tensors)
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise BadCheckpoint(
            f"cannot be an expert: {_lack(error)}; train it again (weightscape train-probes)",
            file=path,
        ) from None


def _lack(error: Exception) -> str:
    return f"it has no {error}" if isinstance(error, KeyError) else str(error)


def _told(expert: Expert) -> dict[str, Any]:
    head = expert.network.texts
    return {
        "format": FORMAT,
        "made_with": expert.made_with,
        "tree": expert.tree,
        "layers": list(expert.layers),
        "low_rank": expert.low_rank,
        "labels": list(expert.labels),
        "encoder": expert.encoder,
        "text_size": 0 if head is None else int(head.weight.shape[1]),
        "normalisings": [
            {
                "centred": it.centred,
                "sized": it.sized,
                "scale": it.scale,
                "kept": it.reduction.kept,
            }
            for it in expert.normalisings
        ],
        "label_calibration": asdict(expert.label_calibration),
        "text_calibration": asdict(expert.text_calibration),
        "models": list(expert.known.names),
        "held_out": [int(place) for place in np.flatnonzero(expert.known.held_out)],
        "training_vectors": "in-sample" if expert.in_sample else "left-out",
        "origin": None
        if expert.origin is None
        else {"name": expert.origin.name, "moved": list(expert.origin.moved)},
        "metrics": dict(expert.metrics),
        "how": asdict(expert.how),
    }


def _tensors(expert: Expert) -> dict[str, Tensor]:
    tensors = {f"network.{name}": it for name, it in expert.network.state_dict().items()}
    for place, normalising in enumerate(expert.normalisings):
        tensors[f"layer.{place}.mean"] = normalising.mean
        for side in ("rows", "columns"):
            basis = getattr(normalising.reduction, side)
            if basis is not None:
                tensors[f"layer.{place}.{side}"] = basis
        # LoRA deltas begin at nought, which needs not be kept
        if expert.origin is not None and not expert.low_rank:
            tensors[f"layer.{place}.origin"] = expert.origin.layers[place]
    tensors["known.vectors"] = torch.from_numpy(expert.known.vectors)
    tensors["known.distances"] = torch.from_numpy(expert.known.distances)
    return {name: it.clone() for name, it in tensors.items()}


def _made(told: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Expert:
    how = ProbeTraining(**checked_values.strict(ProbeTraining, told["how"]))
    layers, labels = (
        checked_values.names(told["layers"], "layers"),
        checked_values.names(told["labels"], "labels"),
    )
    if not layers or len(told["normalisings"]) != len(layers):
        raise ValueError("its layers and their normalisings differ in number")
    normalisings = tuple(
        _normalising(place, each, tensors) for place, each in enumerate(told["normalisings"])
    )
    text_size = checked_values.count(told["text_size"], "text_size")
    encoder = told["encoder"]
    if (encoder is None) != (text_size == 0) or not isinstance(encoder, str | None):
        raise ValueError("a head of texts and its encoder go together")
    network = _network(tensors, normalisings, how, len(labels), text_size)
    return Expert(
        tree=checked_values.text(told["tree"], "tree"),
        layers=layers,
        low_rank=told["low_rank"] is True,
        normalisings=normalisings,
        network=network,
        labels=labels,
        encoder=encoder,
        label_calibration=_calibration(told["label_calibration"]),
        text_calibration=_calibration(told["text_calibration"]),
        known=_known(told, tensors, how.width),
        metrics={
            checked_values.text(name, "metrics"): checked_values.finite(it, name)
            for name, it in told["metrics"].items()
        },
        how=how,
        made_with=checked_values.text(told["made_with"], "made_with"),
        origin=_origin(told["origin"], tensors, normalisings, told["low_rank"] is True),
    )


def _network(
    tensors: Mapping[str, Tensor],
    normalisings: tuple[Normalising, ...],
    how: ProbeTraining,
    labels: int,
    text_size: int,
) -> Network:
    # no size in the JSON is believed before the tensors have it: nothing large is made on its word
    checked_values.count(how.width, "width")
    sizes = []
    for place, normalising in enumerate(normalisings):
        stem = f"network.layers.probes.{place}"
        probes, projection = tensors[f"{stem}.probes"], tensors[f"{stem}.projection"]
        if probes.ndim != 2 or projection.ndim != 2:
            raise ValueError(f"the probes of layer {place} are no matrix")
        size = ProbeSize(
            *normalising.reduction.size(normalising.mean.shape),
            probes.shape[1],
            projection.shape[0],
        )
        if tensors[f"{stem}.encoder"].shape != (how.width, size.probes * size.projection):
            raise ValueError(f"the encoders of layer {place} do not fit its probes")
        sizes.append(size)
    if labels and tensors["network.labels.bias"].shape != (labels,):
        raise ValueError("its head of classes is not of the size that its labels say")
    if text_size and tensors["network.texts.weight"].shape != (how.width, text_size):
        raise ValueError("its head of texts is not of the size that it says")
    network = Network(sizes, how, labels=labels, text_size=text_size)
    state = network.state_dict()
    for name, wanted in state.items():
        if tensors[f"network.{name}"].shape != wanted.shape:
            raise ValueError(f"tensor network.{name} has not the shape {list(wanted.shape)}")
    network.load_state_dict({name: tensors[f"network.{name}"] for name in state})
    return network.eval()


def _normalising(place: int, told: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Normalising:
    mean = tensors[f"layer.{place}.mean"]
    rows, columns = (tensors.get(f"layer.{place}.{side}") for side in ("rows", "columns"))
    if mean.ndim != 2:
        raise ValueError(f"the mean of layer {place} is no matrix")
    for basis, side in ((rows, mean.shape[0]), (columns, mean.shape[1])):
        if basis is not None and (basis.ndim != 2 or basis.shape[0] != side):
            raise ValueError(f"a subspace of layer {place} does not fit its mean")
    scale = checked_values.finite(told["scale"], f"the scale of layer {place}")
    if scale <= 0.0:
        raise ValueError(f"the scale of layer {place} is {scale}")
    return Normalising(
        mean.clone(),
        told["centred"] is True,
        Reduction(
            rows, columns, checked_values.finite(told["kept"], f"the energy kept of layer {place}")
        ),
        scale,
        told["sized"] is True,
    )


def _known(told: Mapping[str, Any], tensors: Mapping[str, Tensor], width: int) -> KnownModels:
    names = checked_values.names(told["models"], "models", most=1 << 24)
    vectors, distances = tensors["known.vectors"], tensors["known.distances"]
    if vectors.shape != (len(names), width) or distances.shape != (len(names),):
        raise ValueError("the vectors of its models are not as many as their names")
    places = told["held_out"]
    if not isinstance(places, list) or any(type(it) is not int for it in places):
        raise ValueError("held_out should be a list of places")
    if len(set(places)) != len(places) or not all(0 <= it < len(names) for it in places):
        raise ValueError("held_out names a place twice, or one that no model has")
    if not 0 < len(places) < len(names):
        raise ValueError("some of its models must be held out, and some must not")
    held_out = np.zeros(len(names), bool)
    held_out[places] = True
    return KnownModels(names, held_out, vectors.numpy().copy(), distances.numpy().copy())


def _origin(
    told: Any,
    tensors: Mapping[str, Tensor],
    normalisings: tuple[Normalising, ...],
    low_rank: bool,
) -> Origin | None:
    if told is None:
        return None
    moved = tuple(checked_values.finite(it, "how far its models moved") for it in told["moved"])
    if len(moved) != len(normalisings) or min(moved) < 0.0:
        raise ValueError("how far its models moved is not told for each layer")
    layers = []
    for place, normalising in enumerate(normalisings):
        shape = normalising.mean.shape
        layer = torch.zeros(shape) if low_rank else tensors[f"layer.{place}.origin"]
        if layer.shape != shape:
            raise ValueError(f"the base's layer {place} is of another shape than the others'")
        layers.append(layer.clone())
    return Origin(checked_values.text(told["name"], "the base's name"), tuple(layers), moved)


def _calibration(told: Mapping[str, Any]) -> Calibration:
    slope, shift = (
        checked_values.finite(told[name], f"its calibration's {name}")
        for name in ("slope", "shift")
    )
    if slope <= 0.0:
        raise ValueError("its calibration would turn its answers round")
    return Calibration(slope, shift)


def _check_settings(told: Mapping[str, Any], path: Path) -> None:
    """Refuse an expert that was trained by other settings than this version has."""
    given, ours = told.get("how"), {it.name for it in fields(ProbeTraining)}
    if isinstance(given, Mapping) and set(given) != ours:
        raise BadInput(
            f"{path}: was trained by another version, whose settings were others "
            f"({', '.join(sorted(set(given) ^ ours)[:5])}); train it again, or use weightscape "
            f"{told.get('made_with', '?')}"
        )


def _digest(path: Path) -> str:
    digest = xxhash.xxh3_128()
    with path.open("rb") as file:
        while block := file.read(1 << 22):
            digest.update(block)
    return digest.hexdigest()
