"""LoraHub's search: coefficients of deltas in a box, from none of them."""

from dataclasses import replace

from weightscape.errors import BadInput
from weightscape.tuning.baselines.setting import BASELINES, NO_BASE, NotHad, Rival, Setting
from weightscape.tuning.search import find_weights
from weightscape.tuning.search_space import SearchSpace

EVALUATIONS = 40
"""Of LoraHub's own recipe."""


@BASELINES.register("lorahub")
def lorahub(given: Setting) -> Rival:
    """Search as LoraHub does (Huang et al. 2023, arXiv:2307.13269), on all development rows.

    In a box of ±1.5 with 0.05 times the mean magnitude of coefficients on top of the loss, from
    the base, 40 candidates; what is blended are whole deltas, and the sampler is the search's.
    """
    if given.base is None:
        raise NotHad(NO_BASE)
    space = SearchSpace("box", len(given.spanned.names), base=given.base, l1=0.05)
    how = replace(
        given.how,
        space=space,
        layers=None,
        evaluations=EVALUATIONS,
        minutes=None,
        racing=None,
        surrogate=None,
        choice=False,
    )
    try:
        found = find_weights(given.spanned, given.task, how, given.dev, progress=given.progress)
    except BadInput as problem:
        raise NotHad(str(problem)) from problem
    told = f"{EVALUATIONS} candidates of {how.sampler} in a box of ±1.5"
    return Rival(told, weights=found.best.weights)
