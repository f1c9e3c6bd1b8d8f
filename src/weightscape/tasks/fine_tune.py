"""Fine-tune a model on a task into an ordinary model folder that says where it came from."""

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

import weightscape
from weightscape.errors import BadInput, WeightscapeError
from weightscape.io import open_checkpoint
from weightscape.io.layout import ADAPTER_CONFIG
from weightscape.progress import Progress, silent
from weightscape.tasks.adapters import load_adapter
from weightscape.tasks.arguments import differing
from weightscape.tasks.bases import is_adapter
from weightscape.tasks.batches import collate
from weightscape.tasks.dynamics import DynamicsRecorder, write_dynamics
from weightscape.tasks.early_stopping import EarlyStopping
from weightscape.tasks.evaluate import autocasting, evaluate
from weightscape.tasks.evaluation import Evaluation
from weightscape.tasks.fine_tuning import FineTuning
from weightscape.tasks.fingerprint import task_fingerprint
from weightscape.tasks.kinds import score_batch
from weightscape.tasks.live import LiveModel
from weightscape.tasks.methods import attach
from weightscape.tasks.models import usable_device
from weightscape.tasks.result_folder import write_model
from weightscape.tasks.starts import load_start, mark_of, name_of
from weightscape.tasks.task import Task
from weightscape.tasks.training import Resume, Schedule, Watcher, batch_order, train

__all__ = ["FineTuned", "FineTuning", "Scores", "fine_tune"]

PROVENANCE = "provenance.json"


@dataclass(frozen=True, slots=True)
class Scores:
    """Scores on held-out rows: mean loss, metrics by name, and on how many rows."""

    loss: float
    metrics: Mapping[str, float]
    rows: int


@dataclass(frozen=True, slots=True)
class FineTuned:
    """A finished model folder, its scores, and how its training ended.

    best_step: whose weights these are, where the validation loss was watched; None otherwise.
    stopped_after: how many steps were done then.
    """

    folder: Path
    scores: Scores
    best_step: int | None = None
    stopped_after: int | None = None


def fine_tune(
    start: str | Path | LiveModel,
    task: Task,
    out: Path,
    how: FineTuning = FineTuning(),
    *,
    parent: str | None = None,
    declare: bool = True,
    score_rows: int | None = 512,
    device: str | torch.device | None = None,
    progress: Progress = silent,
) -> FineTuned:
    """Fine-tune a model on a task's training rows and write it as the folder `out`.

    start: a model folder, or a model that is up already, any module of which a copy is trained.
    A LoRA's folder is merged into its base first. The folder appears whole or not at all. A
    training that was killed goes on where its state was last written and ends with the same bits;
    a result that is there already is only read, or scored where it declares nothing.
    `declare` writes `provenance.json` (parent, task, arguments, scores) beside the weights;
    `parent` is the name used there and in adapters, the start's own name by default (its path, for
    an adapter that does not lie beside it). Scores are
    on `score_rows` rows of the test split (of the validation split where there is no other).
    device: CUDA by default where there is some.

    Raises BadInput when `freeze` leaves nothing or matches nothing, when the loss is not finite,
    or when `out` is there and no result of these arguments, or its unfinished state is of others.
    """
    out = Path(out)
    work = out.parent / f".{out.name}.training"
    # an adapter is of use only to who finds its base
    parent = parent or name_of(start, beside=out if how.writes_adapter else None)
    claim = {
        "parent": parent,
        "task": task.name,
        "task_fingerprint": task_fingerprint(task),
        "method": how.method,
        "arguments": asdict(how),
    }
    _scored_split(task)
    check_out(out, declare=declare)
    if not out.is_dir():
        _check_start(start, how)
        place = _device(start, device)
        model = attach(load_start(start, task, init_seed=how.init_seed), how, task)
        model.module.to(place)
        resume = Resume(work / "state.pt", _identity(claim, start))
        with _leaving_nothing(work, unless=resume.file.exists()):
            (work / "model").mkdir(parents=True, exist_ok=True)
            ended = _train(model, task, how, resume, progress)
            scores = _score(model, task, score_rows, progress)
        write_model(model, work / "model", parent=parent, merge=how.merge)
        if declare:
            told = {
                "labels": list(task.labels),
                "scores": _flat(scores),
                "weightscape": weightscape.__version__,
            }
            text = json.dumps({**claim, **ended, **told}, indent=2)
            (work / "model" / PROVENANCE).write_text(text + "\n")
        (work / "model").rename(out)
        shutil.rmtree(work)
        return FineTuned(out, scores, **ended)
    shutil.rmtree(work, ignore_errors=True)
    return _finished(out, claim) or FineTuned(
        out, _score(_reopened(out, start, task, device), task, score_rows, progress)
    )


def check_out(out: Path, *, declare: bool = True) -> None:
    """Refuse an output that is there and cannot be what `fine_tune` made; raises BadInput."""
    if out.exists() and (not out.is_dir() or (declare and not (out / PROVENANCE).is_file())):
        raise BadInput(
            f"{out} exists and is not a result of this command (it has no {PROVENANCE}); choose "
            "another output folder"
        )


def _check_start(start: str | Path | LiveModel, how: FineTuning) -> None:
    if not isinstance(start, LiveModel) and how.writes_adapter and is_adapter(Path(start)):
        raise BadInput(
            f"{start} is an adapter, and the method {how.method!r} would put another one on it; "
            "write a whole model of it first (method 'full', 'bitfit' or 'head'), or start from "
            "its base"
        )


