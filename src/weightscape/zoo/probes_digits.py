"""Digits models of a probes zoo: tiny vision transformers that know half of the digits."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor, nn

from weightscape.io import write_checkpoint
from weightscape.progress import Progress, silent
from weightscape.tasks.training import Schedule, batch_order, train
from weightscape.zoo.digits import load_digits_model
from weightscape.zoo.digits_data import BASE_TASK, DigitsData, digits_data
from weightscape.zoo.digits_model import DEPTH, HEADS, WIDTH, DigitsViT
from weightscape.zoo.probes_plan import ProbeTraining

HEAD_STD = 0.002


def train_digits_model(
    training: ProbeTraining, start: Path | None, progress: Progress = silent
) -> tuple[DigitsViT, dict[str, float]]:
    """Train a model on its digits and score it on held-out images of them.

    start: whose backbone it starts from; None for one drawn from the training's own seed.
    """
    digits = [int(name.removeprefix("digit ")) for name in training.classes]
    data = _of_digits(tuple(digits))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(training.init_seed)
        model = DigitsViT(len(digits))
    if start is not None:
        model.vit.load_state_dict(load_digits_model(start).vit.state_dict())
    with torch.no_grad():
        generator = torch.Generator().manual_seed(training.head_seed)
        model.classifier.weight.normal_(std=HEAD_STD, generator=generator)
        model.classifier.bias.zero_()
    order = batch_order(len(data.labels), training.steps, training.batch, training.data_seed)

    def loss_at(step: int) -> Tensor:
        rows = order[step]
        return nn.functional.cross_entropy(model(data.images[rows]), data.labels[rows])

    schedule = Schedule(training.steps, training.lr, training.weight_decay)
    train(model, loss_at, schedule, dropout_seed=training.data_seed, progress=progress)
    with torch.inference_mode():
        logits = model(data.test_images)
        loss = float(nn.functional.cross_entropy(logits, data.test_labels))
        accuracy = float((logits.argmax(-1) == data.test_labels).float().mean())
    return model, {"accuracy": round(accuracy, 6), "loss": round(loss, 6)}


def write_digits_model(
    model: DigitsViT,
    folder: Path,
    *,
    labels: Sequence[str],
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write a model as a folder of its own; it is too small to share anything."""
    config = {
        "architectures": ["DigitsViT"],
        "model_type": "digits-vit",
        "hidden_size": WIDTH,
        "num_hidden_layers": DEPTH,
        "num_attention_heads": HEADS,
        "id2label": {str(i): label for i, label in enumerate(labels)},
    }
    write_checkpoint(folder, model.state_dict(), config=config, metadata=metadata)


@lru_cache(maxsize=16)
def _of_digits(digits: tuple[int, ...]) -> DigitsData:
    data = digits_data(BASE_TASK)
    number = torch.full((10,), -1)
    number[list(digits)] = torch.arange(len(digits))
    train_rows, test_rows = number[data.labels] >= 0, number[data.test_labels] >= 0
    return DigitsData(
        data.images[train_rows],
        number[data.labels[train_rows]],
        data.test_images[test_rows],
        number[data.test_labels[test_rows]],
    )
