"""Which weights a search may try, chosen before it is known how many models there are."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from weightscape.errors import BadInput
from weightscape.geometry.layers import by_layer
from weightscape.tuning.search_space import SearchSpace


@dataclass(frozen=True, slots=True)
class SpaceChoice:
    """A `SearchSpace` but for its models.

    kind, low, high, l1: as there. layers: whether each layer has weights of its own.
    """

    kind: Literal["simplex", "box"] = "simplex"
    low: float = -1.5
    high: float = 1.5
    l1: float = 0.0
    layers: bool = False

    def __post_init__(self) -> None:
        # refused before anything is computed, not after the models were loaded
        self.of(2, 1, 0)

    def of(self, models: int, groups: int, base: int | None) -> SearchSpace:
        """Give the space for so many models; base: the number of theirs that a box starts from."""
        place = base if self.kind == "box" else None
        return SearchSpace(self.kind, models, groups, place, self.low, self.high, self.l1)


def layer_groups(
    names: Sequence[str], head: Sequence[str]
) -> tuple[dict[str, int], tuple[str, ...]]:
    """Group the tensors of a model by layer, the head apart; and say what each group is.

    head: name prefixes of the head's tensors.

    >>> layer_groups(["embed.w", "layer.0.a.w", "layer.0.b.w", "head.b"], ["head."])[1]
    ('embed', 'layer.0', 'head')
    """
    if not names:
        raise BadInput("no tensor moves between these models; they are all the same")
    body = [name for name in names if not name.startswith(tuple(head))]
    groups: dict[str, int] = by_layer(body)
    heads = [name for name in names if name not in groups]
    groups |= dict.fromkeys(heads, 1 + max(groups.values(), default=-1))
    members: dict[int, list[str]] = {}
    for name in names:
        members.setdefault(groups[name], []).append(name)
    return groups, tuple(_shared_start(members[group]) for group in sorted(members))


def _shared_start(names: Sequence[str]) -> str:
    """Name tensors by the modules that all of them are in, or by the outermost ones."""
    parts = [name.split(".")[:-1] or [name] for name in names]
    shared = []
    for column in zip(*parts, strict=False):
        if len(set(column)) > 1:
            break
        shared.append(column[0])
    return ".".join(shared) or ", ".join(dict.fromkeys(it[0] for it in parts))


def weights_by_name(names: Sequence[str], weights: Sequence[float]) -> Mapping[str, float]:
    """Pair models and their weights."""
    return {name: float(weight) for name, weight in zip(names, weights, strict=True)}