def _train(
    model: LiveModel, task: Task, how: FineTuning, resume: Resume, progress: Progress
) -> dict[str, int]:
    """Train in place; tell how it ended, where a validation loss decided that."""
    rows = task.rows("train")
    order = batch_order(len(rows), how.steps, how.batch, how.data_seed)
    dtype = torch.bfloat16 if how.autocast else None
    device, folder = model.device, resume.file.parent / "model"

    def loss_at(step: int) -> torch.Tensor:
        batch = collate(model.processor, [rows[i] for i in order[step]], task).to(device)
        with autocasting(device, dtype):
            return score_batch(model.module, batch, task).losses.mean()

    def save_checkpoint(done: int) -> None:
        if how.save_every and done % how.save_every == 0 and done < how.steps:
            parent = json.loads(resume.identity)["parent"]
            write_model(model, folder / f"checkpoint-{done}", parent=parent, merge=how.merge)

    early = _early_stopping(model, task, how, dtype)
    recorder = None
    if how.record_dynamics:
        recorder = DynamicsRecorder(
            model, task, every=how.record_dynamics, limit=how.dynamics_rows, autocast=dtype
        )
    watchers: list[Watcher] = [it for it in (early, recorder) if it is not None]
    done = train(
        model.module,
        loss_at,
        Schedule(
            how.steps, how.lr, how.weight_decay, how.warmup, how.clip, how.schedule, how.optimiser
        ),
        dropout_seed=how.dropout_seed,
        resume=resume,
        watchers=watchers,
        after_step=save_checkpoint,
        progress=progress,
    )
    if recorder is not None:
        write_dynamics(folder, recorder.recorded())
    if early is None:
        return {}
    early.restore_best()
    return {"best_step": early.step, "stopped_after": done}


def _early_stopping(
    model: LiveModel, task: Task, how: FineTuning, dtype: torch.dtype | None
) -> EarlyStopping | None:
    if how.evaluate_every is None:
        return None
    if how.evaluate_every > how.steps:
        raise BadInput(f"evaluate_every {how.evaluate_every} is more than the {how.steps} steps")
    task.rows("validation")

    def look() -> float:
        limit = how.validation_rows
        return evaluate(model, task, split="validation", limit=limit, autocast=dtype).loss

    return EarlyStopping(model.module, look, every=how.evaluate_every, patience=how.patience)


@contextmanager
def _leaving_nothing(work: Path, *, unless: bool) -> Iterator[None]:
    """Remove an unfinished folder after an error of the user's; a state from before stays."""
    try:
        yield
    except WeightscapeError:
        if not unless:
            shutil.rmtree(work, ignore_errors=True)
        raise


def _scored_split(task: Task) -> str:
    split = "test" if task.splits.get("test") else "validation"
    task.rows(split)
    return split


def _score(model: LiveModel, task: Task, rows: int | None, progress: Progress) -> Scores:
    found: Evaluation = evaluate(
        model, task, split=_scored_split(task), limit=rows, progress=progress
    )
    return Scores(found.loss, dict(found.metrics), len(found.rows))


def _flat(scores: Scores) -> dict[str, float]:
    return {**scores.metrics, "loss": scores.loss, "rows": scores.rows}


def _finished(out: Path, claim: Mapping[str, Any]) -> FineTuned | None:
    """Read what a finished folder says of itself; None where it says nothing."""
    if not (out / PROVENANCE).is_file():
        return None
    told = json.loads((out / PROVENANCE).read_text())
    # a version that told less, and knew fewer arguments, did what their defaults do now
    told.setdefault("task_fingerprint", claim["task_fingerprint"])
    told["arguments"] = asdict(FineTuning()) | told.get("arguments", {})
    apart = differing({key: told.get(key) for key in claim}, claim)
    if apart:
        raise BadInput(
            f"{out} was made with other arguments ({apart}); choose another output folder"
        )
    scores = dict(told["scores"])
    loss, rows = scores.pop("loss"), scores.pop("rows")
    found = Scores(loss, scores, rows)
    return FineTuned(out, found, told.get("best_step"), told.get("stopped_after"))


def _reopened(
    out: Path, start: str | Path | LiveModel, task: Task, device: str | torch.device | None
) -> LiveModel:
    """Bring up a finished model that does not tell its scores."""
    if (out / ADAPTER_CONFIG).is_file() or isinstance(start, LiveModel):
        model = load_start(start, task)
    else:
        model = load_start(out, task)
    if (out / ADAPTER_CONFIG).is_file():
        module, _ = load_adapter(model.module, out)
        model = LiveModel(model.name, module, model.processor, tokenizer=model.tokenizer)
    elif isinstance(start, LiveModel):
        with open_checkpoint(out) as stored:
            names = [*stored.tensors, *stored.tied]
            model.module.load_state_dict({name: stored.tensor(name) for name in names})
    model.module.to(_device(start, device))
    return model


def _device(start: str | Path | LiveModel, wanted: str | torch.device | None) -> torch.device:
    if wanted is None and isinstance(start, LiveModel):
        return start.device
    return usable_device(wanted)


def _identity(claim: Mapping[str, Any], start: str | Path | LiveModel) -> str:
    return json.dumps({**claim, "start": mark_of(start)}, sort_keys=True)
