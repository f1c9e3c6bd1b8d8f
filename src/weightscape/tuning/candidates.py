"""What a blend of loaded models loses on a few rows: no file, no state dict, no row too many."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from math import inf

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor

from weightscape.errors import BadInput
from weightscape.tasks.batches import Batch
from weightscape.tasks.evaluate import autocasting, evaluating
from weightscape.tasks.finite import NonFinite, explain_non_finite
from weightscape.tasks.kinds import RowScores, score_batch
from weightscape.tasks.objective import Scoring, refresh_statistics
from weightscape.tasks.spanning import SpannedModels
from weightscape.tasks.statistics import has_batch_statistics
from weightscape.tasks.task import Example, Task
from weightscape.tuning.dev_rows import FIRST_BLOCK, DevRows, order_rows
from weightscape.tuning.embedding_rows import noting_rows
from weightscape.tuning.moving import Mover
from weightscape.tuning.racing import Racing, looks_worse
from weightscape.tuning.records import Outcome, Weights

Losses = Float64[np.ndarray, " n"]


class CandidateLoss:
    """The mean loss over development rows as a function of the models' weights.

    Every point is evaluated once. With `racing` a candidate that looks worse than the incumbent is
    stopped; the incumbent is the best candidate that this object has read in full, unless one is
    given. The module belongs to it while it is in use: what others write there costs a whole
    write, and what it leaves there is no model to be used (write a point into it first).

    rows: what candidates are judged on; `dev` has them in the order in which they are read.
    layers: moving tensor to group number; weights may then be [groups, models].
    penalty: of weights, added to the loss (a search space's).
    read: rows that went through the network so far. evaluated: candidates that did.

    Raises BadInput where heads are not in the span ("probe"): weights of heads are searched too.
    """

    def __init__(
        self,
        spanned: SpannedModels,
        task: Task,
        rows: Sequence[Example],
        *,
        racing: Racing | None = None,
        layers: Mapping[str, int] | None = None,
        penalty: Callable[[Weights], float] | None = None,
        first: int = FIRST_BLOCK,
        batch: int = 64,
        autocast: torch.dtype | None = None,
        seed: int = 0,
    ) -> None:
        if spanned.head == "probe":
            raise BadInput(
                "a search needs models whose heads answer the task, so that heads are blended "
                f"too{': ' if spanned.head_reason else ''}{spanned.head_reason}; fine-tune them "
                "on the task first"
            )
        self.spanned = spanned
        self.task = task
        self.dev: DevRows = order_rows(
            spanned.model, task, rows, first=first, batch=batch, seed=seed
        )
        self.mover = Mover(spanned, layers)
        self.racing = racing
        self.read = 0
        self.evaluated = 0
        self._penalty = penalty
        self._autocast = autocast
        self._known: dict[bytes, Outcome] = {}
        self._losses: dict[bytes, Losses] = {}
        self._outputs: tuple[bytes, Float64[np.ndarray, "n L"]] | None = None
        self._best: tuple[float, bytes] = (inf, b"")
        self._narrowed = False

    def __call__(self, weights: Weights, incumbent: Weights | None = None) -> Outcome:
        """Evaluate a candidate, as far as the race lets it; `failed` where a loss is not finite."""
        key = _key(weights)
        if key in self._known:
            return self._known[key]
        against = self._incumbent(incumbent)
        losses, state = self._run(weights, against)
        self.evaluated += 1
        if not np.isfinite(losses).all():
            outcome = Outcome(inf, len(losses), "failed", error="its losses are not finite")
        elif state == "raced" and against is not None:
            step = float((losses - against[0][: len(losses)]).mean())
            handicap = self._cost(weights) - against[2]
            outcome = Outcome(against[1] + step + handicap, len(losses), "raced")
        else:
            outcome = self._complete(key, weights, losses)
        self._known[key] = outcome
        return outcome

    def losses(self, weights: Weights) -> Losses:
        """Give the loss of every row, in the order of `dev`, without a race or the penalty.

        Raises NonFinite, naming tensor or module, where one is not finite.
        """
        key = _key(weights)
        if key not in self._losses:
            losses, _ = self._run(weights, None)
            self.evaluated += 1
            if not np.isfinite(losses).all():
                raise NonFinite(self._explain(losses))
            self._known[key] = self._complete(key, weights, losses)
        return self._losses[key]

    def outputs(self, weights: Weights) -> Float64[np.ndarray, "n L"]:
        """Give log-probabilities of every label, or the predicted number [n, 1], row by row.

        Raises BadInput for tasks that are answered in texts; see `losses` for more.
        """
        key = _key(weights)
        if self._outputs is None or self._outputs[0] != key:
            parts: list[Float64[np.ndarray, "b L"]] = []
            losses, _ = self._run(weights, None, lambda scores: parts.append(_outputs(scores)))
            self.evaluated += 1
            if not np.isfinite(losses).all():
                raise NonFinite(self._explain(losses))
            self._known[key] = self._complete(key, weights, losses)
            flat = np.concatenate(parts)
            placed = np.empty_like(flat)
            placed[self.dev.places.numpy()] = flat
            self._outputs = key, placed
        return self._outputs[1]

    def gradient(self, weights: Weights) -> Outcome:
        """Evaluate a candidate with the exact gradient of its loss by the weights.

        By each weight the derivative of moving from the first model towards that one, which is
        the gradient on the simplex up to a constant. The penalty has no part in it.
        """
        self.mover.write(weights)
        module = self.spanned.model.module
        moving = set(self.spanned.span.names)
        named = {name: part for name, part in module.named_parameters() if name in moving}
        for part in named.values():
            part.requires_grad_(True)
        total: dict[str, Tensor] = {}
        losses = np.empty(len(self.dev))
        with evaluating(module), torch.enable_grad():
            for batch in self.dev.batches:
                scores = self._score(batch)
                losses[batch.order.numpy()] = scores.losses.detach().double().cpu().numpy()
                slopes = torch.autograd.grad(
                    scores.losses.sum() / len(self.dev), list(named.values()), allow_unused=True
                )
                for name, slope in zip(named, slopes, strict=True):
                    if slope is not None:
                        total[name] = total[name].add_(slope) if name in total else slope
        self.read += len(self.dev)
        self.evaluated += 1
        if not np.isfinite(losses).all():
            return Outcome(inf, len(losses), "failed", error="its losses are not finite")
        done = self._complete(_key(weights), weights, losses)
        slopes_of = self.mover.products(total)
        shaped = slopes_of if np.ndim(weights) == 2 else slopes_of.sum(0)
        return Outcome(done.loss, done.rows, "complete", shaped)

    def culprits(self) -> tuple[str, ...]:
        """Name the models whose own losses are not finite, each with what is to blame."""
        found = []
        for place, name in enumerate(self.spanned.names):
            vertex = np.eye(len(self.spanned.names))[place]
            losses, _ = self._run(vertex, None)
            if not np.isfinite(losses).all():
                told = self._explain(losses)
                found.append(f"{name}: {told.partition(': ')[2] or told}")
        return tuple(found)

    def _complete(self, key: bytes, weights: Weights, losses: Losses) -> Outcome:
        self._losses[key] = losses
        loss = float(losses.mean()) + self._cost(weights)
        if loss < self._best[0]:
            self._best = loss, key
        return Outcome(loss, len(losses))

    def _cost(self, weights: Weights) -> float:
        return 0.0 if self._penalty is None else self._penalty(weights)

    def _incumbent(self, given: Weights | None) -> tuple[Losses, float, float] | None:
        """Give the incumbent's losses, its loss, and how much of that is its penalty."""
        if self.racing is None:
            return None
        if given is not None:
            losses = self.losses(given)
            return losses, float(losses.mean()) + self._cost(given), self._cost(given)
        loss, key = self._best
        if not key:
            return None
        losses = self._losses[key]
        return losses, loss, loss - float(losses.mean())

    def _run(
        self,
        weights: Weights,
        against: tuple[Losses, float, float] | None,
        look: Callable[[RowScores], None] = lambda scores: None,
    ) -> tuple[Losses, str]:
        """Read block after block; give the losses of the rows read, in order."""
        module = self.spanned.model.module
        self.mover.write(weights)
        losses = np.empty(len(self.dev))
        handicap = 0.0 if against is None else self._cost(weights) - against[2]
        with evaluating(module), self._noting() as read_rows:
            if has_batch_statistics(module):
                with torch.no_grad():
                    self._refresh()
            for block, end in zip(self.dev.blocks, self.dev.ends, strict=True):
                with torch.inference_mode():
                    for batch in block:
                        scores = self._score(batch)
                        look(scores)
                        losses[batch.order.numpy()] = scores.losses.double().cpu().numpy()
                        self.read += len(batch)
                if not np.isfinite(losses[:end]).all():
                    return losses[:end], "failed"
                if against is not None and self._worse(losses[:end], against[0], handicap):
                    return losses[:end], "raced"
        if read_rows is not None:
            self._narrow(read_rows())
        return losses, "complete"

    def _noting(self) -> AbstractContextManager[Callable[[], dict[str, Tensor]] | None]:
        """Note what the first run through all rows reads of embeddings, half of a small model."""
        module = self.spanned.model.module
        if self._narrowed or has_batch_statistics(module):
            return nullcontext(None)
        return noting_rows(module)

    def _worse(self, losses: Losses, incumbent: Losses, handicap: float) -> bool:
        if self.racing is None:
            return False
        looks = max(1, len(self.dev.ends) - 1)
        return looks_worse(losses, incumbent, looks, self.racing, handicap=handicap)

    def _score(self, batch: Batch) -> RowScores:
        model = self.spanned.model
        with autocasting(model.device, self._autocast):
            return score_batch(model.module, batch.to(model.device), self.task)

    def _refresh(self) -> None:
        """Recompute BatchNorm's statistics at this point, from the development rows."""
        own = replace(self.task, splits={"train": self.dev.examples})
        refresh_statistics(self.spanned, own, Scoring(train_limit=None))

    def _narrow(self, read: Mapping[str, Tensor]) -> None:
        """Keep to the rows that are read, if the network truly looks at no other."""
        self._narrowed = True
        batch = self.dev.blocks[0][0]
        with evaluating(self.spanned.model.module), torch.no_grad():
            before = self._score(batch).losses
            self.mover.keep_rows(read)
            after = self._score(batch).losses
        if not torch.equal(before, after):
            self.mover.keep_all()

    def _explain(self, losses: Losses) -> str:
        bad = self.dev.examples[int(np.flatnonzero(~np.isfinite(losses))[0])]
        return explain_non_finite(self.spanned.model, self.task, bad, self.dev.batches)


def _key(weights: Weights) -> bytes:
    rounded: bytes = (np.round(np.asarray(weights, dtype=np.float64), 12) + 0.0).tobytes()
    return rounded


def _outputs(scores: RowScores) -> Float64[np.ndarray, "b L"]:
    if scores.probabilities is not None:
        each = scores.probabilities.double().clamp_min(1e-38).log()
        logs: Float64[np.ndarray, "b L"] = each.cpu().numpy()
        return logs
    if isinstance(scores.predictions, Tensor) and scores.predictions.is_floating_point():
        numbers: Float64[np.ndarray, "b L"] = scores.predictions.double().cpu().numpy()[:, None]
        return numbers
    raise BadInput("this task's answers are neither labels nor numbers; nothing is linear in them")
