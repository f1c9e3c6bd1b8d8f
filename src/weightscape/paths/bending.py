"""Bends for a curve: trained once, kept, written as checkpoints, and taken up again."""

import io
import json
import logging
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xxhash
from torch import Tensor

from weightscape.catalog.locks import file_lock
from weightscape.io.json_files import read_json
from weightscape.io.walk import MADE_FILE
from weightscape.paths.bends import BendTraining, Trained, add_bends, told, train_bends
from weightscape.paths.curve_loss import losses_of_rows, training_loss, validation_loss
from weightscape.paths.curves import Curve
from weightscape.paths.records import BendsTrained
from weightscape.progress import Progress, silent
from weightscape.tasks.adapters import write_adapter
from weightscape.tasks.bases import find_base
from weightscape.tasks.fingerprint import task_fingerprint
from weightscape.tasks.live import LiveModel
from weightscape.tasks.models import companion_files, config_dict
from weightscape.tasks.objective import Scoring
from weightscape.tasks.spanning import SpannedModels
from weightscape.tasks.task import Task
from weightscape.tasks.training import Resume

log = logging.getLogger(__name__)

_KEPT = "bends.pt"
_STATE = "state.pt"


def bend(
    spanned: SpannedModels,
    curve: Curve,
    task: Task,
    how: BendTraining,
    scoring: Scoring,
    *,
    folder: Path | None = None,
    progress: Progress = silent,
) -> tuple[SpannedModels, BendsTrained]:
    """Train the bends of a curve between two models; give the span with them in it.

    With a folder they are kept in `bends-<hash of all that they follow from>` in it, each also as
    a checkpoint of its own (`bend-1`, ...); a second call takes them from there, and a training
    that was killed goes on where its state was last written. A second process that asks for the
    same bends meanwhile waits for them.
    """
    if folder is None:
        tensors, trained = _train(spanned, curve, task, how, scoring, None, progress)
        return _bent(spanned, tensors), _told(trained, (), how, curve)
    identity = _identity(spanned, curve, task, how, scoring)
    home = folder / f"bends-{xxhash.xxh3_64_hexdigest(identity.encode())}"
    home.mkdir(parents=True, exist_ok=True)
    (home / MADE_FILE).touch()

    def waiting(_: str) -> None:
        progress.note("waiting for another process that trains the same bends")

    with file_lock(home / "lock", waiting):
        kept = _read(home / _KEPT, identity)
        if kept is None:
            resume = Resume(_sound(home / _STATE), identity, how.save_every)
            kept = _train(spanned, curve, task, how, scoring, resume, progress)
            _write(home / _KEPT, identity, *kept)
            (home / _STATE).unlink(missing_ok=True)
        tensors, trained = kept
        bent = _bent(spanned, tensors)
        folders = tuple(_export(bent, number, home) for number in range(1, curve.bends + 1))
    return bent, _told(trained, folders, how, curve)


def _bent(spanned: SpannedModels, tensors: Sequence[Mapping[str, Tensor]]) -> SpannedModels:
    for number, one in enumerate(tensors, 1):
        spanned = spanned.with_model(f"bend {number}", one)
    return spanned


def _told(
    trained: Trained, folders: tuple[str, ...], how: BendTraining, curve: Curve
) -> BendsTrained:
    arguments = told(how, curve)
    return BendsTrained(trained.losses, trained.validation, trained.chosen_step, folders, arguments)


def _train(
    spanned: SpannedModels,
    curve: Curve,
    task: Task,
    how: BendTraining,
    scoring: Scoring,
    resume: Resume | None,
    progress: Progress,
) -> tuple[list[Mapping[str, Tensor]], Trained]:
    bent = add_bends(spanned, curve, how)
    losses = losses_of_rows(bent, task, scoring)
    trained = train_bends(
        bent,
        curve,
        how,
        training_loss(bent, task, how, losses, scoring),
        validation_loss(bent, curve, task, how, losses, scoring),
        resume=resume,
        progress=progress,
    )
    return [bent.span.held(2 + i) for i in range(curve.bends)], trained


