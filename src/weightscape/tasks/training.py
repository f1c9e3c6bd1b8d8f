"""The one training loop: plain, seeded, and resumable bit for bit."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from weightscape.errors import BadInput
from weightscape.progress import Progress, silent


@dataclass(frozen=True, slots=True)
class Schedule:
    """How long and how fast to train: AdamW, linear warm-up, linear decay to zero.

    weight_decay: on matrices only, not on biases and normalisation weights.
    """

    steps: int = 100
    lr: float = 1e-4
    weight_decay: float = 0.01
    warmup: float = 0.1
    clip: float = 1.0


@dataclass(frozen=True, slots=True)
class Resume:
    """Where a training's state is kept, how often it is written, and whose it is."""

    file: Path
    identity: str
    every: int = 25


def train(
    model: nn.Module,
    loss_at: Callable[[int], Tensor],
    schedule: Schedule,
    *,
    dropout_seed: int = 0,
    resume: Resume | None = None,
    after_step: Callable[[int], None] = lambda done: None,
    progress: Progress = silent,
) -> None:
    """Train a model in place on the losses of steps 0, 1, ....

    `loss_at(step)` must depend on nothing but the model and the step. Dropout draws from its own
    stream; the caller's random state is left as it was. A run that was killed and is started
    again goes on from its last state and ends with the same bits.
    """
    trained = [p for p in model.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(
        _groups(trained, schedule.weight_decay), lr=schedule.lr, fused=True
    )
    rate = torch.optim.lr_scheduler.LambdaLR(optimiser, _linear(schedule))
    model.train()
    with _own_random_state(model), progress.stage("training", total=schedule.steps) as advance:
        torch.manual_seed(dropout_seed)
        done = _restore(resume, trained, optimiser, rate) if resume else 0
        advance(done)
        for step in range(done, schedule.steps):
            loss = loss_at(step)
            if not torch.isfinite(loss):
                raise BadInput(f"the loss is {float(loss)} at step {step}; try a smaller lr")
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(trained, schedule.clip)
            optimiser.step()
            rate.step()
            optimiser.zero_grad()
            after_step(step + 1)
            if resume and (step + 1) % resume.every == 0:
                _save(resume, step + 1, trained, optimiser, rate)
            advance(1)
    model.eval()


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


def _groups(trained: list[nn.Parameter], weight_decay: float) -> list[dict[str, Any]]:
    return [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]


def _linear(schedule: Schedule) -> Callable[[int], float]:
    rise = max(1, round(schedule.warmup * schedule.steps))
    fall = max(1, schedule.steps - rise)
    return lambda step: min((step + 1) / rise, max(0.0, (schedule.steps - step) / fall))


def _own_random_state(model: nn.Module) -> AbstractContextManager[None]:
    devices = {p.device.index for p in model.parameters() if p.device.type == "cuda"}
    return torch.random.fork_rng(devices=[d for d in devices if d is not None])


def _save(resume: Resume, done: int, trained: list[nn.Parameter], *parts: Any) -> None:
    state = {
        "identity": resume.identity,
        "done": done,
        "weights": [p.detach() for p in trained],
        "parts": [part.state_dict() for part in parts],
        "random": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state() if trained[0].is_cuda else None,
    }
    half = resume.file.with_suffix(".half")
    torch.save(state, half)
    half.replace(resume.file)


def _restore(resume: Resume, trained: list[nn.Parameter], *parts: Any) -> int:
    if not resume.file.is_file():
        return 0
    state = torch.load(resume.file, weights_only=True, map_location="cpu")
    if state["identity"] != resume.identity:
        raise BadInput(
            f"{resume.file} is the state of a training with other arguments; "
            "remove it, or choose another output folder"
        )
    with torch.no_grad():
        for parameter, kept in zip(trained, state["weights"], strict=True):
            parameter.copy_(kept)
    for part, kept in zip(parts, state["parts"], strict=True):
        part.load_state_dict(kept)
    torch.set_rng_state(state["random"])
    if state["cuda"] is not None:
        torch.cuda.set_rng_state(state["cuda"])
    return int(state["done"])
