"""What an evaluation found: a loss, the metrics, and what was right row by row."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A model's answers on the rows of a split; every array is in the order of `rows`.

    loss: mean of `losses`, in nats for labels and texts, squared for numbers.
    metrics: by name, as the task lists them.
    losses [n]: of each row, a text's being the mean over its tokens.
    predictions: label numbers, numbers or texts.
    gold_probabilities [n]: of the right answer (a text's: geometric mean over its tokens); NaN
    where there is no such thing.
    correct [n]: 1 right, 0 wrong; NaN for numbers and for texts that were not written out.
    rows [n]: the examples' row numbers.
    """

    loss: float
    metrics: Mapping[str, float]
    losses: NDArray[np.float64]
    predictions: Sequence[Any]
    gold_probabilities: NDArray[np.float64]
    correct: NDArray[np.float64]
    rows: NDArray[np.int64]
