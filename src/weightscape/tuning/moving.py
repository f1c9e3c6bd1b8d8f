"""Moving a live module from candidate to candidate, writing no more than the next one needs."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import fsum

import numpy as np
import torch
from torch import Tensor, nn

from weightscape.errors import BadInput
from weightscape.geometry.combination import combine
from weightscape.geometry.held import version
from weightscape.geometry.span import Span
from weightscape.tasks.spanning import SpannedModels
from weightscape.tuning.records import Weights


@dataclass(slots=True)
class _Target:
    """A moving tensor of the module and the tensor of every model for it, in one dimension.

    Where only some rows are read, `rows` are their numbers [r], `terms` hold those rows alone, and
    `compact` is where they are summed.
    """

    name: str
    group: int
    tensor: Tensor
    terms: list[Tensor]
    rows: Tensor | None = None
    compact: Tensor | None = None

    def write(self, shares: list[float]) -> None:
        out = self.tensor if self.compact is None else self.compact
        combine(out, list(zip(self.terms, shares, strict=True)))
        if self.rows is not None and self.compact is not None:
            self.tensor.index_copy_(0, self.rows, self.compact)


class Mover:
    """Writes weights of the models of a span into its module, as `Span.write` does, but less.

    Tensors of a layer group whose weights did not change stay as they are, and after
    `keep_rows` so do the rows of embeddings that nobody reads. What others wrote into the module
    in between is noticed, and then all of it is written.

    layers: moving tensor to group number, for weights of their own in each group; the span itself
    has one group.

    Raises BadInput for a span with layers or with terms that are no whole models.
    """

    def __init__(self, spanned: SpannedModels, layers: Mapping[str, int] | None = None) -> None:
        span, module = spanned.span, spanned.model.module
        if span.groups != 1:
            raise BadInput("a search takes a span without layers; give the layers beside it")
        if span.size + 1 != len(spanned.names):
            raise BadInput("a search takes a span of whole models only")
        lacking = [name for name in span.names if layers is not None and name not in layers]
        if lacking:
            raise BadInput(f"layers: give tensor {lacking[0]!r} a group, for it moves")
        self._spanned = spanned
        self._groups = {name: layers[name] if layers else 0 for name in span.names}
        self.groups = 1 + max((layers or self._groups).values(), default=0)
        self.models = span.size + 1
        # a whole write first: it refuses a module that does not fit, and writes what stands still
        span.write(span.vertex(0), module)
        self._targets = self._bind(module)
        self._shares: list[list[float] | None] = [None] * self.groups
        self._versions: list[int] = []

    def _bind(self, module: nn.Module) -> list[_Target]:
        span = self._spanned.span
        held = [span.held(place) for place in range(self.models)]
        theirs = named_tensors(module)
        targets, seen = [], set()
        for name in span.names:
            tensor = theirs[name].detach()
            if tensor.data_ptr() in seen and tensor.numel():
                continue  # tied, and checked by the span's own write
            seen.add(tensor.data_ptr())
            terms = [term[name].view(-1) for term in held]
            targets.append(_Target(name, self._groups[name], tensor, terms))
        return targets

    @torch.no_grad()
    def write(self, weights: Weights) -> None:
        """Write a point into the module; raises BadInput for weights of another shape."""
        shares = self._rows(weights)
        if self._versions != self._stand():
            self._shares = [None] * self.groups
        for target in self._targets:
            if self._shares[target.group] != shares[target.group]:
                target.write(shares[target.group])
        self._shares = list(shares)
        self._versions = self._stand()

    def _rows(self, weights: Weights) -> list[list[float]]:
        """Give each group's shares of the models; the first one's is what the others leave."""
        shapes = [(self.models,), (self.groups, self.models)]
        if np.shape(weights) not in shapes:
            wanted = " or ".join(str(list(shape)) for shape in shapes)
            raise BadInput(f"weights here have shape {wanted}, got {list(np.shape(weights))}")
        if not np.isfinite(weights).all():
            raise BadInput("weights must be finite numbers")
        rows = np.broadcast_to(weights, shapes[1]).tolist()
        return [[fsum([1.0, *(-share for share in row[1:])]), *row[1:]] for row in rows]

    def _stand(self) -> list[int]:
        return [version(target.tensor) for target in self._targets]

    @torch.no_grad()
    def keep_rows(self, read: Mapping[str, Tensor]) -> None:
        """Write only these rows of some tensors from now on; the others become NaN.

        So whoever reads a row that was not foreseen gets NaN, and never a stale number.
        """
        for target in self._targets:
            rows = read.get(target.name)
            if rows is None or target.tensor.ndim != 2 or len(rows) >= len(target.tensor):
                continue
            shape = target.tensor.shape
            target.terms = [term.view(shape)[rows].view(-1) for term in target.terms]
            target.compact = target.tensor[rows]
            target.rows = rows
            target.tensor.fill_(torch.nan)
            target.tensor.index_copy_(0, rows, target.compact)
            self._shares[target.group] = None

    @torch.no_grad()
    def keep_all(self) -> None:
        """Write all rows again, from the next write on."""
        held = [self._spanned.span.held(place) for place in range(self.models)]
        for target in self._targets:
            if target.rows is not None:
                target.terms = [term[target.name].view(-1) for term in held]
                target.rows = target.compact = None
                self._shares[target.group] = None

    def directions(self, place: int, group: int = 0) -> dict[str, Tensor]:
        """Give a group's differences of a model from the first one, by name, as new tensors."""
        return {
            target.name: _spread(target, target.terms[place] - target.terms[0])
            for target in self._targets
            if target.group == group
        }

    def products(self, slopes: Mapping[str, Tensor]) -> np.ndarray:
        """Multiply a gradient by the models' differences from the first one: [groups, models]."""
        out = np.zeros((self.groups, self.models))
        for target in self._targets:
            slope = slopes.get(target.name)
            if slope is None:
                continue
            flat = (slope if target.rows is None else slope[target.rows]).reshape(-1).float()
            for place in range(1, self.models):
                step = target.terms[place].float() - target.terms[0].float()
                out[target.group, place] += float(torch.dot(flat, step))
        return out


def _spread(target: _Target, step: Tensor) -> Tensor:
    if target.rows is None:
        return step.view(target.tensor.shape)
    spread = torch.zeros_like(target.tensor)
    return spread.index_copy_(0, target.rows, step.view(len(target.rows), -1))


def with_layers(spanned: SpannedModels, layers: Mapping[str, int]) -> SpannedModels:
    """Give the same models in a span that takes weights for each layer group, as for an export.

    The tensors are shared with the span given. Raises BadInput as `Span` does.
    """
    span = spanned.span
    origin = span.tensors(span.vertex(0))
    still = {name: it for name, it in origin.items() if name not in span.held(0)}
    terms = [{**span.held(place), **still} for place in range(span.size + 1)]
    return replace(spanned, span=Span.through(terms, layers=layers))


def named_tensors(module: nn.Module) -> dict[str, Tensor]:
    """Give all parameters and buffers, shared ones under each of their names."""
    parts = (module.named_parameters, module.named_buffers)
    return {name: it for part in parts for name, it in part(remove_duplicate=False)}
