"""Gram matrices of what goes into a network's linear layers.

Jin, Ren, Preotiuc-Pietro and Cheng, "Dataless Knowledge Fusion by Merging Weights of Language
Models" (RegMean; 2023, arXiv:2212.09849): all that a merge of linear layers needs of a data set.
"""

from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from weightscape.errors import BadInput
from weightscape.progress import Progress, silent
from weightscape.tasks.batches import Batch, prepare
from weightscape.tasks.evaluate import evaluating
from weightscape.tasks.finite import NonFinite
from weightscape.tasks.kinds import run_module
from weightscape.tasks.live import LiveModel
from weightscape.tasks.processors import NOT_WRITTEN
from weightscape.tasks.task import Task

ROWS = 256
"""Training rows that are read."""


@dataclass(frozen=True, slots=True)
class InputGrams:
    """Mean outer products of linear layers' inputs, by the name of the layer's weight.

    grams: ``X^T X / n`` [d_in, d_in], float32, X [n, d_in] the inputs at all tokens of all rows;
    layers that are given the same input share one tensor. inputs: n of each layer.
    transposed: weights that are stored [d_in, d_out] (GPT-2's), all others being [d_out, d_in].
    """

    grams: Mapping[str, Tensor]
    inputs: Mapping[str, int]
    transposed: frozenset[str] = frozenset()


@torch.no_grad()
def input_grams(
    model: LiveModel,
    task: Task,
    *,
    names: Collection[str] | None = None,
    split: str = "train",
    limit: int | None = ROWS,
    batch: int = 64,
    progress: Progress = silent,
) -> InputGrams:
    """Run rows through a model and multiply up what goes into each of its linear layers.

    names: the weights whose layers are wanted; all by default.
    Padding does not count; a text's special tokens and a prompt's virtual ones do. Targets are not
    looked at, but where a decoder reads them. Layers that are never run are left out, and those
    whose weights are also an embedding. About 1.5 forward passes beside the one that is run.

    Raises BadInput where no linear layer was run, NonFinite naming the layer.
    """
    batches = prepare(model, task, split, limit=limit, batch=batch)
    layers = linear_layers(model.module)
    if names is not None:
        layers = {name: parts for name, parts in layers.items() if name in names}
    sums = _Sums()
    with (
        evaluating(model.module),
        sums.listening(layers),
        progress.stage("reading inputs", total=sum(map(len, batches)), unit="rows") as advance,
    ):
        for part in batches:
            given, sums.masks = _made_ready(part.to(model.device), task)
            run_module(model.module, given)
            advance(len(part))
    grams, inputs = sums.by_layer()
    if not grams:
        raise BadInput(f"{model.name}: no linear layer was run; its inputs have no Gram matrices")
    for name, gram in grams.items():
        if not torch.isfinite(gram).all():
            raise NonFinite(f"{model.name}: what goes into layer {name!r} is not finite")
    transposed = frozenset(it for it in grams if is_transposed(layers[it][0]))
    return InputGrams(grams, inputs, transposed)


def linear_layers(module: nn.Module) -> dict[str, list[nn.Module]]:
    """Find the linear layers by the name of their weight; several can share one weight."""
    tied = {id(it.weight) for it in module.modules() if isinstance(it, nn.Embedding)}
    names: dict[int, str] = {}
    found: dict[str, list[nn.Module]] = {}
    for name, part in module.named_modules():
        weight = getattr(part, "weight", None)
        if not (isinstance(part, nn.Linear) or is_transposed(part)) or id(weight) in tied:
            continue
        found.setdefault(names.setdefault(id(weight), f"{name}.weight".lstrip(".")), []).append(
            part
        )
    return found


def input_size(layer: nn.Module) -> int:
    """Tell how long the inputs of a linear layer are."""
    weight: Tensor = layer.weight  # type: ignore[assignment]
    return weight.shape[0 if is_transposed(layer) else 1]


def is_transposed(part: nn.Module) -> bool:
    """Tell transformers' Conv1D, a linear layer that stores [d_in, d_out], without importing it."""
    return type(part).__name__ == "Conv1D" and hasattr(part, "nf") and hasattr(part, "nx")


