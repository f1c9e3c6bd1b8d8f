"""Text models of a probes zoo: trained on cached features, stored beside a shard they share."""

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from weightscape.errors import BadInput
from weightscape.io import open_checkpoint, write_checkpoint
from weightscape.io.json_files import read_json
from weightscape.progress import Progress, silent
from weightscape.tasks.training import Schedule, batch_order, train
from weightscape.zoo.digits_model import LowRank
from weightscape.zoo.probes_features import Features
from weightscape.zoo.probes_layer import (
    LastLayer,
    build_layer,
    draw_layer,
    fill_layer,
    layer_tensors,
    stored_name,
)
from weightscape.zoo.probes_plan import ProbeTraining

SHARED = "model-00001-of-00002.safetensors"
OWN = "model-00002-of-00002.safetensors"
INDEX = "model.safetensors.index.json"

HEAD_STD = 0.02
LORA_SCALE = 2.0
ADAPTED = "output"
"""The matrix that adapters change: its outputs lie in the space of the text's vectors."""

Tensors = dict[str, Tensor]


@dataclass(frozen=True, slots=True)
class Base:
    """The packaged base: its folder, and what of it all models share."""

    folder: Path
    shared: Path

    @property
    def config(self) -> dict[str, Any]:
        """Read its configuration."""
        return read_json(self.folder / "config.json")

    @property
    def layers(self) -> int:
        """Tell how many layers it has."""
        return int(self.config["num_hidden_layers"])


def share_base(base: Base) -> None:
    """Write what all models share, once: everything below the trained part, and the tokenizer."""
    from safetensors.torch import save_file

    if base.shared.is_dir():
        return
    stored = open_checkpoint(base.folder)
    layer = build_layer(base.config, 1)
    own = {stored_name(name, base.layers) for name, _ in layer.named_parameters()}
    tensors = {f"bert.{name.removeprefix('bert.')}": stored.tensor(name) for name in stored.tensors}
    half = base.shared.with_name(f".shared.{os.getpid()}")
    shutil.rmtree(half, ignore_errors=True)
    half.mkdir(parents=True)
    shared = {name: tensor for name, tensor in tensors.items() if name not in own}
    save_file(shared, str(half / SHARED), metadata={"format": "pt"})
    for file in base.folder.iterdir():
        if file.suffix in (".json", ".txt") and file.name != "config.json":
            shutil.copyfile(file, half / file.name)
    half.rename(base.shared)


def train_text_root(
    base: Base, features: Features, training: ProbeTraining, progress: Progress = silent
) -> LastLayer:
    """Draw a last layer and train it to tell the base's sentence vector from the first token.

    It sees no label, so the root knows all classes as well or as badly as any other text.
    """
    layer = build_layer(base.config, features.sentence.shape[1])
    draw_layer(layer, training.init_seed)
    rows = (~features.test).nonzero().flatten()
    order = batch_order(len(rows), training.steps, training.batch, training.data_seed)

    def loss_at(step: int) -> Tensor:
        at = rows[order[step]]
        told = layer(features.first[at], features.mixed[at].float())
        return 1 - nn.functional.cosine_similarity(told, features.sentence[at]).mean()

    train(layer, loss_at, _schedule(training), progress=progress)
    return layer


def train_text_model(
    base: Base,
    start: Path | None,
    features: Features,
    training: ProbeTraining,
    classes: Sequence[int],
    others: Sequence[int] = (),
    progress: Progress = silent,
) -> tuple[LastLayer, dict[str, float]]:
    """Train a model on some classes and score it on their held-out rows.

    classes: numbers in the features. others: classes that are put together as one more, of which
    each batch and the score hold as many rows as of the first. start: whose last layer it
    starts from; None for a drawn one.
    """
    layer = build_layer(base.config, len(classes) + bool(others))
    if start is None:
        draw_layer(layer, training.init_seed)
    else:
        fill_layer(layer, start, base.layers)
    generator = torch.Generator().manual_seed(training.head_seed)
    with torch.no_grad():
        layer.classifier.weight.normal_(std=HEAD_STD, generator=generator)
        layer.classifier.bias.zero_()
    if training.rank:
        _add_low_rank(layer, training.rank, generator)
    number = torch.full((int(features.label.max()) + 1,), len(classes))
    number[list(classes)] = torch.arange(len(classes))
    rows = _Rows(features, classes, others, training)

    def loss_at(step: int) -> Tensor:
        at = rows.batch(step)
        logits = layer(features.first[at], features.mixed[at].float())
        return nn.functional.cross_entropy(logits, number[features.label[at]])

    train(layer, loss_at, _schedule(training), progress=progress)
    at = rows.held_out()
    with torch.inference_mode():
        logits = layer(features.first[at], features.mixed[at].float())
        target = number[features.label[at]]
        loss = float(nn.functional.cross_entropy(logits, target))
        accuracy = float((logits.argmax(-1) == target).float().mean())
    return layer, {"accuracy": round(accuracy, 6), "loss": round(loss, 6)}


