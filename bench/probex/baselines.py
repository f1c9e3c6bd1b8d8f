"""What ProbeX is measured against: experts that read the layer as one long vector.

Each is fitted on the training models and its setting chosen by accuracy on the validation models.
Linear ones work on the inner products of the layers [N, N], which is exact: what is learned lies in
the span of the training models.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from bench.probex.zoos import Sides
from torch import Tensor
from torch.nn import functional as F

from weightscape.probing.scores import accuracy
from weightscape.probing.stacks import DenseStack

PENALTIES = (1e-6, 1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
"""In units of the mean square of the training models' lengths; for each model."""
_SAMPLED = 40_000
"""Elements of a layer that its quantiles are of."""
NEIGHBOURS = (1, 3, 5, 9, 15, 25, 41)


@dataclass(frozen=True, slots=True)
class Found:
    """What a way reached: its setting, its accuracy in validation, and its scores of all models.

    scores: [N, classes]; a half or more says that a model knows a class.
    """

    setting: str
    valid: float
    scores: Tensor


def unit(gram: Tensor) -> Tensor:
    """Turn inner products into those of vectors of length 1."""
    lengths = gram.diagonal().clamp_min(1e-30).sqrt()
    return gram / lengths[:, None] / lengths[None]


def recentred(gram: Tensor, train: Tensor) -> Tensor:
    """Take the training models' mean off the vectors that inner products are of."""
    towards = gram[:, train].mean(1)
    return gram - towards[:, None] - towards[None] + towards[train].mean()


def ridge(gram: Tensor, sides: Sides) -> Found:
    """Regress the classes on the layers, with the penalty that validates best."""
    inner, across, members = _prepared(gram, sides)
    values, vectors = torch.linalg.eigh(inner)
    mean = members[sides.train].mean(0)
    turned = vectors.T @ (members[sides.train] - mean)
    return _best(
        sides,
        (
            (f"penalty {it:g}", mean + across @ (vectors @ (turned / (values + it)[:, None])))
            for it in PENALTIES
        ),
    )


def logistic(gram: Tensor, sides: Sides) -> Found:
    """Fit a logistic regression of each class on the layers, all with the best penalty."""
    inner, across, members = _prepared(gram, sides)
    values, vectors = torch.linalg.eigh(inner)
    kept = values > 1e-9 * values[-1]
    # coordinates in the span of the training models: a rotation of the whole layers
    places = across @ (vectors[:, kept] / values[kept].sqrt())
    return _best(
        sides,
        ((f"penalty {it:g}", _logistic(places, members, sides.train, it / 4)) for it in PENALTIES),
    )


def neighbours(gram: Tensor, sides: Sides) -> Found:
    """Average the classes of the nearest training models by cosine."""
    near = unit(gram)[:, sides.train].clone()
    near[sides.train, torch.arange(len(sides.train))] = -2.0
    order = near.argsort(1, descending=True)
    known = sides.members[sides.train]
    counts = [it for it in NEIGHBOURS if it < len(sides.train)]
    return _best(sides, ((f"{it} nearest", known[order[:, :it]].mean(1)) for it in counts))


def statistics(stack: DenseStack, sides: Sides) -> Found:
    """Fit a logistic regression on moments, quantiles and singular values of the layer."""
    features = torch.cat([_told(block.matrices) for block in stack.blocks()]).double()
    mean, spread = features[sides.train].mean(0), features[sides.train].std(0)
    features = (features - mean) / torch.where(spread > 0, spread, 1.0)
    return logistic(features @ features.T, sides)


def majority(sides: Sides) -> Found:
    """Say of each class what most training models say."""
    share = sides.members[sides.train].mean(0).expand(len(sides.names), -1)
    return _best(sides, [("", share)])


def _prepared(gram: Tensor, sides: Sides) -> tuple[Tensor, Tensor, Tensor]:
    gram = gram.double()
    size = gram[sides.train, sides.train].mean()
    return (
        gram[sides.train][:, sides.train] / size,
        gram[:, sides.train] / size,
        sides.members.double(),
    )


def _logistic(places: Tensor, members: Tensor, train: Tensor, penalty: float) -> Tensor:
    """Give probabilities [N, classes]; the penalty is on squared weights, for each model."""
    mine, wanted = places[train], members[train]
    weights = torch.zeros(mine.shape[1], wanted.shape[1], dtype=torch.float64, requires_grad=True)
    shift = torch.zeros(wanted.shape[1], dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS(
        [weights, shift], max_iter=80, tolerance_grad=1e-4, line_search_fn="strong_wolfe"
    )

    def loss() -> Tensor:
        optimizer.zero_grad()
        fit = F.binary_cross_entropy_with_logits(mine @ weights + shift, wanted, reduction="sum")
        whole = fit + penalty * weights.square().sum() / 2
        whole.backward()  # type: ignore[no-untyped-call]
        return whole

    optimizer.step(loss)  # type: ignore[no-untyped-call]
    with torch.no_grad():
        return torch.sigmoid(places @ weights + shift)


def _told(matrices: Tensor) -> Tensor:
    """Describe layers [n, out, in] by numbers that know no place in them."""
    flat = matrices.flatten(1)
    mean, spread = flat.mean(1, keepdim=True), flat.std(1, keepdim=True)
    square = (flat - mean).square()
    moments = [(square * (flat - mean)).mean(1, keepdim=True) / spread**3,
               square.square().mean(1, keepdim=True) / spread**4]  # fmt: skip
    shares = torch.tensor([0.001, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 0.999])
    picked = flat[:, :: max(1, flat.shape[1] // _SAMPLED)]
    at = (shares * (picked.shape[1] - 1)).round().long()
    quantiles = picked.sort(1).values[:, at]
    rows, columns = matrices.norm(dim=2), matrices.norm(dim=1)
    sizes = torch.stack([rows.std(1), columns.std(1), rows.amax(1), columns.amax(1)], 1)
    size = flat.abs().mean(1, keepdim=True)
    return torch.cat([mean, spread, size, *moments, quantiles, sizes], 1)


def _best(sides: Sides, tried: Iterable[tuple[str, Tensor]]) -> Found:
    """Keep the setting with the best accuracy on the validation models."""
    found = [
        Found(setting, accuracy(scores[sides.valid], sides.members[sides.valid]), scores)
        for setting, scores in tried
    ]
    return max(found, key=lambda it: it.valid)
