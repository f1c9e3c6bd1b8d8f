"""Held-out losses freed of over- and underconfidence, which say nothing of a start.

A model trained on few rows is soon surer than it is right, the more so the better its head began;
its raw loss may then exceed that of a model that knows nothing. One temperature puts that right
(Guo et al. 2017, arXiv:1706.04599) and changes no answer.
"""

import numpy as np
from jaxtyping import Bool, Float64, Int64

TEMPERATURES = (0.35, 0.5, 0.7, 1.0, 1.4, 2.0, 2.8, 4.0, 5.6, 8.0, 11.0, 16.0, 1e6)


def calibrated(
    logs: Float64[np.ndarray, "n labels"],
    targets: Int64[np.ndarray, " n"],
    half: Bool[np.ndarray, " n"],
) -> Float64[np.ndarray, " n"]:
    """Give the losses of answers at the temperature that suits them.

    logs: log-probabilities of every label. half: each half's temperature is that of the least loss
    on the other half, so that no row has a say in its own.

    >>> sure = np.log([[0.999, 0.001]] * 6)
    >>> right = np.array([0, 0, 1, 0, 0, 1])
    >>> calibrated(sure, right, np.arange(6) < 3).round(2)
    array([0.43, 0.43, 1.06, 0.43, 0.43, 1.06])
    """
    scaled = np.array([_losses(logs / t, targets) for t in TEMPERATURES])
    if half.all() or not half.any():
        return _losses(logs, targets)
    out = np.empty(len(logs))
    for side in (half, ~half):
        out[side] = scaled[np.argmin(scaled[:, ~side].sum(axis=1))][side]
    return out


def _losses(
    logs: Float64[np.ndarray, "n labels"], targets: Int64[np.ndarray, " n"]
) -> Float64[np.ndarray, " n"]:
    highest = logs.max(axis=1)
    total = highest + np.log(np.exp(logs - highest[:, None]).sum(axis=1))
    losses: Float64[np.ndarray, " n"] = total - logs[np.arange(len(logs)), targets]
    return losses