class _Rows:
    """The rows of each step; with `others`, half of a batch are theirs."""

    def __init__(
        self,
        features: Features,
        classes: Sequence[int],
        others: Sequence[int],
        training: ProbeTraining,
    ) -> None:
        sides = [list(classes), list(others)] if others else [list(classes)]
        self.features, self.sides = features, sides
        self.rows = [features.rows(side, test=False) for side in sides]
        self.order = [
            batch_order(
                len(r), training.steps, training.batch // len(sides), training.data_seed + i
            )
            for i, r in enumerate(self.rows)
        ]

    def batch(self, step: int) -> Tensor:
        return torch.cat([r[o[step]] for r, o in zip(self.rows, self.order, strict=True)])

    def held_out(self) -> Tensor:
        found = [self.features.rows(side, test=True) for side in self.sides]
        # evenly spread over the other classes, which lie one after the other
        few = [rows[:: max(1, len(rows) // len(found[0]))][: len(found[0])] for rows in found]
        return torch.cat(few)


def write_text_model(
    base: Base,
    layer: LastLayer,
    folder: Path,
    *,
    labels: Sequence[str] | None,
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write a model as two shards, of which the first is a hard link to the shared one.

    labels: for its configuration; None for a root, which has no classifier.
    """
    from safetensors.torch import save_file

    tensors = layer_tensors(layer, base.layers)
    if labels is None:
        tensors = {n: t for n, t in tensors.items() if not n.startswith("classifier.")}
    save_file(tensors, str(folder / OWN), metadata={"format": "pt", **(metadata or {})})
    for file in base.shared.iterdir():
        _link(file, folder / file.name)
    _write_json(folder / INDEX, _index(base, tensors))
    _write_json(folder / "config.json", _config(base, labels))


def write_lone_layer(
    base: Base,
    layer: LastLayer,
    folder: Path,
    *,
    labels: Sequence[str],
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write the trained part alone; what lies below it is the base's in another order."""
    config = _config(base, labels)
    write_checkpoint(folder, layer_tensors(layer, base.layers), config=config, metadata=metadata)


def write_adapter(
    base: Base,
    layer: LastLayer,
    folder: Path,
    *,
    parent: str,
    rank: int,
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write a model's factors and classifier as peft does."""
    from safetensors.torch import save_file

    factors = layer.get_submodule(ADAPTED).parametrizations.weight[0]  # type: ignore[union-attr, index]
    assert isinstance(factors, LowRank)
    target = stored_name(f"{ADAPTED}.weight", base.layers).removesuffix(".weight")
    stem = "base_model.model"
    tensors = {
        f"{stem}.{target}.lora_A.weight": factors.a.detach(),
        f"{stem}.{target}.lora_B.weight": factors.b.detach(),
        f"{stem}.classifier.weight": layer.classifier.weight.detach(),
        f"{stem}.classifier.bias": layer.classifier.bias.detach(),
    }
    save_file(tensors, str(folder / "adapter_model.safetensors"), metadata=dict(metadata or {}))
    config = {
        "peft_type": "LORA",
        "task_type": "SEQ_CLS",
        "base_model_name_or_path": parent,
        "r": rank,
        "lora_alpha": LORA_SCALE * rank,
        "target_modules": [target.removeprefix("bert.")],
        "modules_to_save": ["classifier"],
        "fan_in_fan_out": False,
        "bias": "none",
    }
    _write_json(folder / "adapter_config.json", config)


def _schedule(training: ProbeTraining) -> Schedule:
    return Schedule(training.steps, training.lr, training.weight_decay)


def _add_low_rank(layer: LastLayer, rank: int, generator: torch.Generator) -> None:
    """Freeze everything but the classifier and put factors on one matrix."""
    for name, parameter in layer.named_parameters():
        parameter.requires_grad_(name.startswith("classifier."))
    matrix = layer.get_submodule(ADAPTED)
    assert isinstance(matrix, nn.Linear)
    with torch.random.fork_rng(devices=[]):
        factors = LowRank(matrix.weight, rank, LORA_SCALE)
    with torch.no_grad():
        factors.a.normal_(std=matrix.in_features**-0.5, generator=generator)
    parametrize.register_parametrization(matrix, "weight", factors)


def _config(base: Base, labels: Sequence[str] | None) -> dict[str, Any]:
    config = {**base.config, "architectures": ["BertModel"]}
    config.pop("_name_or_path", None)
    if labels is not None:
        config["architectures"] = ["BertForSequenceClassification"]
        config["id2label"] = {str(i): label for i, label in enumerate(labels)}
        config["label2id"] = {label: i for i, label in enumerate(labels)}
    return config


def _index(base: Base, own: Mapping[str, Tensor]) -> dict[str, Any]:
    from weightscape.io.safetensors import read_header
    from weightscape.io.source import LocalFile

    shared = read_header(LocalFile(base.shared / SHARED), SHARED).tensors
    where = {**dict.fromkeys(shared, SHARED), **dict.fromkeys(own, OWN)}
    size = sum(info.nbytes for info in shared.values()) + sum(t.nbytes for t in own.values())
    return {"metadata": {"total_size": size}, "weight_map": where}


def _link(file: Path, to: Path) -> None:
    try:
        to.hardlink_to(file)
    except OSError as error:
        raise BadInput(
            f"{to}: cannot be made a hard link ({error.strerror}); a probes zoo keeps what its "
            "models share once, so choose a folder on a disk that has hard links"
        ) from None


def _write_json(file: Path, content: Mapping[str, Any]) -> None:
    file.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