def _identity(
    spanned: SpannedModels, curve: Curve, task: Task, how: BendTraining, scoring: Scoring
) -> str:
    return json.dumps(
        {
            "ends": spanned.fingerprints,
            "surroundings": spanned.surroundings,
            "head": spanned.head,
            "task": task_fingerprint(task),
            "training": told(how, curve),
            "train_limit": scoring.train_limit,
            "autocast": str(scoring.autocast),
        },
        sort_keys=True,
    )


def _write(file: Path, identity: str, tensors: list[Mapping[str, Tensor]], how: Trained) -> None:
    content = io.BytesIO()  # so that a full disk is an error of the file, and has its name
    torch.save(
        {
            "identity": identity,
            "bends": [
                {name: tensor.detach().cpu() for name, tensor in one.items()} for one in tensors
            ],
            "losses": how.losses.tolist(),
            "validation": [list(look) for look in how.validation],
            "chosen_step": how.chosen_step,
        },
        content,
    )
    half = file.with_suffix(".half")
    try:
        half.write_bytes(content.getbuffer())
        half.replace(file)
    except BaseException:
        half.unlink(missing_ok=True)
        raise


def _read(file: Path, identity: str) -> tuple[list[Mapping[str, Tensor]], Trained] | None:
    stored = _loaded(file)
    if stored is None:
        return None
    try:
        if stored["identity"] != identity:
            raise ValueError
        trained = Trained(
            np.array(stored["losses"], dtype=np.float64),
            tuple((int(step), float(loss)) for step, loss in stored["validation"]),
            int(stored["chosen_step"]),
        )
        bends: list[Mapping[str, Tensor]] = [dict(one) for one in stored["bends"]]
    except (KeyError, TypeError, ValueError):
        log.warning("%s holds something else; its bends are trained anew", file)
        return None
    return bends, trained


def _sound(state: Path) -> Path:
    """Clear the state of a training away if it cannot be read, so that the training begins anew."""
    if state.is_file() and _loaded(state) is None:
        state.unlink()
    return state


def _loaded(file: Path) -> Any:
    """Load what was kept; None where nothing is, or nothing that is whole."""
    if not file.is_file():
        return None
    try:
        return torch.load(file, weights_only=True, map_location="cpu")
    except Exception:  # a damaged zip makes its readers raise about anything, OSError included
        log.warning("%s is damaged; its bends are trained anew", file)
        return None


def _export(spanned: SpannedModels, number: int, home: Path) -> str:
    """Write a bend as a checkpoint (an adapter's as an adapter) unless it is there; name it."""
    folder = home / f"bend-{number}"
    if folder.is_dir():
        return str(folder)
    half = home / f".bend-{number}"
    shutil.rmtree(half, ignore_errors=True)
    half.mkdir()
    try:
        _fill(half, spanned, number)
        half.rename(folder)
    except BaseException:
        shutil.rmtree(half, ignore_errors=True)
        raise
    return str(folder)


def _fill(half: Path, spanned: SpannedModels, number: int) -> None:
    model, point = spanned.model, spanned.span.vertex(1 + number)
    if model.adapted is not None:
        spanned.span.write(point, model.module)
        parent = "" if model.folder is None else str(find_base(model.folder))
        write_adapter(model.module, half, parent=parent, names=model.adapted)
    else:
        files = {} if model.folder is None else companion_files(model.folder)
        spanned.span.export(point, half, config=_config(model), extra_files=files)
    labels = None if spanned.head == "probe" else model.labels
    told = {"bend_between": spanned.names[:2], "labels": labels}
    (half / "provenance.json").write_text(json.dumps(told, indent=2) + "\n")


def _config(model: LiveModel) -> dict[str, Any]:
    """Give what config.json should say: above all which labels the head was made for."""
    if hasattr(getattr(model.module, "config", None), "to_dict"):
        return config_dict(model.module)
    stored = None if model.folder is None else model.folder / "config.json"
    if stored is not None and stored.is_file():
        return dict(read_json(stored))
    labels = {} if model.labels is None else dict(enumerate(model.labels))
    return {"architectures": [type(model.module).__name__], "id2label": labels}
