"""A population of tiny vision transformers with known truth, made in seconds."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from fnmatch import fnmatch
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from weightscape.errors import BadInput
from weightscape.io import write_checkpoint
from weightscape.progress import Progress, silent
from weightscape.tasks.training import Schedule, batch_order, train
from weightscape.zoo.derive import (
    appearing_whole,
    cast_model,
    copy_model,
    merge_models,
    prune_model,
    quantise_model,
)
from weightscape.zoo.digits_data import digits_data, digits_task
from weightscape.zoo.digits_model import (
    DEPTH,
    HEADS,
    WIDTH,
    DigitsViT,
    adapter_tensors,
    add_low_rank,
    merge_low_rank,
)
from weightscape.zoo.digits_plan import DigitsModel, DigitsTraining, DigitsZoo, plan_digits_zoo
from weightscape.zoo.plan import truth_of
from weightscape.zoo.truth import TRUTH_FILE, Truth, read_truth, write_truth
from weightscape.zoo.work import carry_out, claim_folder

BATCH = 48
LORA_SCALE = 2.0
Tensors = dict[str, Tensor]


def make_digits_zoo(
    folder: Path,
    *,
    shape: str = "star",
    models: int = 12,
    seed: int = 0,
    progress: Progress = silent,
    **others: Any,
) -> Truth:
    """Make a zoo of digits models in a folder and write its `truth.json`.

    `models` are fine-tuned in a forest of the wanted shape (star, chain, balanced, lopsided,
    random) beside the roots and the special ones; the other options are the fields of
    `DigitsZoo`: tasks, roots, specials, missing_base, weight_decay, base_steps, steps, lr,
    declare. The same options give the same bits on one machine. Started again on the same folder
    it goes on where it was, and leaves a finished zoo as it is.

    Raises BadInput when the options make no sense or the folder holds something else.
    """
    zoo = DigitsZoo(shape=shape, models=models, seed=seed, **others)
    plan = plan_digits_zoo(zoo)
    if (folder / TRUTH_FILE).is_file():
        truth = read_truth(folder)
        if truth.options == asdict(zoo) and truth.zoo == "digits":
            return truth
        raise BadInput(f"{folder} holds a zoo made with other options; choose another folder")
    claim_folder(folder, asdict(zoo))
    with _one_thread():
        scores = carry_out(plan, folder, DigitsMaker(zoo), cost=_cost, workers=1, progress=progress)
    missing = [planned.name for planned in plan if planned.step == "base" and zoo.missing_base]
    for name in missing:
        shutil.rmtree(folder / name, ignore_errors=True)  # or a run before this one did
    truth = truth_of("digits", plan, scores, asdict(zoo), missing=missing)
    write_truth(truth, folder)
    return truth


def load_digits_model(folder: Path) -> DigitsViT:
    """Load a whole digits model (not an adapter) for evaluation."""
    from safetensors.torch import load_file

    tensors = load_file(str(folder / "model.safetensors"))
    with torch.device("meta"):  # nothing is drawn that would be overwritten at once
        model = DigitsViT(len(tensors["classifier.weight"]))
    model.load_state_dict({name: tensor.float() for name, tensor in tensors.items()}, assign=True)
    return model.eval()


def score_digits(model: nn.Module, task: str) -> dict[str, float]:
    """Score a model on a task's held-out images."""
    data = digits_data(task)
    with torch.inference_mode():
        logits = model(data.test_images)
        loss = nn.functional.cross_entropy(logits, data.test_labels)
        accuracy = (logits.argmax(-1) == data.test_labels).float().mean()
    return {"accuracy": round(float(accuracy), 6), "loss": round(float(loss), 6)}


@dataclass(frozen=True, slots=True)
class DigitsMaker:
    """Makes one planned digits model; see `weightscape.zoo.work.Maker`."""

    zoo: DigitsZoo

    def __call__(
        self, planned: DigitsModel, folder: Path, progress: Progress
    ) -> dict[str, dict[str, float]]:
        """Make the model anew, and score it on held-out images."""
        # of a run that died before it could note that this one was finished
        shutil.rmtree(folder / planned.name, ignore_errors=True)
        with progress.stage("training", total=_cost(planned), unit="steps") as advance:
            scores = _make(planned, folder, self.zoo)
            advance(_cost(planned))
        return {planned.name: scores}


