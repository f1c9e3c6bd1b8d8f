"""Spans: an origin and directions held once, any point of them written into a live module.

Lines, curves, planes, hulls, merges and blends are all points of a span with other coefficients.
"""

from collections.abc import Mapping, Sequence
from math import fsum, nan, sqrt
from pathlib import Path
from typing import Any, SupportsFloat
from weakref import WeakKeyDictionary

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor, nn

from weightscape.errors import BadInput, MismatchedModels
from weightscape.geometry.binding import Binding, bind
from weightscape.geometry.combination import Term, combine, largest, rounding_bound
from weightscape.geometry.export import export
from weightscape.geometry.held import Held, hold, version, with_delta, with_model
from weightscape.geometry.term_products import squared_norm, term_products

Point = Sequence[SupportsFloat] | Sequence[Sequence[SupportsFloat]] | np.ndarray | Tensor
"""Coefficients: `size` numbers, or (groups, size) in a span with layers."""


class Span:
    """The affine span ``origin + sum_i c_i * direction_i`` of models of one shape.

    ``Span(origin, directions)`` takes deltas, which may lack tensors (zero there).
    `Span.through` takes whole models, and `extended` adds one more of either. Tensors are held as
    they are given, without a copy where they are row-major on `device` already: clone what you go
    on changing. They may be views of mapped files (`mapped_tensors`).

    layers: name to group number, for all tensors that move or may come to move when the span is
    extended; every group then has its own coefficients (see `by_layer`).
    device: where the tensors are held; best where the modules are that are written to.

    size: number of coefficients. groups: number of groups, 1 without layers. names: the tensors
    that move. constants: tensors that are the same in all terms, bit for bit.

    Integer and boolean tensors do not move; they are the origin's. Floating buffers move like
    weights: BatchNorm's statistics at a point are sums of the ends' statistics, not those of the
    network at that point, and beyond the ends a variance may become negative; recompute them
    (`tasks.statistics.recompute_statistics`).

    With LoRA adapters a span of the adapters' own tensors moves in *factor space*: half way
    between ``B1 A1`` and ``B2 A2`` it is at ``(B1 + B2)(A1 + A2) / 4``. A span whose directions
    are their products moves in *product space*, where it is at ``(B1 A1 + B2 A2) / 2``. They
    agree at the ends and in general nowhere else.

    >>> span = Span.through([{"w": torch.zeros(2)}, {"w": torch.ones(2)}])
    >>> span.tensors([0.25])
    {'w': tensor([0.2500, 0.2500])}
    """

    def __init__(
        self,
        origin: Mapping[str, Tensor],
        directions: Sequence[Mapping[str, Tensor]] = (),
        *,
        layers: Mapping[str, int] | None = None,
        device: str | torch.device | None = None,
    ) -> None:
        self._device = None if device is None else torch.device(device)
        held = hold(origin, self._device)
        for direction in directions:
            held = with_delta(held, direction, self._device)
        self._set(held, layers)

    @classmethod
    def through(
        cls,
        models: Sequence[Mapping[str, Tensor]],
        *,
        layers: Mapping[str, int] | None = None,
        device: str | torch.device | None = None,
    ) -> "Span":
        """Span whole models: point c is ``(1 - sum c) m_0 + sum_i c_i m_i``.

        Models are held themselves, not their differences, so that each of them is a point of the
        span bit for bit. Raises MismatchedModels naming the first tensor that is not in all
        models in one shape.
        """
        if not models:
            raise BadInput("a span needs at least one model")
        span = cls(models[0], layers=layers, device=device)
        held = span._held
        for number, model in enumerate(models[1:], 1):
            for name in held.names:
                if name not in model:
                    raise MismatchedModels(f"tensor {name!r} is missing in model {number}")
            held = with_model(held, model, span._device)
        span._set(held, layers)
        return span

    def _set(self, held: Held, layers: Mapping[str, int] | None) -> None:
        self._held = held
        self._layers = None if layers is None else dict(layers)
        self.size = len(held.terms) - 1
        self.names = tuple(name for name in held.names if name not in held.constants)
        self.constants = tuple(held.constants)
        self.groups = 1
        if layers is not None:
            for name in self.names:
                if name not in layers:
                    raise BadInput(f"layers: give tensor {name!r} a group, for it moves")
            if min(layers.values(), default=0) < 0:
                raise BadInput("layers: groups are numbered from 0")
            self.groups = 1 + max(layers.values(), default=0)
        self._group = {name: self._layers[name] if self._layers else 0 for name in self.names}
        # each tensor as one dimension beside its term's number: made once, for views take time
        self._flat = {
            name: [(place, t[name].view(-1)) for place, t in enumerate(held.terms) if name in t]
            for name in self.names
        }
        self._bindings: WeakKeyDictionary[nn.Module, Binding] = WeakKeyDictionary()
        self._products: tuple[list[int], np.ndarray] | None = None

    def extended(
        self,
        *,
        model: Mapping[str, Tensor] | None = None,
        direction: Mapping[str, Tensor] | None = None,
    ) -> "Span":
        """Make a span with one more model or delta that shares all tensors held here.

        Coefficients of this span are valid in the new one with a zero behind them. A model may
        leave out the tensors that do not move; ``span.extended(model=span.tensors(point))`` puts
        a new control point anywhere (one that is to be trained should be a fresh copy, as here).
        """
        if (model is None) == (direction is None):
            raise BadInput("extend a span by a model or by a direction")
        span = Span.__new__(Span)
        span._device = self._device
        if model is not None:
            span._set(with_model(self._held, model, self._device), self._layers)
        elif direction is not None:
            span._set(with_delta(self._held, direction, self._device), self._layers)
        return span

    def vertex(self, number: int) -> tuple[float, ...]:
        """Give the coefficients of a model; 0 is the origin, 1 the first that was added."""
        if not 0 <= number <= self.size or not self._held.whole[number]:
            raise BadInput(f"term {number} of the span is no model; it has {self.size + 1} terms")
        return tuple(float(place == number) for place in range(1, self.size + 1))

    def coefficients(self, weights: Sequence[SupportsFloat]) -> tuple[float, ...]:
        """Turn weights of the models, the origin's first, which sum to one, into coefficients."""
        if len(weights) != self.size + 1 or not all(self._held.whole):
            raise BadInput(
                f"weights are one for each model, {self.size + 1} in this span, and it must be "
                f"one of models only; got {len(weights)}"
            )
        shares = [float(weight) for weight in weights]
        if not abs(fsum(shares) - 1.0) <= 1e-6:
            raise BadInput(f"weights of models must sum to 1, got {fsum(shares):g}")
        return tuple(shares[1:])

    def held(self, number: int) -> Mapping[str, Tensor]:
        """Lend the moving tensors of a term: 0 the origin, i that of coefficient i - 1.

        Writing into them in place moves the span: so a control point is trained. Models that are
        alike in a tensor may share it. Their ``.data`` is no way in: distances would not notice.
        """
        if not 0 <= number <= self.size:
            raise BadInput(f"the span has terms 0 to {self.size}, not {number}")
        return dict(self._held.terms[number])

    @torch.no_grad()
    def write(self, point: Point, module: nn.Module) -> None:
        """Write a point into a module in place, in float32 (see `error_bound`).

        A model's own point is copied bit for bit. Tensors that the module shares stay shared;
        those that the span does not know are left alone; those that do not move are written when
        the module is first seen and again when they were changed in place since.
        Raises MismatchedModels as `through` does, BadInput for a point of another shape.
        """
        weights = self._weights(point)
        binding = self._bindings.get(module)
        if binding is None or not binding.fits(module):
            binding = self._bindings[module] = bind(self._held, module)
        if not binding.constants_stand():
            binding.write_constants(self._held)
        for name, target in binding.moving:
            combine(target, self._terms(name, weights))

    @torch.no_grad()
    def tensor(self, name: str, point: Point) -> Tensor:
        """Make a tensor of a point exactly: the float64 sum rounded once to the origin's dtype."""
        if name in self._held.constants:
            return self._held.constants[name].clone()
        if name not in self._group:
            raise BadInput(f"the span has no tensor {name!r}")
        origin = self._held.terms[0][name]
        made = torch.empty_like(origin)
        combine(made, self._terms(name, self._weights(point)), torch.float64)
        return made

    def tensors(self, point: Point) -> dict[str, Tensor]:
        """Make all tensors of a point exactly, new ones; tied names share theirs."""
        made: dict[str, Tensor] = {}
        for name in self._held.names:
            kept = self._held.tied.get(name)
            made[name] = self.tensor(name, point) if kept is None else made[kept]
        return made

    def export(
        self,
        point: Point,
        folder: str | Path,
        *,
        config: Mapping[str, Any] | None = None,
        metadata: Mapping[str, str] | None = None,
        extra_files: Mapping[str, bytes] | None = None,
        overwrite: bool = False,
    ) -> Path:
        """Write a point exactly as a checkpoint, tensor by tensor (see `write_checkpoint`)."""
        self._weights(point)  # a bad point is refused before a folder is made
        return export(
            lambda name: self.tensor(name, point),
            self._held.names,
            self._held.tied,
            folder,
            config=config,
            metadata=metadata,
            extra_files=extra_files,
            overwrite=overwrite,
        )

    def error_bound(self, point: Point, dtype: torch.dtype | None = None) -> dict[str, float]:
        """Bound how far each element that `write` writes lies from the exact sum, by tensor.

        The same bound holds against the exact sum rounded to `dtype`, the module's (the origin's
        when not given): against `tensors`, if the module has the origin's dtypes. Its formula is
        `rounding_bound`'s, where no sum leaves the range of the dtype. Every call reads the terms.
        """
        weights = self._weights(point)
        bounds = {}
        for name in self.names:
            terms = [(tensor, weight) for tensor, weight in self._terms(name, weights) if weight]
            size = fsum(abs(weight) * largest(tensor) for tensor, weight in terms)
            kind = dtype or self._held.terms[0][name].dtype
            lone = len(terms) == 1 and terms[0][1] == 1.0 and terms[0][0].dtype == kind
            bounds[name] = 0.0 if lone else rounding_bound(size, size, len(terms), kind)
        return bounds

    def distance(self, p: Point, q: Point) -> float:
        """Measure the Euclidean distance of two points."""
        step = self._rows(p) - self._rows(q)
        products = self._term_products()[:, 1:, 1:]
        return sqrt(max(0.0, float(np.einsum("gi,gij,gj->", step, products, step))))

    def cosine(self, p: Point, q: Point) -> float:
        """Compare the directions of two points seen from the origin; NaN for the origin itself."""
        one, two = self._rows(p), self._rows(q)
        return _cosine(one, two, self._term_products()[:, 1:, 1:])

    def weight_cosine(self, p: Point, q: Point) -> float:
        """Compare the weights of two points, as vectors of all floating tensors."""
        products = self._term_products().copy()
        products[0, 0, 0] += squared_norm(self._held.constants.values())
        one, two = (np.insert(self._rows(point), 0, 1.0, axis=1) for point in (p, q))
        return _cosine(one, two, products)

    def _term_products(self) -> Float64[np.ndarray, "G K1 K1"]:
        # a control point that is trained moves: its products are those of the tensors as they are
        versions = [version(it) for term in self._held.terms for it in term.values()]
        if self._products is None or self._products[0] != versions:
            self._products = versions, term_products(self._held, self._group, self.groups)
        return self._products[1]

    def _rows(self, point: Point) -> Float64[np.ndarray, "G K"]:
        """Read a point as one row of coefficients for each group."""
        given = point.detach().cpu() if isinstance(point, Tensor) else point
        rows = np.asarray(given, dtype=np.float64)
        shapes = (
            [(self.size,)] if self._layers is None else [(self.size,), (self.groups, self.size)]
        )
        if rows.shape not in shapes:
            wanted = " or ".join(str(list(shape)) for shape in shapes)
            raise BadInput(f"a point of this span has shape {wanted}, got {list(rows.shape)}")
        if not np.isfinite(rows).all():
            raise BadInput("a point's coefficients must be finite numbers")
        return np.broadcast_to(rows, (self.groups, self.size))

    def _weights(self, point: Point) -> list[list[float]]:
        """Weigh the terms, group by group: the origin's share is what the other models leave."""
        whole = self._held.whole[1:]
        weighed = []
        for row in self._rows(point).tolist():
            of_models = [weight for weight, is_model in zip(row, whole, strict=True) if is_model]
            weighed.append([fsum([1.0, *(-weight for weight in of_models)]), *row])
        return weighed

    def _terms(self, name: str, weights: list[list[float]]) -> list[Term]:
        shares = weights[self._group[name]]
        return [(tensor, shares[place]) for place, tensor in self._flat[name]]


def _cosine(
    one: Float64[np.ndarray, "G K"],
    two: Float64[np.ndarray, "G K"],
    products: Float64[np.ndarray, "G K K"],
) -> float:
    def product(p: np.ndarray, q: np.ndarray) -> float:
        return float(np.einsum("gi,gij,gj->", p, products, q))

    squares = product(one, one) * product(two, two)
    return max(-1.0, min(1.0, product(one, two) / sqrt(squares))) if squares > 0 else nan
