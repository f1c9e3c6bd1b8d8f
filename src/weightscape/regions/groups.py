"""A group of models held in one span, with what lies outside of it, and their distances."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import sqrt
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64

from weightscape.errors import BadInput
from weightscape.geometry.held import Held
from weightscape.geometry.span import Span
from weightscape.geometry.term_products import term_products
from weightscape.progress import Progress, silent
from weightscape.regions.hull_places import mean_distance
from weightscape.tasks.label_order import Source
from weightscape.tasks.live import LiveModel
from weightscape.tasks.spanning import Space, SpannedModels, open_span
from weightscape.tasks.task import Task


@dataclass(frozen=True, slots=True)
class Group:
    """Models in one span: the first `members` of them are the group.

    outside, base, placed: positions of the others in the span; base is None if none was given.
    products [T, N, N]: inner products of all models' differences from the first, for each of the
    span's moving tensors, in float64.
    """

    spanned: SpannedModels
    members: int
    outside: tuple[int, ...]
    base: int | None
    placed: tuple[int, ...]
    products: Float64[np.ndarray, "T N N"]

    @property
    def names(self) -> tuple[str, ...]:
        """Name the group's members."""
        return self.spanned.names[: self.members]

    @property
    def gram(self) -> Float64[np.ndarray, "N N"]:
        """Add up the inner products of all tensors."""
        total: Float64[np.ndarray, "N N"] = self.products.sum(axis=0)
        return total

    @property
    def centroid(self) -> Float64[np.ndarray, " N"]:
        """Weigh the members alike, and the others not at all."""
        weights = np.zeros(len(self.spanned.names))
        weights[: self.members] = 1 / self.members
        return weights

    @property
    def unit(self) -> float:
        """Measure the members' mean distance from their centroid."""
        return mean_distance(self.gram[: self.members, : self.members])

    def vertex(self, number: int) -> Float64[np.ndarray, " N"]:
        """Weigh one model with 1, and the others not at all."""
        weights = np.zeros(len(self.spanned.names))
        weights[number] = 1.0
        return weights

    def distance(self, weights: Float64[np.ndarray, " N"]) -> float:
        """Measure how far a point, given by weights of sum 1, is from the centroid."""
        step = weights - self.centroid
        return sqrt(max(0.0, float(step @ self.gram @ step)))

    def by_name(self, weights: Float64[np.ndarray, " N"]) -> dict[str, float]:
        """Name the models that have weight."""
        pairs = zip(self.spanned.names, weights.tolist(), strict=True)
        return {name: weight for name, weight in pairs if weight}


def open_group(
    models: Sequence[Source],
    tasks: Sequence[Task],
    *,
    outside: Sequence[Source] = (),
    base: Source | None = None,
    place: Sequence[Source] = (),
    space: Space = "product",
    names: Mapping[str, str] | None = None,
    progress: Progress = silent,
    **loading: Any,
) -> Group:
    """Load a group, what lies outside of it, its base and those to be placed into one span.

    names: what models are to be called, by their sources; their folders' names if not given.

    Models are put in the order of their names, so that the order in which they are given changes
    nothing. A base or placed model that is among the others is loaded once.

    Raises BadInput for fewer than two models, one that is given twice, or a group without extent.
    """
    if isinstance(models, str | Path | LiveModel):
        raise BadInput("a region is one of several models: give them in a list")
    members, others = _in_order(models), _in_order(outside)
    if len(members) < 2:
        raise BadInput(f"a region needs two or more models, got {len(members)}")
    _refuse_repeated([*members, *others])
    further = [*([] if base is None else [base]), *place]
    wanted = {_key(source): source for source in [*members, *others, *further]}
    at = {key: number for number, key in enumerate(wanted)}
    spanned = open_span(
        list(wanted.values()), tasks, head="probe", space=space, progress=progress, **loading
    )
    sources = list(wanted.values())
    spanned = replace(spanned, names=called(sources, spanned.names, names or {}))
    with progress.stage("comparing weights", total=1, unit="passes") as advance:
        products = tensor_products(spanned.span)
        advance(1)
    group = Group(
        spanned=spanned,
        members=len(members),
        outside=tuple(range(len(members), len(members) + len(others))),
        base=None if base is None else at[_key(base)],
        placed=tuple(at[_key(source)] for source in place),
        products=products,
    )
    _refuse_same(group)
    return group


def called(
    sources: Sequence[Source], own: Sequence[str], names: Mapping[str, str]
) -> tuple[str, ...]:
    """Call models as they are to be called, by their sources; others by their own names.

    >>> called(["zoo/a", "other/b", "my/a"], ["a", "b", "my/a"], {"zoo/a": "b"})
    ('b', 'other/b', 'my/a')
    """
    places = [it.name if isinstance(it, LiveModel) else str(it) for it in sources]
    given = {place: names[place] for place in places if place in names}
    return tuple(
        given.get(place) or (name if name not in given.values() else place)
        for place, name in zip(places, own, strict=True)
    )


def tensor_products(span: Span) -> Float64[np.ndarray, "T N N"]:
    """Multiply the models' differences from the first one, moving tensor by moving tensor."""
    terms = tuple(span.held(number) for number in range(span.size + 1))
    held = Held(tuple(terms[0]), {}, terms, (True,) * len(terms), {})
    places = {name: number for number, name in enumerate(span.names)}
    products = term_products(held, places, len(places))
    # a span's first row is its origin itself, which is no difference
    products[:, 0, :] = products[:, :, 0] = 0.0
    return products


def _in_order(sources: Iterable[Source]) -> list[Source]:
    return sorted(sources, key=_name)


def _name(source: Source) -> tuple[str, str]:
    if isinstance(source, LiveModel):
        return source.name, ""
    return Path(source).name, str(source)


def _key(source: Source) -> object:
    if isinstance(source, LiveModel):
        return id(source)
    return Path(source).resolve() if Path(source).exists() else str(source)


def _refuse_repeated(sources: Sequence[Source]) -> None:
    seen: set[object] = set()
    for source in sources:
        if _key(source) in seen:
            raise BadInput(
                f"{_name(source)[0]} is given twice; a model is once in the group or outside of it"
            )
        seen.add(_key(source))


def _refuse_same(group: Group) -> None:
    """Refuse a group that is one point, and members that are outside as well."""
    inside: Mapping[str, str] = dict(zip(group.spanned.fingerprints, group.names, strict=False))
    for number in group.outside:
        twin = inside.get(group.spanned.fingerprints[number])
        if twin is not None:
            raise BadInput(
                f"{group.spanned.names[number]}, which is to be outside, is equal to {twin} of "
                "the group"
            )
    if not group.unit > 0:
        raise BadInput(
            f"the weights of {', '.join(group.names[:5])} are equal: one point is no region"
        )
