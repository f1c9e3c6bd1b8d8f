"""The work of `tune`: what was asked for, the search and the whole, the answer kept and drawn."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from weightscape.cli import result_work
from weightscape.cli.path_work import End, find_models, load_tasks
from weightscape.cli.raising import raise_file_limit
from weightscape.cli.result_work import Asked, Group
from weightscape.cli.tune_wanted import Budget, Wanted, space_of
from weightscape.errors import BadInput

if TYPE_CHECKING:
    from weightscape.answers_tasks import TuneAnswer
    from weightscape.atlas import Atlas
    from weightscape.catalog.store import Store
    from weightscape.progress import Progress
    from weightscape.tasks.task import Task
    from weightscape.tuning.records import TuneResult
    from weightscape.tuning.searching import Searching


@dataclass(frozen=True, slots=True)
class Sought:
    """The models that are blended, and what they come from, if that is known."""

    group: Group
    base: End | None

    @property
    def everyone(self) -> tuple[End, ...]:
        """List all models, the base last."""
        return self.group.ends + (() if self.base is None else (self.base,))


@dataclass(frozen=True, slots=True)
class Place:
    """Where what is found on the way is kept, and under what name."""

    asked: Asked
    study: str
    atlas: "Atlas | None"

    @contextmanager
    def store(self) -> "Iterator[Store]":
        """Give the catalog that studies are kept in: the atlas, or one beside the results."""
        from weightscape.catalog.store import Store

        if self.atlas is not None:
            yield self.atlas.store
            return
        with Store.open(self.asked.kept) as store:
            yield store


def find(
    models: Sequence[str],
    base: str | None,
    atlas: "Atlas | None",
    output: Path | None,
    space: str = "simplex",
) -> Sought:
    """Find the models and their base; raises BadInput where one model is all there is.

    A blend that an earlier search has written to `output` is none of the models.
    """
    group = result_work.find_group(models, atlas)
    found = result_work.find_base(base, group.ends, atlas)
    if space == "box" and found is None:
        raise BadInput(
            "a box has coefficients of deltas from a base; say which it is, --base MODEL, or "
            "search the simplex"
        )
    ends = tuple(it for it in group.ends if found is None or not _same(it.source, found.source))
    ends = tuple(it for it in ends if output is None or not _same(it.source, output))
    if len(ends) < 2:
        beside = "" if found is None else f" beside the base {found.label}"
        there = f"only {ends[0].label}" if ends else "none"
        raise BadInput(
            f"a blend is made of several models, and there is {there}{beside}; "
            "give two or more, or a folder that holds them"
        )
    return Sought(Group(ends, group.label), found)


def _same(one: str | Path, other: str | Path) -> bool:
    return os.path.realpath(one) == os.path.realpath(other)


def ask(
    title: str,
    ends: Sequence[End],
    tasks: Sequence[str],
    wanted: Wanted,
    out: Path | None,
    atlas: Path,
    more: Sequence[object] = (),
) -> Asked:
    """Settle where the answer goes; a larger budget is still the same question."""
    return result_work.ask(
        "tune", title, ends, tasks, out=out, atlas=atlas, how=asdict(wanted), more=list(more)
    )


def load(
    target: str,
    sources: Sequence[str] | None,
    wanted: Wanted,
    trust_code: bool,
    progress: "Progress",
) -> "list[Task]":
    """Load the target, and the source tasks behind it; a metric is the target's."""
    trust: dict[str, Any] = {"trust_code": trust_code, "progress": progress}
    first = load_tasks([target], metric=wanted.metric, **trust)
    return [*first, *load_tasks(sources, metric=None, **trust)]


def loading(device: str | None, trust_remote_code: bool) -> dict[str, Any]:
    """Give the options of loading that were given, for others make loading slower."""
    given: dict[str, Any] = {"device": device, "trust_remote_code": trust_remote_code}
    return {name: value for name, value in given.items() if value}


def search(
    sought: Sought,
    tasks: "Sequence[Task]",
    wanted: Wanted,
    budget: Budget,
    *,
    out: Path | None,
    refit: bool,
    place: Place,
    progress: "Progress",
    device: str | None,
    trust_remote_code: bool,
) -> "TuneResult":
    """Search the weights of models, write the blend, make the baselines; name models as asked."""
    from weightscape.cli.tune_workers import helping
    from weightscape.regions.groups import called
    from weightscape.tuning.finding import find_blend

    target, *sources = tasks
    models = [it.source for it in sought.group.ends]
    given: dict[str, Any] = {
        "space": space_of(wanted),
        "base": None if sought.base is None else sought.base.source,
        "head": wanted.head,
        "apart": wanted.apart,
        **loading(device, trust_remote_code),
    }
    how = _searching(wanted, budget)
    with (
        place.store() as store,
        helping(budget.workers - 1, models, target, how, (store.folder, place.study), given),
    ):
        result = find_blend(
            models,
            target,
            out,
            how,
            sources=sources,
            baselines=wanted.baselines,
            expert=wanted.expert.expert(wanted.bf16),
            adapting=wanted.target.few_rows(target, wanted.bf16),
            refit=refit,
            held_out_rows=wanted.test_rows,
            work=None if out is not None else place.asked.folder / "parts",
            study=(store, place.study),
            progress=progress,
            **given,
        )
    everyone = [it.source for it in sought.everyone][: len(result.names)]
    names = called(everyone, result.names, result_work.names_of(sought.everyone))
    return _renamed(_told_of_bf16(result, wanted), dict(zip(result.names, names, strict=True)))


