"""The models that starts are made from, in one span, and what is known of them without training."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import xxhash
from jaxtyping import Float64

from weightscape.errors import BadInput, UnknownName
from weightscape.geometry.held import hold, with_model
from weightscape.geometry.products import Moments, TreeGram, subset
from weightscape.geometry.span import Span
from weightscape.geometry.term_products import term_products
from weightscape.progress import Progress, silent
from weightscape.regions.chart import chart_regions
from weightscape.regions.groups import called
from weightscape.tasks.label_order import Source
from weightscape.tasks.live import LiveModel
from weightscape.tasks.spanning import SpannedModels, open_span
from weightscape.tasks.task import Task


class OutOfTime(Exception):
    """There is no time left to probe a point that has not been probed yet."""


Weights = Float64[np.ndarray, " N"] | Float64[np.ndarray, "G N"]
"""Over the models of a pool in their order, summing to one; or so for each moving tensor."""


@dataclass(frozen=True, slots=True)
class Pool:
    """Models of one family, as candidates for starts see them.

    spanned: all of them, the base first; its span has a group of coefficients for every moving
    tensor. base: its name. regions: label to members. tree: per-tensor Grams, in the span's order.
    probe_loss: the held-out loss of a linear probe at a point, cross-validated on the user's rows;
    raises OutOfTime. probe_losses: that of each row [n], NaN for rows that are not scored.
    """

    spanned: SpannedModels
    base: str | None
    regions: Mapping[str, tuple[str, ...]]
    tree: TreeGram
    probe_loss: Callable[[Weights], float]
    probe_losses: Callable[[Weights], Float64[np.ndarray, " n"]]

    @property
    def names(self) -> tuple[str, ...]:
        """Name all models, the base among them."""
        return self.spanned.names

    @property
    def models(self) -> tuple[int, ...]:
        """Number the models but the base."""
        return tuple(i for i, name in enumerate(self.names) if name != self.base)

    def places(self, members: Sequence[str]) -> list[int]:
        """Number models by name; raises UnknownName."""
        for name in members:
            if name not in self.names:
                raise UnknownName("model", name, self.names)
        return [self.names.index(name) for name in members]


def open_pool(
    models: Sequence[Source],
    task: Task,
    *,
    base: Source | None = None,
    regions: Mapping[str, Sequence[str]] | None = None,
    seed: int = 0,
    names: Mapping[str, str] | None = None,
    progress: Progress = silent,
    **loading: Any,
) -> Pool:
    """Load models and span them; regions that are not given are found from their own Grams.

    names: what models are to be called, by their sources; their folders' names if not given.
    `probe_loss` has yet to be put in.

    Raises BadInput for fewer than two models; MismatchedModels as `open_span` does.
    """
    others = [it for it in models if base is None or not _same(it, base)]
    if len(others) < 2:
        raise BadInput(
            f"a start is sought between models, and there {'is' if len(others) == 1 else 'are'} "
            f"{len(others)} beside the base; give two or more"
        )
    sources = others if base is None else [base, *others]
    whole = open_span(sources, task, head="probe", space="product", progress=progress, **loading)
    if not whole.span.names:
        raise BadInput(
            "all these models are one and the same, bit for bit; there is nothing between"
        )
    spanned = replace(
        whole, span=_by_tensor(whole.span), names=called(sources, whole.names, names or {})
    )
    name = None if base is None else spanned.names[0]
    tree = _products(spanned)
    found = _charted(tree, name, seed) if regions is None else regions
    pool = Pool(spanned, name, {k: tuple(v) for k, v in found.items()}, tree, _unknown, _unknown)
    for members in pool.regions.values():
        pool.places(members)
    return pool


def point_of(weights: Weights) -> Float64[np.ndarray, "..."]:
    """Give the span's coefficients of weights: the origin's share is what the others leave."""
    return weights[..., 1:]


def write_point(spanned: SpannedModels, weights: Weights) -> None:
    """Write a point into the live module."""
    spanned.span.write(point_of(weights), spanned.model.module)


def content_of(spanned: SpannedModels, weights: Weights) -> str:
    """Hash what a point is: the contents of the models that have weight there, and how much."""
    shares = np.round(weights, 12) + 0.0
    parts = sorted(
        f"{fingerprint} {np.ascontiguousarray(shares[..., place]).tobytes().hex()}"
        for place, fingerprint in enumerate(spanned.fingerprints)
        if np.any(np.abs(shares[..., place]) > 1e-12)
    )
    told = f"{parts}{spanned.space}{spanned.surroundings}"
    if weights.ndim == 2:
        told += str(spanned.span.names)
    return xxhash.xxh3_128_hexdigest(told.encode())


def _unknown(weights: Weights) -> Any:
    raise BadInput("this pool has no probe yet")


def _same(one: Source, other: Source) -> bool:
    if isinstance(one, LiveModel) or isinstance(other, LiveModel):
        return one is other
    return Path(one).resolve() == Path(other).resolve() if Path(one).exists() else one == other


def _by_tensor(span: Span) -> Span:
    """Give every moving tensor its own coefficients; the tensors stay where they are."""
    origin = span.tensors(span.vertex(0))
    still = {name: origin[name] for name in span.constants}
    del origin
    terms = [{**span.held(i), **still} for i in range(span.size + 1)]
    return Span.through(terms, layers={name: i for i, name in enumerate(span.names)})


def _products(spanned: SpannedModels) -> TreeGram:
    """Multiply the models' deltas from the first one, tensor by tensor."""
    span = spanned.span
    held = hold(span.held(0), None)
    for place in range(1, span.size + 1):
        held = with_model(held, span.held(place), None)
    group = {name: place for place, name in enumerate(span.names)}
    products = term_products(held, group, len(group))
    products[:, 0, :] = products[:, :, 0] = 0.0
    count = len(spanned.names)
    blank = np.full((len(group), count), np.nan)
    moments = Moments(
        blank,
        blank,
        blank,
        blank,
        np.zeros(blank.shape, dtype=np.int64),
        (("",) * count,) * len(group),
    )
    shapes = tuple(tuple(held.terms[0][name].shape) for name in group)
    return TreeGram(spanned.names, tuple(group), shapes, products, moments, spanned.names[0])


def _charted(tree: TreeGram, base: str | None, seed: int) -> dict[str, tuple[str, ...]]:
    found = chart_regions(subset(tree, tree.models), base=base, seed=seed)
    return {region.label: region.members for region in found.regions}
