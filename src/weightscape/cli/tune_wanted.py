"""What is asked of `tune`, and what of it makes no sense, refused before anything is loaded."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from weightscape.cli.path_checks import check_choice, check_least, check_output
from weightscape.errors import BadInput

if TYPE_CHECKING:
    from weightscape.tasks.fine_tuning import FineTuning
    from weightscape.tasks.task import Task
    from weightscape.tuning.space_choice import SpaceChoice

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
    """What a search may take; a larger one goes on with the same question.

    evaluations: None for the usual number, or for no limit where minutes are given.
    """

    evaluations: int | None
    minutes: float | None
    workers: int = 1

    @property
    def untold(self) -> bool:
        """Whether it was left to the method."""
        return self.evaluations is None and self.minutes is None


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


def check_several(sources: Sequence[str], with_base: bool) -> None:
    """Refuse a blend of one expert before that is trained."""
    if len(sources) + with_base < 2:
        raise BadInput(
            "a blend needs two experts or more; give more --sources, or --with-base to blend the "
            "base, too"
        )


def check_folder(folder: Path | None) -> Path:
    """Refuse to make models that go nowhere."""
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
    from weightscape.tuning.samplers import DEFAULT_SAMPLER, check_sampler
    from weightscape.tuning.space_choice import SpaceChoice

    check_choice("--space", wanted.space, ("simplex", "box"))
    check_choice("--head", wanted.head, HEADS)
    wanted.target.check("--method")
    wanted.expert.check("--expert-method")
    if not 0 <= wanted.race_error < 0.5:
        raise BadInput(
            "--race-error is 0 (nothing is stopped early) or more, below 0.5, not "
            f"{wanted.race_error}"
        )
    if budget.evaluations is not None:
        check_least("--evaluations", budget.evaluations, 1)
    if budget.minutes is not None and not budget.minutes > 0:
        raise BadInput(f"--minutes is more than 0, not {budget.minutes}")
    check_sampler(wanted.sampler or DEFAULT_SAMPLER)
    if space_of(wanted) != SpaceChoice(layers=wanted.per_layer) and wanted.space == "simplex":
        raise BadInput(
            "--low, --high and --l1 are for a box: weights of a simplex are 0 or more and sum to "
            "one; add --space box, or leave them out"
        )


def space_of(wanted: Wanted) -> "SpaceChoice":
    """Give the space of weights; raises BadInput for one that there is not."""
    from weightscape.tuning.space_choice import SpaceChoice

    kind: Any = wanted.space
    return SpaceChoice(kind, wanted.low, wanted.high, wanted.l1, wanted.per_layer)
