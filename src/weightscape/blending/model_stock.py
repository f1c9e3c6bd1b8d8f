"""Model Stock: how far to go from the base to the mean of models, tensor by tensor.

Jang, Yun and Han, "Model Stock: All we need is just a few fine-tuned models" (2024,
arXiv:2403.19522). Fine-tuned models lie on a thin shell about a centre that is better than each of
them; how near the mean is to that centre follows from the angle between their deltas.
"""

import numpy as np
from jaxtyping import Float64

from weightscape.errors import BadInput

_DEGENERATE = 1e-6  # of the denominator: deltas that cancel say nothing of a centre


def stock_ratios(gram: Float64[np.ndarray, "T N N"]) -> Float64[np.ndarray, " T"]:
    """Give each tensor's ratio t: its blend is ``t * mean + (1 - t) * base``.

    gram: inner products of the N models' deltas from the base, tensor by tensor. With c the mean
    cosine over pairs, ``t = N c / (1 + (N - 1) c)``; a delta of zero has the cosine 0 with any
    other. Where the denominator vanishes the base is kept.

    Raises BadInput for fewer than two models.

    >>> stock_ratios(np.array([[[1.0, 0.5], [0.5, 1.0]]]))
    array([0.66666667])
    """
    count = gram.shape[-1]
    if count < 2:
        raise BadInput(f"Model Stock needs at least two models, got {count}")
    norms = np.sqrt(np.maximum(np.diagonal(gram, axis1=1, axis2=2), 0.0))
    scale = norms[:, :, None] * norms[:, None, :]
    cosines = np.divide(gram, scale, out=np.zeros_like(gram), where=scale > 0)
    rows, columns = np.triu_indices(count, 1)
    mean = np.clip(cosines[:, rows, columns], -1.0, 1.0).mean(axis=1)
    below = 1.0 + (count - 1) * mean
    ratios: Float64[np.ndarray, " T"] = np.divide(
        count * mean, below, out=np.zeros_like(mean), where=np.abs(below) >= _DEGENERATE
    )
    return ratios


def model_stock(
    gram: Float64[np.ndarray, "T N N"], base: int, members: list[int]
) -> Float64[np.ndarray, "T N"]:
    """Give each tensor's weights over all N models, which sum to one.

    gram: inner products of all models, the base among them, relative to any reference.
    """
    deltas = gram - gram[:, :, [base]] - gram[:, [base], :] + gram[:, [base], [base]][:, None]
    ratios = stock_ratios(deltas[:, members][:, :, members])
    weights = np.zeros(gram.shape[:2])
    weights[:, members] = ratios[:, None] / len(members)
    weights[:, base] += 1.0 - ratios
    return weights
