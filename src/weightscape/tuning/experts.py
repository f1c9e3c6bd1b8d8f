"""Experts: one base, fine-tuned on each of several source tasks."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import Any

from weightscape.errors import BadInput
from weightscape.progress import Progress, silent
from weightscape.tasks.fine_tune import FineTuned, fine_tune
from weightscape.tasks.fine_tuning import FineTuning
from weightscape.tasks.models import load_model
from weightscape.tasks.starts import mark_of, name_of
from weightscape.tasks.task import Task
from weightscape.tuning.deltas import delta_cosines
from weightscape.tuning.part_folders import PartProgress, check_begun, folder_names, seed_of
from weightscape.tuning.records import Cosines, Expert, Experts

NEAR = 0.8
"""The cosine of two deltas from which on one of the experts adds next to nothing to the other."""


def make_experts(
    base: str | Path,
    sources: Sequence[Task],
    out: str | Path,
    how: FineTuning = FineTuning(),
    *,
    near: float = NEAR,
    seed: int = 0,
    score_rows: int | None = 512,
    progress: Progress = silent,
    **loading: Any,
) -> Experts:
    """Fine-tune a base on each source task, into a folder of `out` named like the task.

    Heads, orders of the data and dropout are drawn by other seeds for each, which keeps the
    experts diverse. What is there already is left as it is, and a run that was stopped goes on.
    LoRA is merged, so that experts are whole models.

    near: cosine of two experts' deltas from which on they are told to be near-duplicates.
    loading: options of `load_model` for a base that needs some (device, factory, ...).

    Raises BadInput for no source, two of one name, a folder that holds experts of another base,
    rows or recipe, and for methods whose adapters cannot be merged.
    """
    began = perf_counter()
    out = Path(out)
    names = _checked(sources)
    how = whole_models(how)
    check_begun(out, {"base": mark_of(base)})
    experts = []
    for number, (task, name) in enumerate(zip(sources, names, strict=True), 1):
        part = PartProgress(progress, f"expert {number} of {len(sources)}, {name}")
        there = (out / name).is_dir()
        made = _expert(base, task, out / name, how, seed, score_rows, part, loading)
        experts.append(Expert(name, task.name, made.folder, made.scores.metrics, not there))
    folders = [it.folder for it in experts]
    cosines = delta_cosines(base, folders, sources[0], progress=progress, **loading)
    pairs = near_duplicates(names, cosines, near)
    return Experts(
        base=name_of(base),
        experts=tuple(experts),
        cosines=cosines,
        near_duplicates=pairs,
        notes=tuple(_warnings(pairs, cosines, names)),
        seconds=perf_counter() - began,
    )


def whole_models(how: FineTuning) -> FineTuning:
    """Let a recipe write whole models, which is what is blended; raises BadInput if it cannot."""
    if how.method == "lora":
        return replace(how, merge=True)
    if how.writes_adapter:
        raise BadInput(
            f"the method {how.method!r} writes adapters that cannot be merged into whole models; "
            "take 'full', 'bitfit', 'lora' or 'head'"
        )
    return how


def near_duplicates(
    names: Sequence[str], cosines: Cosines, near: float
) -> tuple[tuple[str, str], ...]:
    """Pair models whose deltas point the same way.

    >>> near_duplicates(["a", "b"], ((1.0, 0.9), (0.9, 1.0)), 0.8)
    (('a', 'b'),)
    """
    return tuple(
        (names[i], names[j])
        for i in range(len(cosines))
        for j in range(i + 1, len(cosines))
        if cosines[i][j] >= near
    )


def _checked(sources: Sequence[Task]) -> list[str]:
    if not sources:
        raise BadInput("experts need source tasks; give one or more")
    names = [task.name for task in sources]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise BadInput(f"two source tasks are named {twice!r}; give each another name")
    return folder_names(names)


def _expert(
    base: str | Path,
    task: Task,
    out: Path,
    how: FineTuning,
    seed: int,
    score_rows: int | None,
    progress: Progress,
    loading: dict[str, Any],
) -> FineTuned:
    own = replace(
        how,
        init_seed=seed_of(task.name, how.init_seed + seed),
        data_seed=seed_of(task.name, how.data_seed + seed),
        dropout_seed=seed_of(task.name, how.dropout_seed + seed),
    )
    others = {it: value for it, value in loading.items() if it != "device"}
    start = load_model(base, task, init_seed=own.init_seed, **loading) if others else base
    return fine_tune(
        start,
        task,
        out,
        own,
        parent=name_of(base),
        score_rows=score_rows,
        device=loading.get("device"),
        progress=progress,
    )


def _warnings(
    pairs: Sequence[tuple[str, str]], cosines: Cosines, names: Sequence[str]
) -> list[str]:
    def cosine(one: str, two: str) -> float:
        return cosines[names.index(one)][names.index(two)]

    return [
        f"{one} and {two} are near-duplicates (cosine of their deltas {cosine(one, two):.2f}); "
        "one of them adds next to nothing to a blend"
        for one, two in pairs
    ]
