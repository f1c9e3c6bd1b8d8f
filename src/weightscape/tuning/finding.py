"""The best blend of models for a task: searched, written, and scored beside its rivals."""

import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from hashlib import blake2b
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import numpy as np

from weightscape.catalog.store import Store
from weightscape.errors import BadInput
from weightscape.progress import Progress, silent
from weightscape.tasks.batches import sample_rows
from weightscape.tasks.fine_tuning import FineTuning
from weightscape.tasks.label_order import Source
from weightscape.tasks.live import LiveModel
from weightscape.tasks.made_folder import check_free
from weightscape.tasks.spanning import SpannedModels
from weightscape.tasks.task import Example, Task
from weightscape.tuning.adapting import merged_words
from weightscape.tuning.baselines import BASELINES, NotHad, Setting
from weightscape.tuning.baselines.fine_tuned import REFITTED, refitted_blend
from weightscape.tuning.blend_writing import write_blend, write_refitted
from weightscape.tuning.experts import whole_models
from weightscape.tuning.few_rows import few_rows_fine_tuning, hold_out
from weightscape.tuning.moving import with_layers
from weightscape.tuning.opening import OpenedModels, open_models
from weightscape.tuning.records import TuneResult
from weightscape.tuning.rivals import make_baselines, split_scores
from weightscape.tuning.search import find_weights
from weightscape.tuning.searching import Searching, check_searching
from weightscape.tuning.seen_rows import seen_words
from weightscape.tuning.selection import dev_rows
from weightscape.tuning.shared_head import HeadChoice
from weightscape.tuning.space_choice import SpaceChoice, layer_groups


def find_blend(
    models: Sequence[Source],
    target: Task,
    out: str | Path | None = None,
    how: Searching = Searching(),
    *,
    space: SpaceChoice = SpaceChoice(),
    base: Source | None = None,
    sources: Sequence[Task] = (),
    baselines: Sequence[str] | None = None,
    expert: FineTuning = FineTuning(),
    adapting: FineTuning | None = None,
    head: HeadChoice = "drawn",
    apart: bool = True,
    refit: bool = False,
    held_out_rows: int | None = None,
    work: str | Path | None = None,
    study: tuple[Store, str] | None = None,
    progress: Progress = silent,
    **loading: Any,
) -> TuneResult:
    """Search the weights of models whose heads answer the target; write the best blend.

    Beside it the baselines by name, all by default: they have the same rows, and are scored on
    them and on the test split. The blend is written before they are made.

    space: in place of `how.space` and `how.layers`. base: what the models came from; a box weighs
    deltas from it, and some baselines need it. Its head is the one that the models started from,
    if `adapt` made them. sources, expert, adapting, head: what was fine-tuned on what, and how,
    for baselines that are trained. apart: search on training rows that are kept apart, as `adapt`
    does; not needed for models that have seen no rows of the target. refit: write the baseline
    "blend, refitted" in place of the blend. held_out_rows: of the test split at most. work: a
    folder for what baselines make, by default `out` with ".parts" behind its name, and none that
    is kept without `out`. study: where candidates are kept (`search`).

    Raises BadInput for fewer than two models, a box without a base, and as `search` does;
    MismatchedModels for models of different families or tokenizers.
    """
    began = perf_counter()
    check_question(target, out, how, space, base, baselines)
    if len(models) < 2:
        raise BadInput(f"a blend needs two models or more, got {len(models)}")
    cut, told = hold_out(target) if apart else (target, "")
    rows = _rows(cut, how.limit, held_out_rows)
    opened = open_models(
        models, cut, base=base, head=head, seed=how.seed, progress=progress, **loading
    )
    notes = [it for it in (told, rows.told, merged_words(models), opened.told) if it]
    notes += seen_words(target, sources)
    for note in notes:
        progress.note(note)
    blend = _searched(opened, cut, rows, how, space, study, progress)
    written = None if out is None else _written(blend, target, out, how)
    with _folder(out, work) as folder:
        setting = Setting(
            spanned=opened.widest,
            models=tuple(models),
            members=tuple(range(len(opened.models.names))),
            base=None if opened.with_base is None else len(opened.models.names),
            base_source=base,
            base_head=head,
            task=cut,
            uncut=None if cut is target else target,
            dev=rows.dev,
            scored=rows.scored,
            sources=sources,
            adapting=whole_models(adapting or few_rows_fine_tuning(rows=len(cut.rows("train")))),
            expert=whole_models(expert),
            how=how,
            folder=folder,
            progress=progress,
            blend=blend.copied,
            loading=loading,
        )
        rivals, lacking = make_baselines(setting, _with_refit(baselines) if refit else baselines)
        if refit and written is not None:
            notes.append(_refit(setting, target, written))
    return replace(
        blend.found,
        baselines=rivals,
        seconds=perf_counter() - began,
        notes=tuple(dict.fromkeys((*notes, *blend.found.notes, *lacking))),
        output=written,
    )


