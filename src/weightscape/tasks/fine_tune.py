"""Fine-tune a text classifier into an ordinary model folder."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

import weightscape
from weightscape.errors import BadInput
from weightscape.io import write_checkpoint
from weightscape.progress import Progress, silent
from weightscape.tasks.adapters import load_adapter, merge_adapter, write_adapter
from weightscape.tasks.early_stopping import EarlyStopping
from weightscape.tasks.evaluate import Scores, encode, evaluate
from weightscape.tasks.fine_tuning import FineTuning
from weightscape.tasks.live import LiveModel
from weightscape.tasks.methods import attach
from weightscape.tasks.models import (
    config_dict,
    default_device,
    head_modules,
    load_classifier,
    load_tokenizer,
    tokenizer_files,
)
from weightscape.tasks.task import Task
from weightscape.tasks.training import Resume, Schedule, Watcher, batch_order, train

__all__ = ["FineTuned", "FineTuning", "fine_tune"]


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
        model = attach(_load(start, task, how), how, kind=task.kind)
        (work / "model").mkdir(parents=True, exist_ok=True)
        told = _train(model, task, how, work, claim, progress)
        scores = evaluate(model.module, model.tokenizer, task, limit=score_rows, progress=progress)
        _write(model, how, work / "model", parent)
        if declare:
            stamp = {
                **claim, **told, "scores": asdict(scores), "weightscape": weightscape.__version__
            }  # fmt: skip
            (work / "model" / "provenance.json").write_text(json.dumps(stamp, indent=2) + "\n")
        (work / "model").rename(out)
        shutil.rmtree(work)
        return FineTuned(out, scores)
    shutil.rmtree(work, ignore_errors=True)
    return FineTuned(out, _scores_of(out, claim, start, task, score_rows))


def _load(start: Path, task: Task, how: FineTuning) -> LiveModel:
    module = load_classifier(start, task.labels, init_seed=how.init_seed).to(default_device())
    heads = head_modules(module)
    prefixes = tuple(name for name, part in module.named_children() if part in heads)
    tokenizer = load_tokenizer(start)
    return LiveModel(
        str(start), module, tokenizer, task.labels, prefixes, folder=start, tokenizer=tokenizer
    )


def _train(
    model: LiveModel,
    task: Task,
    how: FineTuning,
    work: Path,
    claim: Mapping[str, Any],
    progress: Progress,
) -> dict[str, Any]:
    """Train in place; tell what is worth knowing about how it went."""
    rows = task.rows("train")
    order = batch_order(len(rows), how.steps, how.batch, how.data_seed)
    device = model.device

    def loss_at(step: int) -> torch.Tensor:
        batch = encode(model.tokenizer, [rows[i] for i in order[step]], task.max_tokens)
        inputs = {name: part.to(device) for name, part in batch.items()}
        with torch.autocast(device.type, torch.bfloat16, enabled=how.autocast):
            loss: torch.Tensor = model.module(**inputs).loss
        return loss

    def validation_loss() -> float:
        return evaluate(
            model.module, model.tokenizer, task, split="validation", limit=how.validation_rows
        ).loss

    def save_checkpoint(done: int) -> None:
        if how.save_every and done % how.save_every == 0 and done < how.steps:
            _write(model, how, work / "model" / f"checkpoint-{done}", claim["parent"])

    watchers: list[Watcher] = []
    early = None
    if how.evaluate_every:
        task.rows("validation")
        early = EarlyStopping(
            model.module, validation_loss, every=how.evaluate_every, patience=how.patience
        )
        watchers.append(early)
    identity = json.dumps({**claim, "start": _size_and_name(model.folder)}, sort_keys=True)
    done = train(
        model.module,
        loss_at,
        Schedule(
            how.steps, how.lr, how.weight_decay, how.warmup, how.clip, how.schedule, how.optimiser
        ),
        dropout_seed=how.dropout_seed,
        resume=Resume(work / "state.pt", identity),
        watchers=watchers,
        after_step=save_checkpoint,
        progress=progress,
    )
    if early is None:
        return {}
    early.restore_best()
    return {"stopped_after": done, "best_step": early.step, "best_validation_loss": early.loss}


def _write(model: LiveModel, how: FineTuning, folder: Path, parent: str) -> None:
    if how.writes_adapter:
        write_adapter(model.module, folder, parent=parent)
        return
    whole = merge_adapter(model.module) if how.merge else model.module
    write_checkpoint(
        folder,
        {name: tensor.cpu() for name, tensor in whole.state_dict().items()},
        config=config_dict(whole),
        extra_files=tokenizer_files(model.folder) if model.folder else {},
        overwrite=True,  # a run that was killed while it wrote may have left one
    )


def _scores_of(
    out: Path, claim: Mapping[str, Any], start: Path, task: Task, rows: int | None
) -> Scores:
    provenance = out / "provenance.json"
    if provenance.is_file():
        told = json.loads(provenance.read_text())
        # a version that knew fewer arguments did what their defaults do now
        told["arguments"] = asdict(FineTuning()) | told.get("arguments", {})
        if any(_as_json(told.get(key)) != value for key, value in _as_json(claim).items()):
            raise BadInput(f"{out} was made with other arguments; choose another output folder")
        return Scores(**told["scores"])
    if (out / "adapter_config.json").is_file():
        model, _ = load_adapter(load_classifier(start, task.labels), out)
    else:
        model = load_classifier(out, task.labels)
    return evaluate(model.to(default_device()), load_tokenizer(start), task, limit=rows)


def _as_json(claim: Any) -> Any:
    return json.loads(json.dumps(claim))


def _size_and_name(folder: Path | None) -> list[Any]:
    if folder is None:
        return []
    weights = sorted(folder.glob("*.safetensors")) + sorted(folder.glob("*.bin"))
    return [(file.name, file.stat().st_size) for file in weights]
