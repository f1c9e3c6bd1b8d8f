"""How a search of weights goes, and what is refused before anything is trained or loaded for it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch

from weightscape.errors import BadInput
from weightscape.tuning.racing import Racing
from weightscape.tuning.samplers import DEFAULT_SAMPLER, check_sampler
from weightscape.tuning.search_space import SearchSpace
from weightscape.tuning.trust_region import TrustRegion


@dataclass(frozen=True, slots=True)
class Searching:
    """How a search goes.

    space: by default the simplex, one weight a model. sampler: name in `SAMPLERS`. evaluations:
    candidates that go through the network; minutes: at most, from the first candidate on. One of
    them is needed, and the first that is spent ends the search.
    racing, surrogate: None to do without. choice: whether a third of the rows is kept to choose
    among the best on; of few rows that have a surrogate, each third in turn, to choose how far to
    go from the start to the best. layers: moving tensor to layer group, for a space of several
    groups. limit: development rows at most.
    """

    space: SearchSpace | None = None
    sampler: str = DEFAULT_SAMPLER
    evaluations: int | None = 150
    minutes: float | None = None
    racing: Racing | None = field(default_factory=Racing)
    surrogate: TrustRegion | None = field(default_factory=TrustRegion)
    choice: bool = True
    layers: Mapping[str, int] | None = field(default=None, repr=False)
    limit: int | None = None
    batch: int = 64
    autocast: torch.dtype | None = None
    seed: int = 0


def check_searching(how: Searching) -> None:
    """Refuse a search that could not go on.

    Raises BadInput for one without a budget, UnknownName and MissingExtra for a sampler that
    cannot be had: told now, and not where the surrogate did not hold.
    """
    if how.evaluations is None and how.minutes is None:
        raise BadInput("a search needs a budget: a number of evaluations, or minutes")
    check_sampler(how.sampler)
