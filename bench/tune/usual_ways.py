"""The usual ways to score a blend: through a state dict, or through a folder and a new process.

The second is what mergekit-evolve and mergenetic do by default. Here it is as lean as it can be:
the models stay in memory, and only the weights are written anew for each blend.
"""

import copy
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from bench.tune import fresh_process
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from weightscape.tasks.evaluate import autocasting, evaluating
from weightscape.tasks.kinds import score_batch
from weightscape.tasks.spanning import SpannedModels
from weightscape.tasks.task import Task
from weightscape.tuning.dev_rows import DevRows

BATCH = 64
_WEIGHTS = "model.safetensors"


def states_of(folders: Sequence[Path]) -> list[dict[str, Tensor]]:
    """Read the models' tensors."""
    return [load_file(folder / _WEIGHTS) for folder in folders]


def summed(states: Sequence[Mapping[str, Tensor]], weights: np.ndarray) -> dict[str, Tensor]:
    """Sum state dicts tensor by tensor."""
    shares = weights.tolist()
    state = {}
    for name, first in states[0].items():
        total = shares[0] * first
        for share, other in zip(shares[1:], states[1:], strict=True):
            total += share * other[name]
        state[name] = total
    return state


@dataclass(frozen=True, slots=True)
class ByStateDict:
    """Builds a state dict, loads it into a module, and scores rows that were tokenised once."""

    states: Sequence[Mapping[str, Tensor]]
    module: nn.Module
    task: Task
    rows: DevRows
    autocast: torch.dtype | None

    def __call__(self, weights: np.ndarray) -> float:
        """Give a blend's mean loss."""
        self.module.load_state_dict(summed(self.states, weights))
        total = 0.0
        with evaluating(self.module), torch.inference_mode():
            for batch in self.rows.batches:
                with autocasting(torch.device("cpu"), self.autocast):
                    total += float(score_batch(self.module, batch, self.task).losses.sum())
        return total / len(self.rows)


@dataclass(frozen=True, slots=True)
class ByFolder:
    """Writes a model folder and scores it in a new process."""

    states: Sequence[Mapping[str, Tensor]]
    folder: Path
    autocast: torch.dtype | None

    def write(self, weights: np.ndarray) -> None:
        """Write a blend into the folder."""
        save_file(summed(self.states, weights), self.folder / _WEIGHTS, {"format": "pt"})

    def score(self) -> float:
        """Give the mean loss of what is in the folder."""
        arguments = [str(self.folder), str(self.folder / "rows.json")]
        precision = [] if self.autocast is None else ["--bf16"]
        run = subprocess.run(
            [sys.executable, fresh_process.__file__, *arguments, *precision],
            check=True,
            capture_output=True,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"},
        )
        return float(run.stdout)

    def __call__(self, weights: np.ndarray) -> float:
        """Give a blend's mean loss."""
        self.write(weights)
        return self.score()


def by_state_dict(
    states: Sequence[Mapping[str, Tensor]],
    spanned: SpannedModels,
    task: Task,
    rows: DevRows,
    autocast: torch.dtype | None,
) -> ByStateDict:
    """Make the first way, with a module of its own."""
    return ByStateDict(states, copy.deepcopy(spanned.model.module), task, rows, autocast)


def by_folder(
    states: Sequence[Mapping[str, Tensor]],
    like: Path,
    folder: Path,
    task: Task,
    rows: DevRows,
    autocast: torch.dtype | None,
) -> ByFolder:
    """Make the second way, in a folder that has all but the weights of a model like it."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for file in like.iterdir():
        if file.is_file() and file.name != _WEIGHTS:
            shutil.copy(file, folder)
    told = {
        "texts": [str(it.inputs) for it in rows.examples],
        "targets": [int(it.target) for it in rows.examples],
        "tokens": task.max_tokens,
        "batch": BATCH,
    }
    (folder / "rows.json").write_text(json.dumps(told))
    return ByFolder(states, folder, autocast)
