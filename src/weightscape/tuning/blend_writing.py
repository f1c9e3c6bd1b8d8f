"""A blend as an ordinary model folder that says what it was made of."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import weightscape
from weightscape.io import write_checkpoint
from weightscape.tasks.fingerprint import task_fingerprint
from weightscape.tasks.live import LiveModel
from weightscape.tasks.made_folder import MADE_FOR, PROVENANCE, in_place_of
from weightscape.tasks.models import companion_files, config_for
from weightscape.tasks.result_folder import on_cpu
from weightscape.tasks.spanning import SpannedModels
from weightscape.tasks.task import Task
from weightscape.tuning.adapting import home_of
from weightscape.tuning.moving import with_layers
from weightscape.tuning.records import Weights
from weightscape.tuning.space_choice import weights_by_name


def write_blend(
    spanned: SpannedModels,
    weights: Weights,
    task: Task,
    out: str | Path,
    told: Mapping[str, Any],
    *,
    layers: Mapping[str, int] | None = None,
    groups: Sequence[str] = (),
) -> Path:
    """Write a blend exactly, head and all, with the recipe of its making; return the folder.

    Every tensor is the float64 sum rounded once. `provenance.json` has the parents with their
    weights (their means, where layer groups have their own: those are in it too) and where they
    were, the task, and what is told besides. A blend for the same task that is there is replaced,
    if nobody has put anything in its folder or trained in it since; the folder appears whole or
    not at all.

    layers: moving tensor to group number, for weights [groups, models]. groups: what each is
    called. Raises BadInput for a folder that has something else.
    """
    out = Path(out)
    live = spanned.model
    exact = spanned if np.ndim(weights) == 1 else with_layers(spanned, layers or {})
    files = {PROVENANCE: _provenance(spanned, weights, task, told, groups), **_companions(live)}
    with in_place_of(out, task) as folder:
        exact.span.export(
            weights[..., 1:], folder, config=config_for(live, task), extra_files=files
        )
    return out


def write_refitted(model: LiveModel, why: str, task: Task, out: str | Path) -> Path:
    """Put a blend that was fine-tuned further in the place of the blend; return the folder.

    Its `provenance.json` is the blend's, and says what was done to it since. Raises BadInput where
    `out` is no blend for the task, or somebody has worked on it.
    """
    out = Path(out)
    told = json.loads((out / PROVENANCE).read_text("utf-8"))
    told |= {"kind": "refitted blend", "refitted": why}
    del told["scores"]  # of the blend as it was
    files = {PROVENANCE: (json.dumps(told, indent=2) + "\n").encode(), **_companions(model)}
    state = on_cpu(model.module.state_dict())
    with in_place_of(out, task) as folder:
        write_checkpoint(
            folder, state, config=config_for(model, task), extra_files=files, overwrite=True
        )
    return out


def _provenance(
    spanned: SpannedModels,
    weights: Weights,
    task: Task,
    told: Mapping[str, Any],
    groups: Sequence[str],
) -> bytes:
    rows = np.atleast_2d(weights)
    said: dict[str, Any] = {
        "kind": "blend",
        "parents": weights_by_name(spanned.names, rows.mean(axis=0).tolist()),
        "places": dict(zip(spanned.names, spanned.places, strict=True)),
        "fingerprints": dict(zip(spanned.names, spanned.fingerprints, strict=True)),
        MADE_FOR: f"the best weights that were found for task {task.name}",
        "task": task.name,
        "task_fingerprint": task_fingerprint(task),
        "labels": list(task.labels),
        "weightscape": weightscape.__version__,
        **told,
    }
    if np.ndim(weights) == 2:
        said["layers"] = [
            {"group": name, "weights": weights_by_name(spanned.names, row.tolist())}
            for name, row in zip(groups or map(str, range(len(rows))), rows, strict=True)
        ]
    return (json.dumps(said, indent=2) + "\n").encode()


def _companions(live: LiveModel) -> dict[str, bytes]:
    # an adapter's folder has no tokenizer; that of its base has
    home = None if live.folder is None else home_of(live.folder)
    return {} if home is None else companion_files(home)