def _cost(planned: DigitsModel) -> float:
    return 1.0 if planned.training is None else float(planned.training.steps)


def _make(planned: DigitsModel, folder: Path, zoo: DigitsZoo) -> dict[str, float]:
    out = folder / planned.name
    assert planned.task is not None
    if planned.training is None:
        _derive(planned, folder)
        return score_digits(load_digits_model(out), planned.task)
    if planned.parents:
        start = load_digits_model(folder / planned.parents[0])
        model = _trained(planned.training, planned.task, start)
    else:
        model = _trained_base(planned.training, planned.task)
    scores = score_digits(model, planned.task)
    with appearing_whole(out) as whole:
        _write(model, whole, planned)
        if zoo.declare and planned.parents:
            claim = {"parent": planned.parents[0], "task": planned.task, "scores": scores}
            (whole / "provenance.json").write_text(json.dumps(claim, indent=2) + "\n")
    return scores


@lru_cache(maxsize=4)
def _trained_base(training: DigitsTraining, task: str) -> DigitsViT:
    """Train a base once a process: tests make many zoos on the same one."""
    return _trained(training, task, None)


def _trained(training: DigitsTraining, task: str, start: DigitsViT | None) -> DigitsViT:
    """Train a model from `start` (or from its own seed) with a new head, and give it."""
    data = digits_data(task)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(training.init_seed)
        model = DigitsViT(len(digits_task(task).groups))
        if start is not None:
            model.vit.load_state_dict(start.vit.state_dict())
        torch.manual_seed(training.head_seed)
        # a small head, so that the data decide where features move: with a large random one,
        # models of one task would not move alike
        nn.init.normal_(model.classifier.weight, std=0.002)
        nn.init.zeros_(model.classifier.bias)
        if training.rank:
            add_low_rank(model, rank=training.rank, scale=LORA_SCALE)
    for name, parameter in model.named_parameters():
        if any(fnmatch(name, pattern) for pattern in training.freeze):
            parameter.requires_grad_(False)
    order = batch_order(len(data.labels), training.steps, BATCH, training.data_seed)

    def loss_at(step: int) -> Tensor:
        rows = order[step]
        return nn.functional.cross_entropy(model(data.images[rows]), data.labels[rows])

    schedule = Schedule(training.steps, training.lr, training.weight_decay)
    train(model, loss_at, schedule, dropout_seed=training.dropout_seed)
    return model


def _write(model: DigitsViT, folder: Path, planned: DigitsModel) -> None:
    training = planned.training
    assert training is not None and planned.task is not None
    if training.rank and not training.merge:
        _write_adapter(model, folder, planned.parents[0], training.rank)
        return
    if training.rank:
        merge_low_rank(model)
    labels = ["".join(map(str, group)) for group in digits_task(planned.task).groups]
    config = {
        "architectures": ["DigitsViT"],
        "model_type": "digits-vit",
        "hidden_size": WIDTH,
        "num_hidden_layers": DEPTH,
        "num_attention_heads": HEADS,
        "id2label": {str(i): label for i, label in enumerate(labels)},
    }
    write_checkpoint(folder, model.state_dict(), config=config)


def _write_adapter(model: DigitsViT, folder: Path, parent: str, rank: int) -> None:
    from safetensors.torch import save

    config = {
        "peft_type": "LORA",
        "base_model_name_or_path": parent,
        "r": rank,
        "lora_alpha": LORA_SCALE * rank,
        "target_modules": ["query", "value"],
        "modules_to_save": ["classifier"],
        "fan_in_fan_out": False,
        "bias": "none",
    }
    (folder / "adapter_model.safetensors").write_bytes(save(adapter_tensors(model)))
    (folder / "adapter_config.json").write_text(json.dumps(config, indent=2) + "\n")


def _derive(planned: DigitsModel, folder: Path) -> None:
    out = folder / planned.name
    parents = [folder / parent for parent in planned.parents]
    if planned.step == "merge":
        merge_models(parents, out, weights=(0.6, 0.4))
        return
    makers = {
        "copy": copy_model,
        "cast": cast_model,
        "quantise": quantise_model,
        "prune": prune_model,
    }
    makers[planned.step](parents[0], out)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Make sums come out in one order, whatever the machine; tiny models gain nothing by more."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
