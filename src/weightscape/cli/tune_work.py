"""The work of `tune`: what was asked for, the search and the whole, the answer kept and drawn."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from weightscape.cli import result_work
from weightscape.cli.path_checks import check_choice, check_least
from weightscape.cli.path_work import End, find_models, load_tasks
from weightscape.cli.result_work import Asked, Group
from weightscape.errors import BadInput

if TYPE_CHECKING:
    from weightscape.answers_tasks import TuneAnswer
    from weightscape.atlas import Atlas
    from weightscape.catalog.store import Store
    from weightscape.progress import Progress
    from weightscape.tasks.fine_tuning import FineTuning
    from weightscape.tasks.task import Task
    from weightscape.tuning.records import TuneResult
    from weightscape.tuning.search import Searching
    from weightscape.tuning.space_choice import SpaceChoice

DEFAULT_SAMPLER = "cma-es"
METHODS = ("full", "bitfit", "lora", "head")
HEADS = ("probe", "drawn")


@dataclass(frozen=True, slots=True)
class Training:
    """How models are fine-tuned, as it was asked for; what is None is the method's own."""

    method: str
    steps: int | None
    lr: float | None

    def check(self, option: str) -> None:
        """Refuse what no fine-tuning is like."""
        check_choice(option, self.method, METHODS)
        if self.steps is not None:
            check_least(option.replace("method", "steps"), self.steps, 1)

    def few_rows(self, task: "Task", bf16: bool) -> "FineTuning":
        """Say how a model is fine-tuned on a target."""
        from weightscape.tuning.few_rows import few_rows_fine_tuning, hold_out

        rows = len(hold_out(task)[0].rows("train"))
        return few_rows_fine_tuning(
            self.method,  # type: ignore[arg-type]  # checked
            rows,
            steps=self.steps,
            lr=self.lr,
            autocast=bf16,
        )

    def expert(self, bf16: bool) -> "FineTuning":
        """Say how an expert is fine-tuned; raises BadInput for what no fine-tuning is like."""
        from weightscape.tasks.fine_tuning import FineTuning

        self.check("--method")
        return FineTuning(
            method=self.method,  # type: ignore[arg-type]  # checked
            steps=100 if self.steps is None else self.steps,
            lr=self.lr,  # type: ignore[arg-type]  # None stands for the method's
            merge=self.method == "lora",
            autocast=bf16,
        )


@dataclass(frozen=True, slots=True)
class Wanted:
    """How a blend is to be found, as it was asked for: all that its answer depends on.

    baselines: None for all. rows, test_rows: at most, None for all. target, expert: how models
    are fine-tuned on those. chosen: whether `bf16` follows from the device.
    """

    space: str
    low: float
    high: float
    l1: float
    per_layer: bool
    sampler: str | None
    race_error: float
    surrogate: bool
    choice: bool
    apart: bool
    baselines: tuple[str, ...] | None
    rows: int | None
    test_rows: int | None
    head: str
    target: Training
    expert: Training
    metric: str | None
    seed: int
    batch: int
    bf16: bool
    chosen: bool


@dataclass(frozen=True, slots=True)
class Budget:
    """What a search may take; a larger one goes on with the same question."""

    evaluations: int
    minutes: float | None
    workers: int = 1


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


def check_models(models: Sequence[str]) -> None:
    """Refuse a question without models."""
    if not models:
        raise BadInput("which models? give folders, a folder that holds them, or names: --models M")


def check_target(target: str | None) -> str:
    """Refuse a question without a target."""
    if target is None:
        raise BadInput("what for? give a task file, a packaged task or data: --target MY.yml")
    return target


def check_base(base: str | None) -> str:
    """Refuse experts of no model."""
    if base is None:
        raise BadInput("experts of which model? give the pretrained one: --base MODEL")
    return base


def check_sources(sources: Sequence[str] | None) -> list[str]:
    """Refuse experts of no task."""
    if not sources:
        raise BadInput("experts of which tasks? give one or more: --sources A.yml --sources B.yml")
    return list(sources)


def check_folder(folder: Path | None) -> Path:
    """Refuse to make models that go nowhere."""
    from weightscape.cli.path_checks import check_output

    if folder is None:
        raise BadInput("where to? give a folder for what is made: -o DIR")
    check_output("--output", folder)
    return folder


def parse_baselines(text: str) -> tuple[str, ...] | None:
    """Read names of baselines; raises UnknownName with the nearest ones.

    >>> parse_baselines("none"), parse_baselines("all")
    ((), None)
    """
    from weightscape.tuning.baselines import BASELINES

    if text in ("all", "none"):
        return None if text == "all" else ()
    names = tuple(it.strip() for it in text.split(",") if it.strip())
    for name in names:
        BASELINES[name]
    return names


def check(wanted: Wanted, budget: Budget) -> None:
    """Refuse what cannot be searched, before anything is loaded."""
    from weightscape.tuning.samplers import SAMPLERS
    from weightscape.tuning.search_space import SearchSpace

    check_choice("--space", wanted.space, ("simplex", "box"))
    check_choice("--head", wanted.head, HEADS)
    wanted.target.check("--method")
    wanted.expert.check("--expert-method")
    if not 0 <= wanted.race_error < 0.5:
        raise BadInput(
            "--race-error is 0 (nothing is stopped early) or more, below 0.5, not "
            f"{wanted.race_error}"
        )
    check_least("--evaluations", budget.evaluations, 1)
    if budget.minutes is not None and not budget.minutes > 0:
        raise BadInput(f"--minutes is more than 0, not {budget.minutes}")
    if wanted.sampler is not None:  # one that lacks its package is told now, not in an hour
        SAMPLERS[wanted.sampler](SearchSpace("simplex", 2), seed=0).close()
    _space(wanted)


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
        raise BadInput(
            f"a blend is made of several models, and there is {len(ends) or 'none'}{beside}; "
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
        "space": _space(wanted),
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
            space=_space(wanted),
            expert=wanted.expert.expert(wanted.bf16),
            adapting=wanted.target.few_rows(target, wanted.bf16),
            head=wanted.head,  # type: ignore[arg-type]  # checked
            with_base=with_base,
            near=near,
            baselines=wanted.baselines,
            study=(store, place.study),
            progress=progress,
            **loading(device, trust_remote_code),
        )
    return _told_of_bf16(result, wanted)


def made_models(result: "TuneResult", atlas: "Atlas | None") -> list[End]:
    """Find the models that a run has made, as the atlas knows them."""
    made = () if result.adaptation is None else result.adaptation.models
    return find_models([str(it.folder) for it in made], atlas)


def _searching(wanted: Wanted, budget: Budget) -> "Searching":
    import torch

    from weightscape.tuning.racing import Racing
    from weightscape.tuning.search import Searching
    from weightscape.tuning.trust_region import TrustRegion

    return Searching(
        sampler=wanted.sampler or DEFAULT_SAMPLER,
        evaluations=budget.evaluations,
        minutes=budget.minutes,
        racing=Racing(wanted.race_error) if wanted.race_error else None,
        surrogate=TrustRegion() if wanted.surrogate else None,
        choice=wanted.choice,
        limit=wanted.rows,
        batch=wanted.batch,
        autocast=torch.bfloat16 if wanted.bf16 else None,
        seed=wanted.seed,
    )


def _space(wanted: Wanted) -> "SpaceChoice":
    from weightscape.tuning.space_choice import SpaceChoice

    kind: Any = wanted.space
    return SpaceChoice(kind, wanted.low, wanted.high, wanted.l1, wanted.per_layer)


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
