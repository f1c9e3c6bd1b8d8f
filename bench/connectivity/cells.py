"""Question 1's table: which models are connected to see what a factor does.

Each cell has three pairs. Unless a cell says otherwise, the ends differ in what it names and in
nothing else, and every pair of a cell about one task is made of the same standard run.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

from bench.connectivity.measure import Pair, Space
from bench.connectivity.models import Recipe

from weightscape.tasks.fine_tuning import FineTuning

STANDARD = Recipe("trec6", FineTuning(lr=2e-4, steps=80))
FAST = STANDARD.change(lr=8e-4)
SLOW = STANDARD.change(lr=5e-5)
LONG = STANDARD.change(steps=240)
LORA = STANDARD.change(method="lora", lr=4e-3)
BITFIT = STANDARD.change(method="bitfit", lr=4e-3, steps=160)
ADAPTER = STANDARD.change(method="adapter", lr=4e-3, init_std=0.02)
WIDE = ADAPTER.change(init_std=0.08)
SCRATCH = STANDARD.change(lr=5e-4, steps=240)
SENTIMENT = ("vader_movies", "vader_amazon", "vader_tweets")
OTHERS = ("trec6", "20ng_sci", "sms_spam")


@dataclass(frozen=True, slots=True)
class Cell:
    """One row of the table."""

    factor: str
    ends: str
    pairs: tuple[Pair, ...]

    @property
    def name(self) -> str:
        """Name the cell."""
        return f"{self.factor}: {self.ends}"


def cells() -> list[Cell]:
    """List the cells; the first is what the others about its task are compared with."""
    return [
        Cell("seeds", "all three differ", _among(_seeds(STANDARD))),
        Cell("seeds", "only the head's initialisation", _among(_only(STANDARD, "init_seed"))),
        Cell("seeds", "only the order of the data", _among(_only(STANDARD, "data_seed"))),
        Cell("seeds", "all three differ, heads refitted", _refitted(_among(_seeds(STANDARD)))),
        Cell("learning rate", "both 4 times as high", _among(_seeds(FAST))),
        Cell("learning rate", "both a quarter as high", _among(_seeds(SLOW))),
        Cell("batch size", "16 and 8", _beside(STANDARD, STANDARD.change(batch=8))),
        Cell("steps", "both 240", _among(_seeds(LONG))),
        Cell("BitFit", "all three differ", _among(_seeds(BITFIT))),
        Cell("LoRA", "same initialisation", _among(_only(LORA, "data_seed"))),
        Cell("LoRA", "all three differ", _among(_seeds(LORA))),
        Cell("LoRA", "all three differ, whole products", _among(_seeds(LORA), "product")),
        Cell("adapter", "same initialisation", _among(_only(ADAPTER, "data_seed"))),
        Cell("adapter", "all three differ", _among(_seeds(ADAPTER))),
        Cell("adapter", "all three differ, spread 0.08", _among(_seeds(WIDE))),
        Cell("data", "two halves of one set", _halves()),
        Cell("data", "same task, other domain", _around(SENTIMENT)),
        Cell("data", "other task", _around(OTHERS)),
        Cell("start", "one random start, all seeds differ", _among(_seeds(_scratch(0)))),
        Cell("start", "two random starts", _among([_scratch(seed) for seed in range(3)])),
    ]


def pairs_of(listed: Iterable[Cell]) -> list[Pair]:
    """Give every pair of the cells once, in the order in which they are needed."""
    return list(dict.fromkeys(pair for cell in listed for pair in cell.pairs))


def _seeds(recipe: Recipe) -> list[Recipe]:
    return [recipe.seeds(seed) for seed in range(3)]


def _only(recipe: Recipe, seed_field: str) -> list[Recipe]:
    return [recipe.change(**{seed_field: seed}) for seed in range(3)]


def _among(models: Sequence[Recipe], space: Space = "factor") -> tuple[Pair, ...]:
    return tuple(Pair(one, other, STANDARD.task, space) for one, other in combinations(models, 2))


def _refitted(pairs: Sequence[Pair]) -> tuple[Pair, ...]:
    """Leave heads out and refit them at every point, to tell the encoder's part of a barrier."""
    return tuple(replace(pair, head="probe") for pair in pairs)


def _beside(one: Recipe, other: Recipe) -> tuple[Pair, ...]:
    """Pair runs of equal seeds."""
    return tuple(Pair(a, b, STANDARD.task) for a, b in zip(_seeds(one), _seeds(other), strict=True))


def _halves() -> tuple[Pair, ...]:
    def half(which: int, seed: int) -> Recipe:
        return Recipe(f"{STANDARD.task} half {which} of {seed}", STANDARD.how).seeds(seed)

    return tuple(Pair(half(1, seed), half(2, seed), STANDARD.task) for seed in range(3))


def _around(tasks: Sequence[str]) -> tuple[Pair, ...]:
    """Go around a ring of tasks, so that each is the first of a pair and the second of one."""
    models = [Recipe(task, STANDARD.how) for task in tasks]
    return tuple(
        Pair(model, models[(i + 1) % len(models)], model.task) for i, model in enumerate(models)
    )


def _scratch(start: int) -> Recipe:
    return Recipe(SCRATCH.task, SCRATCH.how, f"random {start}").seeds(start)