def run(
    root: End,
    tasks: "Sequence[Task]",
    wanted: Wanted,
    budget: Budget,
    *,
    out: Path,
    refit: bool,
    place: Place,
    progress: "Progress",
    with_base: bool,
    near: float,
    device: str | None,
    trust_remote_code: bool,
) -> "TuneResult":
    """Make experts, adapt them, search their weights."""
    from weightscape.tuning.whole import tune

    target, *sources = tasks
    with place.store() as store:
        result = tune(
            root.source,
            sources,
            target,
            out,
            _searching(wanted, budget),
            space=space_of(wanted),
            expert=wanted.expert.expert(wanted.bf16),
            adapting=wanted.target.few_rows(target, wanted.bf16),
            head=wanted.head,  # type: ignore[arg-type]  # checked
            with_base=with_base,
            near=near,
            refit=refit,
            baselines=wanted.baselines,
            study=(store, place.study),
            progress=progress,
            **loading(device, trust_remote_code),
        )
    return _told_of_bf16(result, wanted)


def add_made(
    result: "TuneResult",
    base: End,
    atlas: "Atlas | None",
    seed: int,
    progress: "Progress",
) -> None:
    """Put all that a run has made into the atlas, if there is one, for its tree and page."""
    if atlas is None:
        return
    raise_file_limit()
    made = [Path(base.source)] if base.name is None and Path(base.source).exists() else []
    made += [] if result.experts is None else [it.folder for it in result.experts.experts]
    made += [] if result.adaptation is None else [it.folder for it in result.adaptation.models]
    made += [] if result.output is None else [result.output]
    atlas.add(made, seed=seed, progress=progress)


def made_models(result: "TuneResult", atlas: "Atlas | None") -> list[End]:
    """Find the models that a run has made, as the atlas knows them."""
    made = () if result.adaptation is None else result.adaptation.models
    return find_models([str(it.folder) for it in made], atlas)


def _searching(wanted: Wanted, budget: Budget) -> "Searching":
    import torch

    from weightscape.tuning.racing import Racing
    from weightscape.tuning.searching import Searching
    from weightscape.tuning.trust_region import TrustRegion

    usual = Searching()
    return Searching(
        sampler=wanted.sampler or usual.sampler,
        evaluations=usual.evaluations if budget.untold else budget.evaluations,
        minutes=budget.minutes,
        racing=Racing(wanted.race_error) if wanted.race_error else None,
        surrogate=TrustRegion() if wanted.surrogate else None,
        choice=wanted.choice,
        limit=wanted.rows,
        batch=wanted.batch,
        autocast=torch.bfloat16 if wanted.bf16 else None,
        seed=wanted.seed,
    )


def _told_of_bf16(result: "TuneResult", wanted: Wanted) -> "TuneResult":
    if not (wanted.bf16 and wanted.chosen):
        return result
    said = "computed in bfloat16, which is fast here; --no-bf16 computes in float32"
    return replace(result, notes=(*result.notes, said))


def _renamed(result: "TuneResult", names: dict[str, str]) -> "TuneResult":
    """Name models as the atlas does."""
    rivals = [
        it
        if it.weights is None
        else replace(it, weights={names.get(one, one): w for one, w in it.weights.items()})
        for it in result.baselines
    ]
    own = tuple(names[it] for it in result.names)
    return replace(result, names=own, baselines=tuple(rivals))


def finish(
    result: "TuneResult",
    ends: Sequence[End],
    asked: Asked,
    study: str,
    atlas: "Atlas | None",
    plots: Sequence[Path],
) -> "tuple[TuneAnswer, Path | None]":
    """Write, keep and draw what was found; return the answer, and the page if it is on it."""
    from weightscape.cli import gather_tune
    from weightscape.report.tune_picture import plot_tune

    if result.output is not None:
        result = replace(result, output=result.output.absolute())
    answer = gather_tune.tune(result, asked.folder.absolute(), study)
    told = answer.model_dump(mode="json")
    page = result_work.keep_result(asked, told, [it.name for it in ends], result.task, atlas)
    for plot in plots:
        if plot.suffix.lower() == ".html":
            title = f"blend for {result.task}"
            result_work.write_lone_result("tune", result.names, title, result.task, told, plot)
        else:
            plot_tune(result, plot)
    return answer, page
