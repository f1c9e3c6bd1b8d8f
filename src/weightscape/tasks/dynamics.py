"""Training dynamics: how sure a model was of each training row as it learned.

Swayamdipta et al. 2020, "Dataset Cartography: Mapping and Diagnosing Datasets with Training
Dynamics", arXiv:2009.10795: from the probability of the right answer at each look follow its mean
(confidence), its standard deviation (variability) and how often the answer was right.
"""

import zipfile
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from weightscape.errors import BadInput, NotFound
from weightscape.tasks.evaluate import evaluate
from weightscape.tasks.live import LiveModel
from weightscape.tasks.task import Task

FILE = "dynamics.npz"
_LARGEST = 1 << 30


@dataclass(frozen=True, slots=True)
class Dynamics:
    """What was recorded while a model was trained.

    rows [n]: row numbers of the examples. steps [s]: after how many steps they were looked at.
    gold_probability [s, n]: of the right answer, NaN where the task has no such thing.
    correct [s, n]: 1 or 0, NaN where that was not found out. losses [s, n].
    """

    rows: NDArray[np.int64]
    steps: NDArray[np.int64]
    gold_probability: NDArray[np.float64]
    correct: NDArray[np.float64]
    losses: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Cartography:
    """Where each example lies on the data map; every array is in the order of `rows`.

    confidence: mean probability of the right answer over the looks. variability: its standard
    deviation. correctness: share of looks at which the answer was right, NaN where unknown.
    flips: how often right turned into wrong or back from one look to the next.
    """

    rows: NDArray[np.int64]
    confidence: NDArray[np.float64]
    variability: NDArray[np.float64]
    correctness: NDArray[np.float64]
    flips: NDArray[np.int64]


class DynamicsRecorder:
    """A training's watcher that looks at training rows, in evaluation mode, each so many steps.

    limit: of that many rows, drawn once by chance, the same for every model of a task.
    """

    def __init__(
        self,
        model: LiveModel,
        task: Task,
        *,
        every: int,
        limit: int,
        autocast: torch.dtype | None = None,
    ) -> None:
        self._model, self._every, self._limit, self._autocast = model, every, limit, autocast
        # texts need not be written out for this
        self._task = replace(task, metrics=("loss",)) if task.kind != "custom" else task
        self._rows = torch.empty(0, dtype=torch.int64)
        self._looks: list[tuple[int, Tensor]] = []

    def after(self, done: int) -> bool:
        """Look after each `every` steps; never ask for an end."""
        if done % self._every == 0:
            found = evaluate(
                self._model, self._task, split="train", limit=self._limit, autocast=self._autocast
            )
            self._rows = torch.from_numpy(found.rows)
            look = np.stack([found.gold_probabilities, found.correct, found.losses])
            self._looks.append((done, torch.from_numpy(look)))
        return False

    def state_dict(self) -> dict[str, Any]:
        """Give what was recorded."""
        return {"rows": self._rows, "looks": self._looks}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Know again what `state_dict` gave."""
        self._rows = state["rows"]
        self._looks = [(int(step), look) for step, look in state["looks"]]

    def recorded(self) -> Dynamics:
        """Give what was recorded until now."""
        looks = np.empty((0, 3, len(self._rows)))
        if self._looks:
            looks = torch.stack([look for _, look in self._looks]).numpy()
        steps = np.array([step for step, _ in self._looks], dtype=np.int64)
        return Dynamics(self._rows.numpy(), steps, looks[:, 0], looks[:, 1], looks[:, 2])


def write_dynamics(folder: Path, dynamics: Dynamics) -> None:
    """Write `dynamics.npz` beside a model."""
    np.savez(folder / FILE, **{it.name: getattr(dynamics, it.name) for it in fields(dynamics)})


def load_dynamics(folder: str | Path) -> Dynamics:
    """Read the `dynamics.npz` of a model folder.

    Raises NotFound where nothing was recorded, BadInput for a file that is no such record.
    """
    path = Path(folder) / FILE
    if not path.is_file():
        raise NotFound(
            f"{folder}: has no {FILE}; fine-tuning writes one if asked to record dynamics"
        )
    try:
        with zipfile.ZipFile(path) as archive:
            if any(it.compress_type or it.file_size > _LARGEST for it in archive.infolist()):
                raise ValueError("its arrays are compressed or larger than 1 GiB")
        with np.load(path, allow_pickle=False) as stored:
            parts = {it.name: np.asarray(stored[it.name]) for it in fields(Dynamics)}
        return _checked(parts)
    except (ValueError, KeyError, OSError, EOFError, MemoryError, zipfile.BadZipFile) as error:
        raise BadInput(f"{path}: is no record of training dynamics: {error}") from None


def cartography(dynamics: Dynamics) -> Cartography:
    """Place examples on the data map; raises BadInput with fewer than two looks.

    >>> looks = np.array([[0.2], [0.6], [0.7]])
    >>> right = np.array([[0.0], [1.0], [1.0]])
    >>> one = cartography(Dynamics(np.array([5]), np.array([10, 20, 30]), looks, right, looks))
    >>> float(one.confidence[0]), int(one.flips[0])
    (0.5, 1)
    """
    if len(dynamics.steps) < 2:
        raise BadInput(f"cartography needs two looks or more, got {len(dynamics.steps)}")
    turned = np.abs(np.diff(dynamics.correct, axis=0))
    return Cartography(
        rows=dynamics.rows,
        confidence=dynamics.gold_probability.mean(0),
        variability=dynamics.gold_probability.std(0),
        correctness=dynamics.correct.mean(0),
        flips=np.nan_to_num(turned).sum(0).astype(np.int64),
    )


def _checked(parts: dict[str, NDArray[Any]]) -> Dynamics:
    rows, steps = parts["rows"], parts["steps"]
    if rows.ndim != 1 or steps.ndim != 1 or rows.dtype.kind != "i" or steps.dtype.kind != "i":
        raise ValueError("rows and steps should be whole numbers")
    for name in ("gold_probability", "correct", "losses"):
        if parts[name].shape != (len(steps), len(rows)) or parts[name].dtype.kind != "f":
            raise ValueError(f"{name} should be numbers [{len(steps)}, {len(rows)}]")
    return Dynamics(
        rows.astype(np.int64),
        steps.astype(np.int64),
        *(parts[name].astype(np.float64) for name in ("gold_probability", "correct", "losses")),
    )