@dataclass(frozen=True, slots=True)
class _Rows:
    """What weights are searched on, and the task with the splits "dev" and "test" to score on."""

    dev: tuple[Example, ...]
    scored: Task
    told: str


@dataclass(frozen=True, slots=True, eq=False)
class _Blend:
    """What a search found in a span; layers: moving tensor to the row of its weights."""

    found: TuneResult
    spanned: SpannedModels
    layers: Mapping[str, int] | None

    def copied(self) -> LiveModel:
        """Copy the blend out of the one module of the span, where rivals stood since.

        It is called by its weights: what is made from another blend must not pass for its own.
        """
        moving = self.spanned if self.layers is None else with_layers(self.spanned, self.layers)
        moving.span.write(self.found.best.weights[..., 1:], moving.model.module)
        mark = blake2b(digest_size=6)
        mark.update("".join(self.spanned.fingerprints).encode())
        mark.update(np.asarray(self.found.best.weights, dtype=np.float64).tobytes())
        module = copy.deepcopy(moving.model.module)
        return replace(moving.model, name=f"blend-{mark.hexdigest()}", module=module)


def _searched(
    opened: OpenedModels,
    cut: Task,
    rows: _Rows,
    how: Searching,
    space: SpaceChoice,
    study: tuple[Store, str] | None,
    progress: Progress,
) -> _Blend:
    """Search the space that was chosen, and score what is found."""
    searched = opened.widest if space.kind == "box" else opened.models
    layers, groups = (
        layer_groups(searched.span.names, searched.model.head) if space.layers else (None, ())
    )
    chosen = space.of(len(searched.names), max(1, len(groups)), len(searched.names) - 1)
    found = find_weights(
        searched,
        replace(cut, splits={"train": cut.rows("train"), "dev": rows.dev}),
        replace(how, space=chosen, layers=layers),
        rows.dev,
        study=study,
        progress=progress,
    )
    # the search leaves its best blend in the module
    dev, test = (split_scores(searched.model, rows.scored, it, how) for it in ("dev", "test"))
    scored = replace(
        found,
        dev=dev.metrics,
        held_out=test.metrics,
        intervals=dev.intervals,
        held_out_intervals=test.intervals,
        groups=groups,
    )
    return _Blend(scored, searched, layers)


def _written(blend: _Blend, target: Task, out: str | Path, how: Searching) -> Path:
    found = blend.found
    told = {
        "sampler": found.sampler,
        "space": found.space,
        "evaluations": found.evaluations,
        "seed": how.seed,
        "loss": found.best.loss,
        "scores": {"dev": dict(found.dev), "held_out": dict(found.held_out)},
    }
    weights = found.best.weights
    return write_blend(
        blend.spanned, weights, target, out, told, layers=blend.layers, groups=found.groups
    )


def _with_refit(baselines: Sequence[str] | None) -> Sequence[str] | None:
    return None if baselines is None else [*baselines, REFITTED]


def _refit(setting: Setting, target: Task, out: Path) -> str:
    """Write the refitted blend, which was made as a baseline; say what is there now."""
    try:
        rival = refitted_blend(setting)
    except NotHad as problem:
        return f"{out} is the blend as it was found, not refitted: {problem}"
    assert rival.model is not None
    write_refitted(rival.model, rival.why, target, out)
    return f"{out} is the blend, refitted: {rival.why}; the weights are what it began from"


def parts_of(out: str | Path) -> Path:
    """Name the folder, beside a blend's, of what is made on the way to it."""
    place = Path(out)
    return place.with_name(f"{place.name}.parts")


def _rows(task: Task, limit: int | None, held_out: int | None) -> _Rows:
    given, told = dev_rows(task)
    there = replace(task, splits={**task.splits, "dev": given})
    dev = sample_rows(there, "dev", limit)
    test = sample_rows(task, "test", held_out) if task.splits.get("test") else ()
    return _Rows(dev, replace(task, splits={"dev": dev, "test": test}), told)


def check_question(
    target: Task,
    out: str | Path | None,
    how: Searching,
    space: SpaceChoice,
    base: Source | None,
    baselines: Sequence[str] | None,
) -> None:
    """Refuse what cannot be searched, made or written, before anything is loaded or trained.

    Raises BadInput; UnknownName and MissingExtra for a sampler or baselines that cannot be had.
    """
    check_searching(how)
    for name in baselines or ():
        BASELINES[name]
    if space.kind == "box" and base is None:
        raise BadInput(
            "a box weighs deltas from a base; give the base that the models came from, or search "
            "the simplex"
        )
    target.rows("train")
    if out is not None:
        check_free(Path(out), target)


@contextmanager
def _folder(out: str | Path | None, work: str | Path | None) -> Iterator[Path]:
    """Give the folder of what baselines make."""
    if work is not None or out is not None:
        yield (parts_of(str(out)) if work is None else Path(work)) / "baselines"
        return
    with TemporaryDirectory() as folder:
        yield Path(folder)
