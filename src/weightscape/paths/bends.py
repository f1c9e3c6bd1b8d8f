"""Training the bends of a curve, so that low loss lies all along it.

Garipov et al. 2018 ("Loss Surfaces, Mode Connectivity, and Fast Ensembling of DNNs") minimise the
mean loss over the curve, min_P E_{t ~ U(0,1)} L(theta(t)): each step draws one t, computes the
gradient at theta(t) = sum_i w_i(t) P_i, and gives bend P_i its share w_i(t) of it. Qin et al. 2022
do the same with pre-trained language models.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from weightscape.errors import BadInput
from weightscape.paths.curves import Curve, in_model_order
from weightscape.progress import Progress, silent
from weightscape.tasks.optimisers import rate_at
from weightscape.tasks.spanning import SpannedModels
from weightscape.tasks.training import Resume, Schedule, train, training_mode


@dataclass(frozen=True, slots=True)
class BendTraining:
    """How the bends of a curve are trained.

    init: bends begin evenly spread on the chord ("midpoint"), or drawn from N(0, init_std) as Qin
    et al. 2022 do ("normal").
    lr, steps, batch, warmup, clip: of AdamW, as in fine-tuning. weight_decay: decoupled, and on
    the matrices of the models on the curve, theta(t), not on the bends themselves.
    validate_every: how often the mean loss along the curve is looked at on validation rows
    (training rows where there are none): the step where it was lowest gives the bends. 0 takes
    the last step. validation_points, validation_rows: of each look; a row is scored at one point.
    seed: draws the points t, the order of the data, dropout, and normal bends.
    save_every: steps between two states that a killed training goes on from.
    """

    init: Literal["midpoint", "normal"] = "midpoint"
    init_std: float = 0.02
    lr: float = 1e-4
    steps: int = 300
    batch: int = 16
    weight_decay: float = 0.01
    warmup: float = 0.1
    clip: float = 1.0
    validate_every: int = 50
    validation_points: int = 5
    validation_rows: int = 256
    seed: int = 0
    save_every: int = 50

    def __post_init__(self) -> None:
        if self.init not in ("midpoint", "normal"):
            raise BadInput(f"bends begin at the midpoint or normal, not {self.init!r}")
        for name in ("steps", "batch", "validation_points", "validation_rows", "save_every"):
            if getattr(self, name) < 1:
                raise BadInput(f"{name} must be 1 or more, not {getattr(self, name)}")
        for name in ("init_std", "weight_decay", "clip", "validate_every"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise BadInput(f"{name} must be 0 or more, not {getattr(self, name)}")
        if not 0 < self.lr < float("inf") or not 0 <= self.warmup <= 1:
            raise BadInput("lr must be more than 0 and warmup a share of the steps, 0 to 1")


LossAt = Callable[[float, int], Tensor]
"""(t, step) -> the loss, with gradients, of the module as it stands on that step's rows."""


def add_bends(spanned: SpannedModels, curve: Curve, how: BendTraining) -> SpannedModels:
    """Add initial bends to a span of two models; their tensors are copies of their own."""
    generator = torch.Generator().manual_seed(how.seed)
    bent = spanned
    for number in range(1, curve.bends + 1):
        share = number / (curve.bends + 1)
        start = spanned.span.tensors(spanned.span.coefficients((1 - share, share)))
        tensors = {name: start[name] for name in spanned.span.names}
        if how.init == "normal":
            for name in {t.data_ptr(): name for name, t in tensors.items()}.values():
                noise = torch.randn(tensors[name].shape, generator=generator) * how.init_std
                tensors[name].copy_(noise)
        bent = bent.with_model(f"bend {number}", tensors)
    return bent


class _Bends(nn.Module):
    """The tensors of the bends as parameters, so that an ordinary training loop can train them."""

    def __init__(self, bends: Sequence[Mapping[str, Tensor]], trained: Sequence[str]) -> None:
        super().__init__()
        self.bends = nn.ModuleList(
            # the parameters are the span's own tensors: a step moves the span
            nn.ParameterList(nn.Parameter(bend[name]) for name in trained)
            for bend in bends
        )

    def of(self, number: int) -> list[nn.Parameter]:
        """Give the parameters of a bend."""
        return list(self.bends[number].parameters())


class _Shared(torch.autograd.Function):
    """A loss whose gradient at theta(t) is known, as a loss of the bends: d/dP_i = w_i d/dtheta."""

    @staticmethod
    def forward(
        ctx: Any, loss: Tensor, gradients: list[Tensor], weights: list[float], *_: Tensor
    ) -> Tensor:
        ctx.gradients, ctx.weights = gradients, weights
        return loss.clone()

    @staticmethod
    def backward(ctx: Any, scale: Tensor) -> Any:
        shares = [scale * weight * gradient for weight in ctx.weights for gradient in ctx.gradients]
        return None, None, None, *shares


@dataclass(frozen=True, slots=True)
class Trained:
    """How a training went: losses [steps], looks [(step, loss)], and the step that was taken."""

    losses: NDArray[np.float64]
    validation: tuple[tuple[int, float], ...]
    chosen_step: int


