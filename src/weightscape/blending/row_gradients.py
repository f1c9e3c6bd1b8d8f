"""Squares of the gradients of single rows, summed: most of them from one pass over a batch.

A row's gradient of a linear layer is ``sum_t g_t x_t^T`` over its tokens, x what went into the
layer and g the gradient of what came out: one backward pass of a whole batch, without gradients of
weights, gives all rows'. So for embeddings and layer norms. Other parameters take a pass a row.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from weightscape.blending.layer_squares import add_squares, is_known
from weightscape.errors import BadInput
from weightscape.tasks.batches import Batch

RowLosses = Callable[[Batch], Tensor]
"""From a batch of b rows to [b, k]: k losses of each row, of which each has its gradient."""

_INDEPENDENT = "the loss depends on none of the module's parameters that gradients are wanted of"


@dataclass(slots=True)
class _Call:
    """One run of a layer: what went in, its version then, and what came out."""

    given: Tensor
    version: int
    output: Tensor


@dataclass(frozen=True, slots=True)
class _Plan:
    """How each parameter's gradients are found.

    layers: whose rows stand apart in what comes out. spread: those of them that come out once for
    all rows (positions). alone: parameters that take a pass a row.
    """

    layers: Mapping[str, nn.Module]
    spread: frozenset[str]
    alone: Mapping[str, nn.Parameter]


class RowSquares:
    """Sums, over rows and losses, of squared gradients of a module's parameters.

    names: the parameters that are wanted. sums: by name, float32, as large as these. The module
    is left as it was; nothing in it may be drawn by chance (dropout) while rows are added.
    """

    def __init__(self, module: nn.Module, names: Collection[str], losses: RowLosses) -> None:
        self.sums = {
            name: torch.zeros_like(it, dtype=torch.float32, requires_grad=False)
            for name, it in module.named_parameters()
            if name in names and it.is_floating_point()
        }
        self._module = module
        self._losses = losses
        self._plan: _Plan | None = None

    def add(self, batch: Batch) -> None:
        """Add the rows of a batch."""
        with torch.enable_grad(), _frozen(self._module):
            if self._plan is None:
                self._plan = self._divide(batch)
            if not (self._plan.layers or self._plan.alone):
                raise BadInput(_INDEPENDENT)
            if self._plan.layers:
                self._add_layers(batch, self._plan)
            if self._plan.alone:
                self._add_alone(batch, self._plan.alone)

    def _divide(self, batch: Batch) -> _Plan:
        """Find the layers whose rows stand apart: three copies of a row are run, then two.

        What comes out must have as many rows; the sizes of a text alone could agree by chance.
        """
        layers = self._candidates()
        runs = []
        for count in (3, 2):
            with _recording(layers) as calls:
                self._losses(_chosen(batch, [0] * count))
            runs.append(calls)
        apart, spread = {}, set()
        for name, layer in layers.items():
            made = [[len(call.output) for call in run[name]] for run in runs]
            written = any(it.given._version != it.version for run in runs for it in run[name])
            if not made[0] or len(made[0]) != len(made[1]) or written:
                continue
            sizes = set(zip(*made, strict=True))
            if sizes == {(3, 2)}:
                apart[name] = layer
            elif sizes == {(1, 1)} and all(_are_positions(layer, it) for it in runs[0][name]):
                apart[name] = layer
                spread.add(name)
        return _Plan(apart, frozenset(spread), self._alone(batch, apart))

    def _candidates(self) -> dict[str, nn.Module]:
        """Find layers of known kinds with wanted parameters, which no other module has too."""
        owners: dict[int, int] = {}
        for part in self._module.modules():
            for it in part.parameters(recurse=False):
                owners[id(it)] = owners.get(id(it), 0) + 1
        return {
            name: part
            for name, part in self._module.named_modules()
            if is_known(part)
            and any(it in self.sums for it in _parameters(name, part))
            and all(owners[id(it)] == 1 for it in part.parameters(recurse=False))
        }

    def _alone(self, batch: Batch, layers: Mapping[str, nn.Module]) -> dict[str, nn.Parameter]:
        """Find the other wanted parameters that a loss depends on at all."""
        covered = {it for name, layer in layers.items() for it in _parameters(name, layer)}
        left = {
            name: it
            for name, it in self._module.named_parameters()
            if name in self.sums and name not in covered
        }
        if not left:
            return {}
        with _thawed(left):
            loss = self._losses(_chosen(batch, [0])).sum()
            if not loss.requires_grad:
                return {}
            found = torch.autograd.grad(loss, list(left.values()), allow_unused=True)
        return {name: left[name] for name, it in zip(left, found, strict=True) if it is not None}

    def _add_layers(self, batch: Batch, plan: _Plan) -> None:
        with _recording(plan.layers, plan.spread, len(batch)) as calls:
            losses = self._losses(batch)
        if not losses.requires_grad:
            raise BadInput(_INDEPENDENT)
        made = [(name, call) for name, its in calls.items() for call in its]
        outputs = [call.output for _, call in made]
        for number in range(losses.shape[1]):
            found = torch.autograd.grad(
                losses[:, number].sum(),
                outputs,
                retain_graph=number + 1 < losses.shape[1],
                allow_unused=True,
            )
            # a layer that is run several times: the sum of its gradients is squared
            pairs: dict[str, list[tuple[Tensor, Tensor]]] = {}
            for (name, call), gradient in zip(made, found, strict=True):
                if gradient is not None:
                    pairs.setdefault(name, []).append((call.given, gradient))
            for name, its in pairs.items():
                add_squares(
                    plan.layers[name],
                    its,
                    weight=self.sums.get(_joined(name, "weight")),
                    bias=self.sums.get(_joined(name, "bias")),
                )

    def _add_alone(self, batch: Batch, parameters: Mapping[str, nn.Parameter]) -> None:
        with _thawed(parameters):
            for row in range(len(batch)):
                losses = self._losses(_chosen(batch, [row]))[0]
                for number, loss in enumerate(losses):
                    found = torch.autograd.grad(
                        loss,
                        list(parameters.values()),
                        retain_graph=number + 1 < len(losses),
                        allow_unused=True,
                    )
                    for name, gradient in zip(parameters, found, strict=True):
                        if gradient is not None:
                            self.sums[name].addcmul_(gradient.float(), gradient.float())


def _are_positions(layer: nn.Module, call: _Call) -> bool:
    """Tell numbers [1, t] that stand for t places; those of [t, t] distances are one for t = 1."""
    numbers = call.given
    return isinstance(layer, nn.Embedding) and numbers.ndim == 2 and numbers.shape[1] > 1


@contextmanager
def _recording(
    layers: Mapping[str, nn.Module], spread: Collection[str] = (), rows: int = 0
) -> Iterator[dict[str, list[_Call]]]:
    """Keep what goes into layers and what comes out while the module is run."""
    calls: dict[str, list[_Call]] = {name: [] for name in layers}

    def recorder(name: str) -> Any:
        def hook(_: nn.Module, given: tuple[Any, ...], output: Tensor) -> Tensor:
            if name in spread:
                output = output.expand(rows, *output.shape[1:])
            if not output.requires_grad:
                output = output.detach().requires_grad_(True)
            calls[name].append(_Call(given[0], given[0]._version, output))
            return output.clone()  # what follows may write into it

        return hook

    with ExitStack() as stack:
        for name, layer in layers.items():
            stack.callback(layer.register_forward_hook(recorder(name)).remove)
        yield calls


@contextmanager
def _frozen(module: nn.Module) -> Iterator[None]:
    """Let no parameter collect gradients; each is as it was at the end."""
    before = [(it, it.requires_grad) for it in module.parameters()]
    for parameter, _ in before:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter, needed in before:
            parameter.requires_grad_(needed)


@contextmanager
def _thawed(parameters: Mapping[str, nn.Parameter]) -> Iterator[None]:
    for parameter in parameters.values():
        parameter.requires_grad_(True)
    try:
        yield
    finally:
        for parameter in parameters.values():
            parameter.requires_grad_(False)


def _parameters(name: str, part: nn.Module) -> list[str]:
    return [_joined(name, it) for it, _ in part.named_parameters(recurse=False)]


def _joined(module: str, parameter: str) -> str:
    return f"{module}.{parameter}" if module else parameter  # the outermost module has no name


def _chosen(batch: Batch, rows: list[int]) -> Batch:
    """Take some rows of a batch, padded as they are there."""
    at = torch.tensor(rows, device=next(iter(batch.inputs.values()), batch.order).device)
    return replace(
        batch,
        inputs={name: part[at] for name, part in batch.inputs.items()},
        targets=None if batch.targets is None else batch.targets[at],
        order=batch.order[at.to(batch.order.device)],
        examples=tuple(batch.examples[row] for row in rows),
    )
