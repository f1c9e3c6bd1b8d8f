"""Models of other tasks, each fine-tuned on the target's few rows, from one initial head."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from math import nan
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from torch import Tensor

from weightscape.blending.centroid import centroid
from weightscape.errors import BadInput
from weightscape.io import open_checkpoint
from weightscape.io.json_files import read_json
from weightscape.progress import Progress, silent
from weightscape.tasks.bases import find_base, is_adapter
from weightscape.tasks.fine_tune import FineTuned, fine_tune
from weightscape.tasks.fine_tuning import FineTuning
from weightscape.tasks.fingerprint import task_fingerprint
from weightscape.tasks.label_order import Source
from weightscape.tasks.live import LiveModel
from weightscape.tasks.made_folder import PROVENANCE
from weightscape.tasks.spanning import SpannedModels, open_span
from weightscape.tasks.task import Task
from weightscape.tuning.deltas import delta_cosines, head_cosines, head_distance
from weightscape.tuning.experts import whole_models
from weightscape.tuning.few_rows import few_rows_fine_tuning, hold_out
from weightscape.tuning.part_folders import PartProgress, check_begun, folder_names, seed_of
from weightscape.tuning.records import Adaptation, Adapted
from weightscape.tuning.shared_head import (
    HeadChoice,
    SharedHead,
    begin_head,
    has_head,
    keep_head,
    kept_head,
    put_head,
)


def adapt(
    models: Sequence[Source],
    task: Task,
    out: str | Path,
    how: FineTuning | None = None,
    *,
    base: Source | None = None,
    head: HeadChoice = "drawn",
    apart: bool = True,
    seed: int = 0,
    score_rows: int | None = 512,
    progress: Progress = silent,
    **loading: Any,
) -> Adaptation:
    """Fine-tune each model on the target's training rows, into a folder of `out` named like it.

    All of them begin with one head, which is kept in `out`: weights drawn by the seed, or a linear
    probe fitted at the models' mean. Of few rows a probe is so sure of itself that fine-tuning
    has little left to learn by. Orders of the data and dropout are drawn by other seeds
    for each. LoRA adapters, whatever their ranks and places, are merged into their bases first.
    What is there already is left as it is, and a run that was stopped goes on.

    how: by default `few_rows_fine_tuning`. base: what the models came from, for the cosines of
    their deltas alone. apart: keep training rows apart to search weights on (see `hold_out`).
    loading: options of `load_model`.

    Raises BadInput for fewer than two models, and a folder of other models, rows or recipe;
    MismatchedModels for models of different families.
    """
    began = perf_counter()
    out = Path(out)
    cut, told = hold_out(task) if apart else (task, "")
    how = whole_models(how or few_rows_fine_tuning(rows=len(cut.rows("train"))))
    if len(models) < 2:
        raise BadInput(f"a blend needs two models or more, got {len(models)}")
    spanned = open_span(
        models,
        cut,
        head="probe" if has_head(cut) else "own",
        space="product",
        progress=progress,
        **loading,
    )
    names = folder_names(spanned.names)
    known = zip(names, spanned.fingerprints, strict=True)
    rows = {"task_fingerprint": task_fingerprint(cut)}
    check_begun(out, rows | {f"model {name}": mark for name, mark in known})
    begun = _shared_head(spanned, cut, out, head, seed) if has_head(cut) else None
    adapted: list[Adapted] = []
    heads: list[Mapping[str, Tensor]] = []
    for place, name in enumerate(names):
        part = PartProgress(progress, f"model {place + 1} of {len(names)}, {name}")
        there = (out / name).is_dir()
        start = _start(spanned, place, models[place], name, begun, cut)
        parent = _parent(models[place], spanned.names[place], out / name)
        made = _adapted(start, cut, out / name, how, seed, score_rows, parent, part)
        drift = nan
        if begun is not None:
            heads.append(_head_of(made.folder, begun))
            drift = head_distance(heads[-1], begun.tensors, begun.tensors)
        metrics = made.scores.metrics
        adapted.append(Adapted(name, spanned.names[place], made.folder, metrics, drift, not there))
    folders = [it.folder for it in adapted]
    cosines = () if base is None else delta_cosines(base, folders, cut, **loading)
    return Adaptation(
        task=task.name,
        head="" if begun is None else begun.why,
        models=tuple(adapted),
        train_rows=len(cut.rows("train")),
        dev_rows=len(cut.splits.get("validation") or ()),
        cosines=cosines,
        head_cosines=() if begun is None else head_cosines(heads, begun.tensors),
        head_spread=nan if begun is None else _spread(heads, begun),
        notes=tuple(it for it in (told, merged_words(models)) if it),
        seconds=perf_counter() - began,
    )


def merged_words(models: Sequence[Source]) -> str:
    """Say which models are adapters, which are merged before they are blended."""
    adapters = [Path(it).name for it in models if not isinstance(it, LiveModel) and _is_adapter(it)]
    if not adapters:
        return ""
    return (
        f"{', '.join(adapters)}: adapters are merged into their bases, so that what is blended is "
        "the weights that they make (blending their factors would mix them up)"
    )


def _is_adapter(source: str | Path) -> bool:
    return Path(source).is_dir() and is_adapter(Path(source))


def home_of(source: Source) -> Path | None:
    """Find the folder that has a model's tokenizer: an adapter's lies with its base."""
    if isinstance(source, LiveModel):
        return source.folder
    folder = Path(source)
    if not folder.is_dir():
        return None
    if not is_adapter(folder):
        return folder
    base = Path(find_base(folder))
    return base if base.is_dir() else None


def _shared_head(
    spanned: SpannedModels, task: Task, out: Path, choice: HeadChoice, seed: int
) -> SharedHead:
    """Give the head that is kept in a folder, or begin it at the models' mean and keep it."""
    known = kept_head(out, task, choice)
    if known is not None:
        return known
    count = len(spanned.names)
    spanned.span.write(centroid(count)[1:], spanned.model.module)
    begun = begin_head(spanned.model, task, choice, seed, f"the mean of {count} models")
    keep_head(begun, task, choice, out)
    return begun


