"""From the ridge regression of `leave_one_out` to a network of ProbeX and heads.

A model's vector holds the regression's predictions around their mean, one number a class (or the
directions in which they vary most, where there are more classes than numbers). Around their mean:
where models know few of the classes, all vectors would else point away from them, and so alike.
The heads are fitted on the vectors that training models have by regressions without them: those by
the regression itself are near perfect, as no new model's will be.
"""

import copy
import math
from collections.abc import Sequence

import torch
from torch import Tensor

from weightscape.probing.fitting import Models
from weightscape.probing.heads import LabelHead, TextHead, TextLoss, text_loss
from weightscape.probing.leave_one_out import Regression, RidgeProbes
from weightscape.probing.network import Network
from weightscape.probing.probex import ProbeX
from weightscape.probing.scores import calibrate, mean_auc

_MIDDLE = 0.5
_TEXT_STEPS, _TEXT_LOOK, _TEXT_RATE = 150, 10, 3e-3
_ATTENTION_STEPS, _ATTENTION_RATE = 150, 1e-2
_TEXT_RIDGE = 0.1
"""Of the first guess at the text head, in units of a text vector's squared length."""


@torch.no_grad()
def assemble(
    network: Network, probes: RidgeProbes, solved: Regression, members: Tensor
) -> tuple[Tensor, Tensor]:
    """Write the regression into a network's probes; return its axes and the left-out vectors.

    axes: [labels, width], what each label is in the vectors' space. vectors: [N, layers, width],
    of the training models, each by a regression without it: what each layer says, whose mean is
    the prediction.
    """
    middle = members.mean(0)
    layers = len(network.layers.probes)
    axes = _axes(solved.left_out - middle, network.layers.width)
    each = [solved.left_out - middle]
    if layers > 1:
        each = [it - middle for it in solved.left_out_by_layer(probes.features)]
    weights, constants = solved.weights(probes.features)
    start = 0
    for place, probe in enumerate(network.layers.probes):
        assert isinstance(probe, ProbeX)
        learned, projection = probes.probes[place], probes.projections[place]
        many = learned.shape[1] * projection.shape[0]
        plain = weights[start : start + many].T / math.sqrt(many)
        start += many
        probe.probes.copy_(learned)
        if probes.kinks is None:
            probe.projection.copy_(projection)
            encoder = plain
        else:
            bent = probes.kinks * weights[start : start + many].T / math.sqrt(many)
            start += many
            probe.projection.copy_(torch.cat([projection, -projection]))
            encoder = torch.cat([bent + plain, bent - plain], 1)
        # several layers are averaged, and the regression is their sum
        probe.encoder.copy_(layers * axes.T @ encoder)
        probe.bias.copy_((constants[place] - middle) @ axes)
    return axes, torch.stack(each, 1) @ axes


def fit_attention(
    network: Network, each: Tensor, members: Tensor, valid: Models, axes: Tensor
) -> Tensor:
    """Learn which layer counts for which model; return the vectors [N, width] by that.

    each: [N, layers, width], left-out. It begins with the mean of the layers, which is kept where
    nothing else is better on the validation models.
    """
    layers = network.layers
    if each.shape[1] == 1:
        return each[:, 0]
    with torch.no_grad():
        valid_each = layers.each(valid.stacks)
    middle = members.mean(0)
    best, score = [it.detach().clone() for it in (layers.keys, layers.favour)], -math.inf
    learned = [layers.keys, layers.favour]
    optimizer = torch.optim.AdamW(learned, lr=_ATTENTION_RATE, weight_decay=1e-2)
    for step in range(_ATTENTION_STEPS + 1):
        if step % _TEXT_LOOK == 0:
            with torch.no_grad():
                area = mean_auc(layers.pooled(valid_each) @ axes.T, valid.members)
                if area > score:
                    score = area
                    best = [it.detach().clone() for it in learned]
        loss = (layers.pooled(each) @ axes.T + middle - members).square().mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    with torch.no_grad():
        for mine, kept in zip(learned, best, strict=True):
            mine.copy_(kept)
        pooled: Tensor = layers.pooled(each)
        return pooled


def _axes(predicted: Tensor, width: int) -> Tensor:
    """Give an orthonormal map [labels, width] of predictions [N, labels] to vectors."""
    labels = predicted.shape[1]
    if labels <= width:
        return torch.eye(labels, width)
    inner = (predicted.T @ predicted).double()
    _, directions = torch.linalg.eigh(inner)
    leading: Tensor = directions[:, -width:].flip(1).float()
    return leading


@torch.no_grad()
def fit_labels(head: LabelHead, vectors: Tensor, axes: Tensor, members: Tensor) -> None:
    """Fit the head of classes on left-out vectors [N, width]."""
    # of the predictions as they are: one slope and shift are right for rare and frequent classes
    away = members.mean(0) - _MIDDLE
    fitted = calibrate(vectors @ axes.T + away, members)
    head.weight.copy_(fitted.slope * axes)
    head.bias.copy_(fitted.shift + fitted.slope * away)


def fit_texts(
    head: TextHead,
    vectors: Tensor,
    told: Tensor,
    texts: Tensor,
    known: Tensor,
    valid_vectors: Tensor,
    valid_told: Tensor,
    axes: Tensor,
    kind: TextLoss,
) -> None:
    """Fit the head of texts on left-out vectors [N, width]; keep it as it was best in validation.

    told: [N, texts]; known: which texts training may use. axes: [known texts, width], where these
    stand in the vectors' space. It begins with the ridge regression of these places on the texts
    (Romera-Paredes and Torr 2015).
    """
    seen = texts[known]
    with torch.no_grad():
        inner = seen @ seen.T
        ridge = _TEXT_RIDGE * inner.diagonal().mean() * torch.eye(len(seen))
        head.weight.copy_((torch.linalg.solve(inner + ridge, seen).T @ axes).T)
    best, score = copy.deepcopy(head), -math.inf
    optimizer = torch.optim.AdamW(head.parameters(), lr=_TEXT_RATE, weight_decay=1e-2)
    for step in range(_TEXT_STEPS + 1):
        if step % _TEXT_LOOK == 0:
            with torch.no_grad():
                area = mean_auc(head(valid_vectors, texts), valid_told)
            if math.isnan(area) or area > score:
                score = area
                best.load_state_dict(head.state_dict())
        loss = text_loss(head(vectors, seen), told[:, known], kind)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    head.load_state_dict(best.state_dict())


def places_of(columns: Sequence[str], known: Sequence[str]) -> list[int]:
    """Tell where each of the known labels stands among the columns."""
    where = {label: place for place, label in enumerate(columns)}
    return [where[label] for label in known]