def train_bends(
    spanned: SpannedModels,
    curve: Curve,
    how: BendTraining,
    loss_at: LossAt,
    validate: Callable[[], float] | None,
    *,
    resume: Resume | None = None,
    progress: Progress = silent,
) -> Trained:
    """Train the bends of a span (A, B, bends) in place.

    loss_at: given t and the step, the loss with gradients of the live module, into which theta(t)
    was written. validate: the mean loss along the curve on other rows.
    """
    module = spanned.model.module
    held = [spanned.span.held(2 + i) for i in range(curve.bends)]
    with _OnlyMoving(module, held[0]) as trainable:
        names, live = list(trainable), list(trainable.values())
        holder = _Bends(held, names)
        times = torch.rand(how.steps, generator=torch.Generator().manual_seed(how.seed)).tolist()
        rate = rate_at("linear", steps=how.steps, warmup=how.warmup)
        watcher = _BestBends(holder, how, validate)

        def loss_of_bends(step: int) -> Tensor:
            weights = curve.weights(times[step])
            spanned.span.write(spanned.span.coefficients(in_model_order(weights)), module)
            loss = loss_at(times[step], step)
            if not torch.isfinite(loss):
                raise BadInput(
                    f"at t = {times[step]:.4g}: the loss is {float(loss.detach())} at step {step} "
                    "of the bends' training; try a smaller lr"
                )
            gradients = torch.autograd.grad(loss, live, allow_unused=True)
            found = [
                torch.zeros_like(p) if g is None else g
                for p, g in zip(live, gradients, strict=True)
            ]
            watcher.losses.append(float(loss.detach()))
            shared: Tensor = _Shared.apply(  # type: ignore[no-untyped-call]
                loss.detach(), found, list(weights[1:-1]), *holder.parameters()
            )
            return shared

        def decay(done: int) -> None:
            weights = curve.weights(times[done - 1])[1:-1]
            for number, weight in enumerate(weights):
                amount = how.lr * rate(done - 1) * how.weight_decay * weight
                for bend, at in zip(holder.of(number), live, strict=True):
                    if bend.ndim > 1:
                        bend.data.sub_(at.detach().to(bend.dtype), alpha=amount)

        training_mode(module)
        watcher.look(0)
        train(
            holder,
            loss_of_bends,
            Schedule(how.steps, how.lr, 0.0, how.warmup, how.clip),
            dropout_seed=how.seed,
            resume=resume,
            watchers=(watcher,),
            after_step=decay,
            progress=progress,
        )
    watcher.take_best()
    module.eval()
    return Trained(np.array(watcher.losses), tuple(watcher.looks), watcher.best_step(how.steps))


class _OnlyMoving:
    """Let a module's moving parameters have gradients and no others; put it back at the end."""

    def __init__(self, module: nn.Module, moving: Mapping[str, Tensor]) -> None:
        self._module, self._moving = module, moving
        self._before: list[tuple[nn.Parameter, bool]] = []

    def __enter__(self) -> dict[str, nn.Parameter]:
        trainable = {}
        for name, parameter in self._module.named_parameters():
            self._before.append((parameter, parameter.requires_grad))
            parameter.requires_grad_(name in self._moving)
            if name in self._moving:
                trainable[name] = parameter
        if not trainable:
            raise BadInput("the ends do not differ in any parameter: there is no curve to train")
        return trainable

    def __exit__(self, *_: object) -> None:
        for parameter, before in self._before:
            parameter.requires_grad_(before)


class _BestBends:
    """Looks at the curve on validation rows and keeps the bends that did best."""

    def __init__(
        self, bends: nn.Module, how: BendTraining, validate: Callable[[], float] | None
    ) -> None:
        self._bends, self._every, self._last = bends, how.validate_every, how.steps
        self._validate = validate if how.validate_every else None
        self._best: list[Tensor] = []
        self.losses: list[float] = []
        self.looks: list[tuple[int, float]] = []

    def look(self, done: int) -> None:
        """Measure the curve, and keep the bends if none before were better."""
        if self._validate is None:
            return
        loss = self._validate()
        if not self.looks or loss < min(known for _, known in self.looks):
            self._best = [p.detach().clone() for p in self._bends.parameters()]
        self.looks.append((done, loss))

    def after(self, done: int) -> bool:
        """Look each so many steps and after the last; never end the training."""
        if self._every and (done % self._every == 0 or done == self._last):
            self.look(done)
        return False

    def best_step(self, last: int) -> int:
        """Tell the step that the bends are from."""
        return min(self.looks, key=lambda look: look[1])[0] if self.looks else last

    @torch.no_grad()
    def take_best(self) -> None:
        """Put the best bends in the place of the last."""
        for parameter, kept in zip(self._bends.parameters(), self._best, strict=False):
            parameter.copy_(kept)

    def state_dict(self) -> dict[str, Any]:
        """Give what it knows."""
        return {"best": self._best, "losses": self.losses, "looks": self.looks}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Know again what `state_dict` gave."""
        self._best = list(state["best"])
        self.losses = list(state["losses"])
        self.looks = [(int(step), float(loss)) for step, loss in state["looks"]]


def told(how: BendTraining, curve: Curve) -> dict[str, object]:
    """Give a training's arguments as plain data."""
    return {**asdict(how), "curve": curve.name, "bends": curve.bends}
