"""One sampler, one target, one seed: the best loss so far at every candidate, and held-out losses.

The seed draws the rows, their order and the sampler's chances. A run is kept in a file and not
made again.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from bench.tune.clock import now
from bench.tune.parts import Opened, opened
from bench.tune.unseen_rows import unseen_rows

from weightscape.tasks.evaluate import evaluate
from weightscape.tasks.precision import multiplies_bfloat16
from weightscape.tasks.spanning import SpannedModels
from weightscape.tasks.task import Task
from weightscape.tuning.candidates import CandidateLoss
from weightscape.tuning.racing import Racing
from weightscape.tuning.records import Outcome, Weights
from weightscape.tuning.samplers import SAMPLERS
from weightscape.tuning.search_space import SearchSpace
from weightscape.tuning.space_choice import SpaceChoice, layer_groups
from weightscape.tuning.trust_region import descend

BUDGETS = (20, 50, 150, 500)
ROWS = 64
TEST_ROWS = 400
TOKENS = 16
SURROGATE = "surrogate"

Kind = Literal["simplex", "box", "layers"]


@dataclass(frozen=True, slots=True)
class Job:
    """A run to make: on the surrogate alone, by a sampler alone, or by one after the surrogate."""

    target: str
    kind: Kind
    sampler: str
    seed: int
    evaluations: int
    after: bool = False

    @property
    def name(self) -> str:
        """Name it."""
        after = f"{SURROGATE}+" if self.after else ""
        return f"{self.target}-{self.kind}-{after}{self.sampler}-{self.evaluations}-{self.seed}"

    def file(self, work: Path) -> Path:
        """Say where it is kept."""
        return work / "samplers" / f"{self.name}.json"


@dataclass(slots=True)
class Scene:
    """A target's models, opened once for all its runs."""

    models: Opened
    task: Task = field(init=False)

    def __post_init__(self) -> None:
        short = replace(self.models.task, max_tokens=TOKENS, metrics=("accuracy",))
        test = short.rows("test")[:TEST_ROWS]
        self.task = replace(short, splits={"train": short.rows("train"), "test": test})

    def spanned(self, kind: Kind) -> SpannedModels:
        """Give the models of a space: in a box the base, too, which comes last."""
        if kind != "box":
            return self.models.models.models
        assert self.models.models.with_base is not None
        return self.models.models.with_base


def scene_of(target: str, work: Path) -> Scene:
    """Open a target's models."""
    return Scene(opened(target, 0, work))


@dataclass(slots=True)
class _Line:
    """Best-so-far, and the points that stood at each budget.

    lines: evaluations, loss.
    """

    best: float = np.inf
    at: Weights | None = None
    spent: float = 0.0
    lines: list[list[float]] = field(default_factory=list)
    stood: dict[int, Weights] = field(default_factory=dict)

    def add(self, weights: Weights, outcome: Outcome, spent: float) -> None:
        self.stand(spent - 1)
        self.spent = spent
        if outcome.state == "complete" and outcome.loss < self.best:
            self.best, self.at = outcome.loss, weights
            self.lines.append([spent, outcome.loss])

    def stand(self, spent: float) -> None:
        """Keep the best point for the budgets that are spent."""
        for budget in BUDGETS:
            if spent >= budget and budget not in self.stood and self.at is not None:
                self.stood[budget] = self.at