def _start(
    spanned: SpannedModels,
    place: int,
    source: Source,
    name: str,
    head: SharedHead | None,
    task: Task,
) -> LiveModel:
    """Make the one module of a span the model that a fine-tuning starts from."""
    spanned.span.write(spanned.span.vertex(place), spanned.model.module)
    spanned.model.module.requires_grad_(True)  # which the base under an adapter had not
    start = replace(spanned.model, name=name, folder=home_of(source))
    return start if head is None else put_head(start, head, task)


def _adapted(
    start: LiveModel,
    task: Task,
    out: Path,
    how: FineTuning,
    seed: int,
    score_rows: int | None,
    parent: str,
    progress: Progress,
) -> FineTuned:
    own = replace(
        how,
        data_seed=seed_of(start.name, how.data_seed + seed),
        dropout_seed=seed_of(start.name, how.dropout_seed + seed),
    )
    return fine_tune(start, task, out, own, parent=parent, score_rows=score_rows, progress=progress)


def _parent(source: Source, name: str, out: Path) -> str:
    """Say what a model comes from; by one part of its path it would be called like its child."""
    if (out / PROVENANCE).is_file():
        return str(read_json(out / PROVENANCE).get("parent", name))
    if isinstance(source, LiveModel) or not Path(source).exists():
        return name
    return "/".join(Path(source).absolute().parts[-2:])


def _head_of(folder: Path, begun: SharedHead) -> dict[str, Tensor]:
    with open_checkpoint(folder) as stored:
        return {name: stored.tensor(name) for name in begun.tensors}


def _spread(heads: Sequence[Mapping[str, Tensor]], begun: SharedHead) -> float:
    pairs = [head_distance(one, two, begun.tensors) for one, two in combinations(heads, 2)]
    return float(np.mean(pairs))
