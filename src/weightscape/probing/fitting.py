"""The loop of a training: batches, looks at the validation models, the best of them kept."""

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

import torch
from torch import Tensor

from weightscape.probing.heads import TextLoss, label_loss, loss_for, text_loss
from weightscape.probing.network import Network
from weightscape.probing.resuming import Fitted, State, read_state, write_state
from weightscape.probing.scores import mean_auc
from weightscape.probing.settings import ProbeTraining
from weightscape.probing.stacks import Stack
from weightscape.progress import Progress, silent

_SAVE_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Models:
    """Normalised layers of some models with what they are said to know.

    stacks: one a layer. members: [N, labels] for the head of classes; told: [N, texts] for the
    head of texts, whose labels may be others.
    """

    stacks: Sequence[Stack]
    members: Tensor
    told: Tensor

    def take(self, places: Tensor) -> "Models":
        """Pick some models by their places."""
        return Models(
            [stack.take(places) for stack in self.stacks], self.members[places], self.told[places]
        )

    def __len__(self) -> int:
        return len(self.stacks[0])


def fit(
    network: Network,
    train: Models,
    valid: Models,
    texts: Tensor | None,
    how: ProbeTraining,
    *,
    known: Tensor | None = None,
    place: Path | None = None,
    identity: str = "",
    progress: Progress = silent,
) -> Fitted:
    """Train a network in place and leave it as it was best on the validation models.

    texts: [T, size], the vectors of the labels of `told`; known: which of these training may use
    (the others are there to be found without having been seen). place: a file from which a
    training of the same identity goes on where it was killed.
    """
    smooth = copy.deepcopy(network)
    optimizer = torch.optim.AdamW(
        network.parameters(), lr=how.learning_rate, weight_decay=how.weight_decay
    )
    state = State(network, smooth, copy.deepcopy(network), optimizer)
    fitted = Fitted()
    if place is not None:
        fitted = read_state(place, identity, state) or fitted
    known = torch.ones(valid.told.shape[1], dtype=torch.bool) if known is None else known
    kind = loss_for(train.told, how.text_loss)
    saved = monotonic()
    steps = math.ceil(len(train) / how.batch_size)
    with progress.stage("training the probes", total=how.epochs, unit="epochs") as advance:
        advance(fitted.epoch)
        while fitted.epoch < how.epochs and not _is_over(fitted, how):
            _epoch(state, train, texts, known, how, kind, fitted.epoch, steps)
            fitted.epoch += 1
            advance(1)
            if fitted.epoch % how.every == 0 or fitted.epoch == how.epochs:
                _look(state, valid, texts, fitted)
                if place is not None and monotonic() - saved > _SAVE_SECONDS:
                    write_state(place, identity, state, fitted)
                    saved = monotonic()
    if place is not None:
        write_state(place, identity, state, fitted)
    network.load_state_dict(state.best.state_dict())
    return fitted


def _is_over(fitted: Fitted, how: ProbeTraining) -> bool:
    return fitted.epoch - fitted.risen >= how.patience


def _epoch(
    state: State[Network],
    train: Models,
    texts: Tensor | None,
    known: Tensor,
    how: ProbeTraining,
    kind: TextLoss,
    epoch: int,
    steps: int,
) -> None:
    # drawn from seed and epoch alone: a training that goes on draws what it would have drawn
    generator = torch.Generator().manual_seed(how.seed * 1_000_003 + epoch)
    order = torch.randperm(len(train), generator=generator)
    state.network.train()
    for step, places in enumerate(torch.split(order, how.batch_size)):
        done = (epoch * steps + step) / (how.epochs * steps)
        for group in state.optimizer.param_groups:
            group["lr"] = how.learning_rate * (0.02 + 0.98 * (1 + math.cos(math.pi * done)) / 2)
        batch = train.take(places)
        loss = _loss(state.network, batch, texts, known, how, kind)
        state.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        state.optimizer.step()
        with torch.no_grad():
            # a young average follows faster: it would else remember how the network was drawn
            taken = epoch * steps + step
            keep = min(how.smoothing, (1 + taken) / (10 + taken))
            mine: list[Tensor] = list(state.smooth.parameters())
            theirs: list[Tensor] = list(state.network.parameters())
            torch._foreach_lerp_(mine, theirs, 1 - keep)


def _loss(
    network: Network,
    batch: Models,
    texts: Tensor | None,
    known: Tensor,
    how: ProbeTraining,
    kind: TextLoss,
) -> Tensor:
    vectors: Tensor = network(batch.stacks)
    loss = vectors.new_zeros(())
    if network.labels is not None:
        loss = loss + label_loss(network.labels(vectors), batch.members)
    if network.texts is not None and texts is not None and how.text_weight:
        logits = network.texts(vectors, texts[known])
        loss = loss + how.text_weight * text_loss(logits, batch.told[:, known], kind)
    return loss


@torch.no_grad()
def _look(state: State[Network], valid: Models, texts: Tensor | None, fitted: Fitted) -> None:
    """Score the average network on the validation models and keep it if it is the best so far."""
    score = validation_score(state.smooth, valid, texts)
    fitted.history.append((fitted.epoch, score))
    if score > fitted.best:
        fitted.risen = fitted.epoch
    # few models are ranked right before the scores are sure: of equal looks the last is kept
    if score >= fitted.best:
        fitted.best, fitted.best_epoch = score, fitted.epoch
        state.best.load_state_dict(state.smooth.state_dict())


@torch.no_grad()
def validation_score(network: Network, valid: Models, texts: Tensor | None) -> float:
    """Average the mean area under the ROC curve of the heads that there are."""
    network.eval()
    vectors = network(valid.stacks)
    areas = []
    if network.labels is not None:
        areas.append(mean_auc(network.labels(vectors), valid.members))
    if network.texts is not None and texts is not None:
        areas.append(mean_auc(network.texts(vectors, texts), valid.told))
    there = [area for area in areas if not math.isnan(area)]
    return sum(there) / len(there) if there else 0.0