def run(job: Job, work: Path, scene: Scene | None) -> dict[str, Any]:
    """Make a run, unless it is there; that needs no scene."""
    file = job.file(work)
    if file.is_file():
        return json.loads(file.read_text())  # type: ignore[no-any-return]
    assert scene is not None
    began = now()
    spanned = scene.spanned(job.kind)
    loss, space = _loss(job, scene, spanned)
    line = _Line()
    start, told = space.start, {}
    if job.after or job.sampler == SURROGATE:
        start, told = _on_surrogate(loss, space, line)
    asking = 0.0
    if job.sampler != SURROGATE:
        asking = _by_sampler(job, loss, space, start, line)
    searched = now().since(began)
    line.stand(np.inf)
    found = {
        "job": job.name,
        "target": job.target,
        "kind": job.kind,
        "sampler": job.sampler,
        "after": job.after,
        "seed": job.seed,
        "budget": job.evaluations,
        "size": space.size,
        "evaluations": line.spent,
        "lines": line.lines,
        "held_out": _held_out(scene, loss, line),
        "forwards": loss.read / len(loss.dev),
        "asking_seconds": asking,
        "seconds": searched.processor,
        **told,
    }
    file.parent.mkdir(parents=True, exist_ok=True)
    half = file.with_suffix(".half")
    half.write_text(json.dumps(found))
    half.replace(file)
    return found


def _loss(job: Job, scene: Scene, spanned: SpannedModels) -> tuple[CandidateLoss, SearchSpace]:
    layers, groups = None, 1
    if job.kind == "layers":
        layers, names = layer_groups(spanned.span.names, spanned.model.head)
        groups = len(names)
    choice = SpaceChoice(kind="box" if job.kind == "box" else "simplex")
    count = len(spanned.names)
    loss = CandidateLoss(
        spanned,
        scene.task,
        unseen_rows(job.target, ROWS, job.seed),
        racing=Racing(),
        layers=layers,
        autocast=torch.bfloat16 if multiplies_bfloat16() else None,
        seed=job.seed,
    )
    return loss, choice.of(count, groups, count - 1)


def _on_surrogate(
    loss: CandidateLoss, space: SearchSpace, line: _Line
) -> tuple[np.ndarray, dict[str, Any]]:
    """Search on the surrogate; evaluations are forwards of all rows there, derivatives' too."""

    def tell(weights: Weights, outcome: Outcome, seconds: float) -> None:
        line.add(weights, outcome, loss.read / len(loss.dev))

    found = descend(loss, space, space.weights_of(space.start), tell=tell)
    line.spent = found.forwards
    return space.unit_of(found.weights), {"held": found.held, "why": found.why}


def _by_sampler(
    job: Job, loss: CandidateLoss, space: SearchSpace, start: np.ndarray, line: _Line
) -> float:
    """Ask, evaluate, tell; give the seconds that asking and telling took."""
    sampler = SAMPLERS[job.sampler](space, seed=job.seed, start=start)
    score: Callable[[Weights], Outcome] = loss.gradient if sampler.wants_gradient else loss
    known: set[bytes] = set()
    asking = 0.0
    fruitless = 0
    while line.spent < job.evaluations and fruitless < 100:
        before = now()
        points = sampler.ask()
        asking += now().since(before).processor
        if not points:
            break
        outcomes = []
        fruitless += 1
        for point in points:
            weights = space.weights_of(point)
            outcomes.append(score(weights))
            key = np.round(weights, 6).tobytes()
            if key not in known:  # a candidate that was met before costs nothing
                known.add(key)
                line.add(weights, outcomes[-1], line.spent + 1)
                fruitless = 0
        before = now()
        gradients = [it.gradient for it in outcomes]
        sampler.tell(
            points,
            [it.loss for it in outcomes],
            [it for it in gradients if it is not None] if sampler.wants_gradient else None,
        )
        asking += now().since(before).processor
    sampler.close()
    return asking


def _held_out(scene: Scene, loss: CandidateLoss, line: _Line) -> dict[str, dict[str, float]]:
    """Score what was best at each budget on the test rows."""
    known: dict[bytes, dict[str, float]] = {}
    found = {}
    loss.mover.keep_all()
    for budget, weights in line.stood.items():
        key = weights.tobytes()
        if key not in known:
            loss.mover.write(weights)
            autocast = torch.bfloat16 if multiplies_bfloat16() else None
            scores = evaluate(loss.spanned.model, scene.task, autocast=autocast)
            known[key] = {"loss": scores.loss, "accuracy": scores.metrics["accuracy"]}
        found[str(budget)] = known[key]
    return found
