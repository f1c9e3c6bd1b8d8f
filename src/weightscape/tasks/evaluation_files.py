"""Evaluations kept in one small file, whole or not there."""

import json
import logging
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from weightscape.tasks.evaluation import Evaluation

log = logging.getLogger(__name__)

_ARRAYS = ("losses", "gold_probabilities", "correct", "rows")


def write_evaluations(file: Path, parts: Mapping[str, Evaluation]) -> None:
    """Write evaluations by name (of their splits) to an .npz file that appears whole."""
    arrays: dict[str, Any] = {}
    for name, part in parts.items():
        told = {
            "loss": part.loss,
            "metrics": dict(part.metrics),
            "predictions": [_plain(prediction) for prediction in part.predictions],
        }
        arrays[f"{name}/told"] = np.array(json.dumps(told))
        for array in _ARRAYS:
            arrays[f"{name}/{array}"] = getattr(part, array)
    file.parent.mkdir(parents=True, exist_ok=True)
    descriptor, half = tempfile.mkstemp(dir=file.parent, prefix=".half-", suffix=".npz")
    try:
        with os.fdopen(descriptor, "wb") as out:
            np.savez(out, **arrays)
        Path(half).replace(file)
    except BaseException:
        Path(half).unlink(missing_ok=True)
        raise


def read_evaluations(file: Path) -> dict[str, Evaluation]:
    """Read what `write_evaluations` wrote; nothing where there is no file, or none that is whole.

    A file that some accident damaged, or that another program put there, is only lost work.
    """
    try:
        with file.open("rb") as opened, np.load(opened, allow_pickle=False) as stored:
            names = [key.removesuffix("/told") for key in stored.files if key.endswith("/told")]
            return {name: _evaluation(stored, name) for name in names}
    except FileNotFoundError:
        return {}
    except Exception:  # a damaged zip makes its readers raise about anything
        log.warning("%s is damaged; what it held is computed anew", file)
        return {}


def _evaluation(stored: Any, name: str) -> Evaluation:
    told = json.loads(str(stored[f"{name}/told"]))
    arrays = {array: np.asarray(stored[f"{name}/{array}"]) for array in _ARRAYS}
    return Evaluation(
        loss=float(told["loss"]),
        metrics={str(metric): float(value) for metric, value in told["metrics"].items()},
        predictions=list(told["predictions"]),
        **arrays,
    )


def _plain(prediction: Any) -> Any:
    return prediction.item() if isinstance(prediction, np.generic) else prediction
