"""The one training loop: plain, seeded, and resumable bit for bit."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from weightscape.errors import BadInput
from weightscape.progress import Progress, silent
from weightscape.tasks.arguments import differing
from weightscape.tasks.interrupts import interrupts_held
from weightscape.tasks.optimisers import make_optimiser, rate_at


@dataclass(frozen=True, slots=True)
class Schedule:
    """How long, how fast and by what to train.

    weight_decay: on matrices only, not on biases and normalisation weights. warmup: share of the
    steps in which the learning rate rises to `lr`. clip: largest norm of the gradient; 0 leaves
    it as it is. shape: how the rate goes on after the warm-up ("linear", "cosine", "constant").
    """

    steps: int = 100
    lr: float = 1e-4
    weight_decay: float = 0.01
    warmup: float = 0.1
    clip: float = 1.0
    shape: str = "linear"
    optimiser: str = "adamw"


@dataclass(frozen=True, slots=True)
class Resume:
    """Where a training's state is kept, how often it is written, and whose it is."""

    file: Path
    identity: str
    every: int = 25


class Watcher(Protocol):
    """Looks at the model after each step; its state is kept with the training's.

    It must draw nothing from the random streams and leave the model as it was.
    """

    def after(self, done: int) -> bool:
        """Look at the model after `done` steps; tell whether training should end here."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """Give what it knows, as tensors and plain values."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Know again what `state_dict` gave."""
        ...


def train(
    model: nn.Module,
    loss_at: Callable[[int], Tensor],
    schedule: Schedule,
    *,
    dropout_seed: int = 0,
    resume: Resume | None = None,
    watchers: Sequence[Watcher] = (),
    after_step: Callable[[int], None] = lambda done: None,
    progress: Progress = silent,
) -> int:
    """Train a model in place on the losses of steps 0, 1, ...; return how many were done.

    `loss_at(step)` must depend on nothing but the model and the step. Dropout draws from its own
    stream; the caller's random state is left as it was. A run that was killed and is started
    again goes on from its last state and ends with the same bits. Ctrl-C waits for the end of the
    step, after which the state is written.

    Raises BadInput for a loss that is not finite or has no gradient, or a state of other arguments.
    """
    trained = [p for p in model.parameters() if p.requires_grad]
    optimiser = make_optimiser(
        schedule.optimiser, trained, lr=schedule.lr, weight_decay=schedule.weight_decay
    )
    shape = rate_at(schedule.shape, steps=schedule.steps, warmup=schedule.warmup)
    rate = torch.optim.lr_scheduler.LambdaLR(optimiser, shape)
    training_mode(model)
    with (
        interrupts_held() as interrupted,
        own_random_state(model),
        progress.stage("training", total=schedule.steps, unit="steps") as advance,
    ):
        torch.manual_seed(dropout_seed)
        done = _restore(resume, model, trained, optimiser, rate, *watchers) if resume else 0
        if done:
            progress.note(f"going on after step {done}")
        advance(done)
        for step in range(done, schedule.steps):
            loss = loss_at(step)
            if not torch.isfinite(loss):
                raise BadInput(f"the loss is {loss.item()} at step {step}; try a smaller lr")
            if not loss.requires_grad:
                raise BadInput("the loss has no gradient: nothing that is trained has a part in it")
            loss.backward()  # type: ignore[no-untyped-call]
            if schedule.clip:
                nn.utils.clip_grad_norm_(trained, schedule.clip)
            optimiser.step()
            rate.step()
            optimiser.zero_grad()
            done = step + 1
            after_step(done)
            stops = [watcher.after(done) for watcher in watchers]
            # a run that goes on must come to a stop by itself, so no state lies behind one
            if resume and not any(stops) and (done % resume.every == 0 or interrupted()):
                _save(resume, done, model, trained, optimiser, rate, *watchers)
            advance(1)
            if any(stops) or interrupted():
                break
    model.eval()
    return done


def training_mode(model: nn.Module) -> None:
    """Switch to training mode, but for batch statistics of layers that are frozen."""
    model.train()
    for module in model.modules():
        own = list(module.parameters(recurse=False))
        if hasattr(module, "running_mean") and own and not any(p.requires_grad for p in own):
            module.eval()


def batch_order(rows: int, steps: int, batch: int, seed: int) -> list[list[int]]:
    """Draw the rows of each step: shuffled epochs, cut into full batches.

    >>> order = batch_order(rows=4, steps=4, batch=2, seed=0)
    >>> sorted(order[0] + order[1]) == sorted(order[2] + order[3]) == [0, 1, 2, 3]
    True
    """
    generator = torch.Generator().manual_seed(seed)
    stream: list[int] = []
    while len(stream) < steps * batch:
        stream += torch.randperm(rows, generator=generator).tolist()
    return [stream[i * batch : (i + 1) * batch] for i in range(steps)]


def own_random_state(model: nn.Module) -> AbstractContextManager[None]:
    """Put the caller's random state back at the end, on the CPU and on the model's devices."""
    devices = {p.device.index for p in model.parameters() if p.device.type == "cuda"}
    return torch.random.fork_rng(devices=[d for d in devices if d is not None])


def _save(
    resume: Resume, done: int, model: nn.Module, trained: list[nn.Parameter], *parts: Any
) -> None:
    state = {
        "identity": resume.identity,
        "done": done,
        "weights": [p.detach() for p in trained],
        "buffers": _buffers(model),
        "parts": [part.state_dict() for part in parts],
        "random": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state() if trained[0].is_cuda else None,
    }
    half = resume.file.with_suffix(".half")
    torch.save(state, half)
    half.replace(resume.file)


def _restore(resume: Resume, model: nn.Module, trained: list[nn.Parameter], *parts: Any) -> int:
    if not resume.file.is_file():
        return 0
    state = torch.load(resume.file, weights_only=True, map_location="cpu")
    if state["identity"] != resume.identity:
        apart = differing(state["identity"], resume.identity)
        raise BadInput(
            f"{resume.file} is the state of a training with other arguments"
            f"{f' ({apart})' if apart else ''}; remove it, or choose another output folder"
        )
    with torch.no_grad():
        for parameter, kept in zip(trained, state["weights"], strict=True):
            parameter.copy_(kept)
        for name, buffer in _buffers(model).items():
            buffer.copy_(state["buffers"][name])
    for part, kept in zip(parts, state["parts"], strict=True):
        part.load_state_dict(kept)
    torch.set_rng_state(state["random"])
    if state["cuda"] is not None:
        torch.cuda.set_rng_state(state["cuda"])
    return int(state["done"])


def _buffers(model: nn.Module) -> dict[str, Tensor]:
    stored = model.state_dict().keys()
    return {name: buffer for name, buffer in model.named_buffers() if name in stored}