class _Sums:
    """Sums of products by the layers that were given the same input.

    The query, key and value of one attention read one tensor: it is multiplied once.
    """

    def __init__(self) -> None:
        self.masks: list[Tensor] = []
        self._sums: dict[tuple[str, ...], tuple[Tensor, int]] = {}
        self._input: tuple[Tensor, int] | None = None
        self._readers: list[str] = []
        self._product: tuple[Tensor, int] | None = None

    @contextmanager
    def listening(self, layers: Mapping[str, list[nn.Module]]) -> Iterator[None]:
        with ExitStack() as stack:
            for name, parts in layers.items():
                for part in parts:
                    stack.callback(part.register_forward_pre_hook(self._hook(name)).remove)
            yield

    def by_layer(self) -> tuple[dict[str, Tensor], dict[str, int]]:
        """Give each layer its mean product; those that always read together share it."""
        self._flush()
        readings: dict[str, list[tuple[str, ...]]] = {}
        for readers in self._sums:
            for name in readers:
                readings.setdefault(name, []).append(readers)
        means: dict[tuple[tuple[str, ...], ...], Tensor] = {}
        grams, inputs = {}, {}
        for name, groups in readings.items():
            inputs[name] = sum(self._sums[group][1] for group in groups)
            if tuple(groups) not in means:
                total = sum(
                    (self._sums[group][0] for group in groups[1:]), self._sums[groups[0]][0]
                )
                means[tuple(groups)] = (total / max(1, inputs[name])).cpu()
            grams[name] = means[tuple(groups)]
        return grams, inputs

    def _hook(self, name: str) -> Any:
        def hook(_: nn.Module, given: tuple[Any, ...]) -> None:
            x: Tensor = given[0]
            # a tensor that was changed in place since is another input
            seen = self._input
            if seen is None or seen[0] is not x or seen[1] != x._version or name in self._readers:
                self._flush()
                self._input = (x, x._version)
                rows = _real(x, self.masks).float()
                self._product = (rows.T @ rows, len(rows))
            self._readers.append(name)

        return hook

    def _flush(self) -> None:
        if self._product is not None:
            product, count = self._product
            key = tuple(self._readers)
            if key in self._sums:
                held, before = self._sums[key]
                self._sums[key] = (held.add_(product), before + count)
            else:
                self._sums[key] = (product, count)
        self._input, self._product, self._readers = None, None, []


def _real(x: Tensor, masks: list[Tensor]) -> Tensor:
    """Take the vectors [n, d] of an input that do not belong to padding."""
    rows = x.flatten(0, -2)
    for mask in masks:
        # virtual tokens of a prompt are put in front of a text
        extra = x.shape[1] - mask.shape[1] if x.ndim == 3 and len(masks) == 1 else 0
        if x.ndim == 3 and x.shape[:2] == (len(mask), mask.shape[1] + extra) and extra >= 0:
            return rows[nn.functional.pad(mask, (extra, 0), value=True).flatten()]
        if x.ndim == 3 and x.shape[:2] == mask.T.shape:
            return rows[mask.T.flatten()]
        if x.ndim == 2 and len(x) == mask.numel() and mask.shape[1] > 1:
            return rows[mask.flatten()]
    return rows


def _made_ready(batch: Batch, task: Task) -> tuple[dict[str, Tensor], list[Tensor]]:
    """Give what a module is run on, and where real tokens are.

    An encoder-decoder has two lengths. Where they are equal its texts are padded by one token
    more, so that a length tells which of the two masks is meant.
    """
    inputs = dict(batch.inputs)
    mask = inputs.get("attention_mask")
    masks = [] if mask is None or mask.ndim != 2 else [mask.bool()]
    if task.kind != "seq2seq" or batch.targets is None:
        return inputs, masks
    inputs["labels"] = batch.targets
    if masks and masks[0].shape == batch.targets.shape:
        for name, part in batch.inputs.items():
            if part.shape == batch.targets.shape:
                inputs[name] = nn.functional.pad(part, (0, 1))
        masks = [nn.functional.pad(masks[0], (0, 1))]
    return inputs, [*masks, batch.targets != NOT_WRITTEN]
