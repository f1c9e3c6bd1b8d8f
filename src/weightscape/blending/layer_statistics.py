"""What merges by data need of every model of a span: found once a model and task, and kept."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from weightscape.blending.fisher import FLOOR, fisher_average
from weightscape.blending.fisher_diagonals import (
    AnswerChoice,
    FisherDiagonals,
    Logits,
    fisher_diagonals,
    settled_answers,
)
from weightscape.blending.input_grams import (
    ROWS,
    InputGrams,
    input_grams,
    input_size,
    linear_layers,
)
from weightscape.blending.kept_statistics import (
    Identity,
    read_statistics,
    statistics_place,
    write_statistics,
)
from weightscape.blending.regmean import OFF_DIAGONAL, regmean
from weightscape.errors import BadInput
from weightscape.progress import Progress, silent
from weightscape.tasks.alike import computed_by
from weightscape.tasks.features import feature_reader, features
from weightscape.tasks.fingerprint import task_fingerprint
from weightscape.tasks.live import LiveModel
from weightscape.tasks.probe import fit_probe, targets_of
from weightscape.tasks.spanning import SpannedModels, tensors_fingerprint
from weightscape.tasks.task import Task


def span_grams(
    spanned: SpannedModels,
    tasks: Task | Sequence[Task],
    *,
    members: Sequence[int] | None = None,
    rows: int | None = ROWS,
    folder: Path | None = None,
    progress: Progress = silent,
) -> list[InputGrams]:
    """Give the Gram matrices of models of a span, each on training rows of its task.

    tasks: one for all, or one a model. members: numbers of the models, all by default. folder:
    where they are kept; a model and task that are known there are not run. The span's module is
    left at the last model.

    Raises BadInput for tasks or members that do not fit; else as `input_grams`.
    """
    found = []
    for member, task in _paired(spanned, tasks, members):
        spanned.span.write(spanned.span.vertex(member), spanned.model.module)
        names = _wanted(spanned)
        identity = _identity(spanned, task, names, rows)
        known = None if folder is None else _read_grams(folder, spanned.model, names, identity)
        if known is None:
            known = input_grams(spanned.model, task, names=names, limit=rows, progress=progress)
            if folder is not None:
                told = {"inputs": dict(known.inputs), "transposed": sorted(known.transposed)}
                place = statistics_place(folder, "grams", identity)
                write_statistics(place, known.grams, told, identity)
        found.append(known)
    return found


def span_fishers(
    spanned: SpannedModels,
    tasks: Task | Sequence[Task],
    *,
    members: Sequence[int] | None = None,
    answers: AnswerChoice = "auto",
    rows: int | None = ROWS,
    seed: int = 0,
    folder: Path | None = None,
    progress: Progress = silent,
) -> list[FisherDiagonals]:
    """Give the Fisher information of models of a span, each on training rows of its task.

    As `span_grams`. Where heads are left out of the span, a linear probe fitted on the same rows
    answers in their place.

    Raises BadInput for tasks or members that do not fit; else as `fisher_diagonals`.
    """
    found = []
    for member, task in _paired(spanned, tasks, members):
        spanned.span.write(spanned.span.vertex(member), spanned.model.module)
        names = _wanted(spanned)
        how = settled_answers(task, answers)
        identity = _identity(spanned, task, names, rows) | {"answers": how, "seed": seed}
        known = None if folder is None else _read_fishers(folder, spanned.model, names, identity)
        if known is None:
            known = fisher_diagonals(
                spanned.model,
                task,
                names=names,
                answers=answers,
                logits=_probe(spanned.model, task, rows) if spanned.head == "probe" else None,
                limit=rows,
                seed=seed,
                progress=progress,
            )
            if folder is not None:
                told = {"answers": known.answers, "rows": known.rows}
                place = statistics_place(folder, "fishers", identity)
                write_statistics(place, known.diagonals, told, identity)
        found.append(known)
    return found


def regmean_of_span(
    spanned: SpannedModels,
    grams: Sequence[InputGrams],
    *,
    members: Sequence[int] | None = None,
    weights: Sequence[float] | None = None,
    off_diagonal: float = OFF_DIAGONAL,
    progress: Progress = silent,
) -> dict[str, Tensor]:
    """Merge models of a span by RegMean; give the tensors that move.

    ``spanned.with_model("RegMean", regmean_of_span(...))`` makes the merge a model of the span.
    """
    models = _models(spanned, members)
    merged = regmean(models, grams, weights=weights, off_diagonal=off_diagonal, progress=progress)
    return _tied(spanned, dict(merged))


def fisher_average_of_span(
    spanned: SpannedModels,
    fishers: Sequence[FisherDiagonals],
    *,
    members: Sequence[int] | None = None,
    weights: Sequence[float] | None = None,
    floor: float = FLOOR,
    progress: Progress = silent,
) -> dict[str, Tensor]:
    """Merge models of a span by their Fisher information; give the tensors that move."""
    models = _models(spanned, members)
    merged = fisher_average(models, fishers, weights=weights, floor=floor, progress=progress)
    return _tied(spanned, dict(merged))


def _tied(spanned: SpannedModels, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Give names that are one tensor in the module one average: those of each name may differ."""
    there = spanned.model.module.state_dict()
    first: dict[int, str] = {}
    for name, it in there.items():
        if name in tensors and it.numel():
            first.setdefault(it.data_ptr(), name)
    return {
        name: tensors[first.get(there[name].data_ptr(), name)] if name in there else it
        for name, it in tensors.items()
    }


