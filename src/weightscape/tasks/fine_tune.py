"""Fine-tune a text classifier into an ordinary model folder."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

import weightscape
from weightscape.errors import BadInput
from weightscape.io import write_checkpoint
from weightscape.progress import Progress, silent
from weightscape.tasks import low_rank
from weightscape.tasks.evaluate import Scores, encode, evaluate
from weightscape.tasks.models import (
    config_dict,
    default_device,
    load_classifier,
    load_tokenizer,
    tokenizer_files,
)
from weightscape.tasks.task import Task
from weightscape.tasks.training import Resume, Schedule, batch_order, train


@dataclass(frozen=True, slots=True)
class FineTuning:
    """How a model is fine-tuned.

    method: "full" trains every weight that `freeze` leaves; "lora" trains low-rank factors and
    writes an adapter folder, or with `merge` a whole model that has taken the adapter in.
    freeze: shell patterns of parameter names that stay as they are ("*embeddings*").
    The three seeds draw the initialisation (head, adapter), the order of the data, and dropout,
    apart from one another.
    save_every: also write a `checkpoint-N` folder each so many steps.
    """

    method: Literal["full", "lora"] = "full"
    freeze: tuple[str, ...] = ()
    init_seed: int = 0
    data_seed: int = 0
    dropout_seed: int = 0
    lr: float = 1e-4
    steps: int = 100
    batch: int = 16
    weight_decay: float = 0.01
    rank: int = 8
    merge: bool = False
    save_every: int | None = None


@dataclass(frozen=True, slots=True)
class FineTuned:
    """A finished model folder and its scores on held-out rows."""

    folder: Path
    scores: Scores


def fine_tune(
    start: Path,
    task: Task,
    out: Path,
    how: FineTuning = FineTuning(),
    *,
    parent: str | None = None,
    declare: bool = True,
    score_rows: int | None = 512,
    progress: Progress = silent,
) -> FineTuned:
    """Fine-tune the model in folder `start` on a task and write it as the folder `out`.

    The folder appears whole or not at all. A training that was killed goes on where its state was
    last written and ends with the same bits; a folder that is there already is only scored.
    `declare` writes `provenance.json` (parent, task, arguments, scores) beside the weights;
    `parent` is the name used there and in adapters, the folder's own name by default.

    Raises BadInput when `freeze` leaves nothing or matches nothing, when the loss is not finite,
    or when `out` or its unfinished state belongs to other arguments.
    """
    work = out.parent / f".{out.name}.training"
    parent = parent or start.name
    claim = {"parent": parent, "task": task.name, "method": how.method, "arguments": asdict(how)}
    if not out.is_dir():
        tokenizer = load_tokenizer(start)
        model = _prepare(start, task, how)
        (work / "model").mkdir(parents=True, exist_ok=True)
        _train(model, tokenizer, task, how, start, work, claim, progress)
        scores = evaluate(model, tokenizer, task, limit=score_rows, progress=progress)
        _write(model, how, work / "model", start, parent)
        if declare:
            stamp = {**claim, "scores": asdict(scores), "weightscape": weightscape.__version__}
            (work / "model" / "provenance.json").write_text(json.dumps(stamp, indent=2) + "\n")
        (work / "model").rename(out)
        shutil.rmtree(work)
        return FineTuned(out, scores)
    shutil.rmtree(work, ignore_errors=True)
    return FineTuned(out, _scores_of(out, claim, start, task, score_rows))


def _prepare(start: Path, task: Task, how: FineTuning) -> nn.Module:
    model = load_classifier(start, task.labels, init_seed=how.init_seed)
    if how.method == "lora":
        model = low_rank.add_factors(model, rank=how.rank, seed=how.init_seed)
    for pattern in how.freeze:
        frozen = [p for name, p in model.named_parameters() if fnmatch(name, pattern)]
        if not frozen:
            raise BadInput(f"the freeze pattern {pattern!r} matches no parameter of {start}")
        for parameter in frozen:
            parameter.requires_grad_(False)
    if not any(p.requires_grad for p in model.parameters()):
        raise BadInput(f"freezing {list(how.freeze)} leaves nothing of {start} to train")
    return model.to(default_device())


def _train(
    model: nn.Module,
    tokenizer: Any,
    task: Task,
    how: FineTuning,
    start: Path,
    work: Path,
    claim: Mapping[str, Any],
    progress: Progress,
) -> None:
    rows = task.rows("train")
    order = batch_order(len(rows), how.steps, how.batch, how.data_seed)
    device = next(model.parameters()).device

    def loss_at(step: int) -> torch.Tensor:
        batch = encode(tokenizer, [rows[i] for i in order[step]], task.max_tokens)
        loss: torch.Tensor = model(**{name: part.to(device) for name, part in batch.items()}).loss
        return loss

    def save_checkpoint(done: int) -> None:
        if how.save_every and done % how.save_every == 0 and done < how.steps:
            _write(model, how, work / "model" / f"checkpoint-{done}", start, claim["parent"])

    identity = json.dumps({**claim, "start": _size_and_name(start)}, sort_keys=True)
    train(
        model,
        loss_at,
        Schedule(steps=how.steps, lr=how.lr, weight_decay=how.weight_decay),
        dropout_seed=how.dropout_seed,
        resume=Resume(work / "state.pt", identity),
        after_step=save_checkpoint,
        progress=progress,
    )


def _write(model: nn.Module, how: FineTuning, folder: Path, start: Path, parent: str) -> None:
    if how.method == "lora" and not how.merge:
        low_rank.write_adapter(model, folder, parent=parent)
        return
    whole = low_rank.merged(model) if how.method == "lora" else model
    write_checkpoint(
        folder,
        {name: tensor.cpu() for name, tensor in whole.state_dict().items()},
        config=config_dict(whole),
        extra_files=tokenizer_files(start),
        overwrite=True,  # a run that was killed while it wrote may have left one
    )


def _scores_of(
    out: Path, claim: Mapping[str, Any], start: Path, task: Task, rows: int | None
) -> Scores:
    provenance = out / "provenance.json"
    if provenance.is_file():
        told = json.loads(provenance.read_text())
        if any(told.get(key) != value for key, value in _as_json(claim).items()):
            raise BadInput(f"{out} was made with other arguments; choose another output folder")
        return Scores(**told["scores"])
    if (out / "adapter_config.json").is_file():
        model = low_rank.load_adapter(load_classifier(start, task.labels), out)
    else:
        model = load_classifier(out, task.labels)
    return evaluate(model.to(default_device()), load_tokenizer(start), task, limit=rows)


def _as_json(claim: Mapping[str, Any]) -> dict[str, Any]:
    as_read: dict[str, Any] = json.loads(json.dumps(claim))
    return as_read


def _size_and_name(folder: Path) -> list[Any]:
    weights = sorted(folder.glob("*.safetensors")) + sorted(folder.glob("*.bin"))
    return [(file.name, file.stat().st_size) for file in weights]