def _models(spanned: SpannedModels, members: Sequence[int] | None) -> list[Mapping[str, Tensor]]:
    return [spanned.span.held(member) for member in _checked(spanned, members)]


def _checked(spanned: SpannedModels, members: Sequence[int] | None) -> list[int]:
    chosen = list(range(len(spanned.names)) if members is None else members)
    if not chosen or len(set(chosen)) < len(chosen):
        raise BadInput(f"a merge needs models, each of them once, got {chosen}")
    for member in chosen:
        spanned.span.vertex(member)  # refuses what is no model of the span
    return chosen


def _paired(
    spanned: SpannedModels, tasks: Task | Sequence[Task], members: Sequence[int] | None
) -> list[tuple[int, Task]]:
    chosen = _checked(spanned, members)
    each = [tasks] * len(chosen) if isinstance(tasks, Task) else list(tasks)
    if len(each) != len(chosen):
        raise BadInput(f"give one task, or one for each of {len(chosen)} models, not {len(each)}")
    return list(zip(chosen, each, strict=True))


def _wanted(spanned: SpannedModels) -> list[str]:
    """Name the parameters that statistics are of: an adapter's own, and heads if they move.

    Not only those that move in this span: what is kept is to serve others too.
    """
    model = spanned.model
    return [
        name
        for name, _ in model.module.named_parameters()
        if (model.adapted is None or name in model.adapted)
        and (spanned.head == "own" or not name.startswith(model.head or ("\0",)))
    ]


def _identity(
    spanned: SpannedModels, task: Task, names: Collection[str], rows: int | None
) -> Identity:
    """Say what statistics follow from: a model as it is now, without its head where a probe is."""
    model = spanned.model
    unused = model.head if spanned.head == "probe" else ()
    state = model.module.state_dict()
    kept = {it: state[it] for it in state if not (unused and it.startswith(unused))}
    return {
        "model": tensors_fingerprint(kept),
        "module": f"{type(model.module).__name__}:{computed_by(model.module)}",
        "inputs": model.processor.identity,
        "head": "probe" if spanned.head == "probe" else "own",
        "names": tensors_fingerprint({name: torch.empty(0) for name in names}),
        "task": task_fingerprint(task),
        "rows": rows,
    }


def _read_grams(
    folder: Path, model: LiveModel, names: Collection[str], identity: Identity
) -> InputGrams | None:
    layers = linear_layers(model.module)
    sizes = {name: input_size(its[0]) for name, its in layers.items() if name in names}
    shapes = {name: (size, size) for name, size in sizes.items()}

    def make(tensors: dict[str, Tensor], told: dict[str, Any]) -> InputGrams:
        inputs = {name: int(told["inputs"][name]) for name in tensors}
        return InputGrams(tensors, inputs, frozenset(told["transposed"]))

    return read_statistics(statistics_place(folder, "grams", identity), shapes, identity, make)


def _read_fishers(
    folder: Path, model: LiveModel, names: Collection[str], identity: Identity
) -> FisherDiagonals | None:
    parameters = model.module.named_parameters()
    shapes = {name: tuple(it.shape) for name, it in parameters if name in names}

    def make(tensors: dict[str, Tensor], told: dict[str, Any]) -> FisherDiagonals:
        return FisherDiagonals(tensors, str(told["answers"]), int(told["rows"]))

    return read_statistics(statistics_place(folder, "fishers", identity), shapes, identity, make)


def _probe(model: LiveModel, task: Task, rows: int | None) -> Logits:
    """Fit a linear probe on the rows' features; give what makes its answer to a batch."""
    x, y = features(model, task, "train", limit=rows), targets_of(task, "train", rows)
    fitted = fit_probe(x, y, x, y, label_count=len(task.labels))
    weight, bias = (
        torch.as_tensor(it, dtype=torch.float32, device=model.device)
        for it in (fitted.weight, fitted.bias)
    )
    read = feature_reader(model)
    return lambda batch: read(batch) @ weight.T + bias
