"""Averages of models by what is known of them: RegMean, Fisher information, Model Stock."""

from weightscape.blending.layer_statistics import (
    fisher_average_of_span,
    regmean_of_span,
    span_fishers,
    span_grams,
)
from weightscape.blending.model_stock import model_stock
from weightscape.errors import BadInput
from weightscape.geometry.held import hold, with_model
from weightscape.geometry.term_products import term_products
from weightscape.tuning.baselines.setting import BASELINES, NO_BASE, NotHad, Rival, Setting


@BASELINES.register("regmean")
def regmean_average(given: Setting) -> Rival:
    """Merge by the inputs of linear layers on the target's training rows."""
    members = list(given.members)
    try:
        grams = span_grams(
            given.spanned,
            given.task,
            members=members,
            folder=given.folder / "statistics",
            progress=given.progress,
        )
        tensors = regmean_of_span(given.spanned, grams, members=members, progress=given.progress)
    except BadInput as problem:
        raise NotHad(str(problem)) from problem
    return Rival("RegMean, by the inputs of linear layers on training rows", tensors=tensors)


@BASELINES.register("fisher")
def fisher_weighted_average(given: Setting) -> Rival:
    """Merge by the Fisher information of each parameter on the target's training rows."""
    members = list(given.members)
    try:
        fishers = span_fishers(
            given.spanned,
            given.task,
            members=members,
            seed=given.how.seed,
            folder=given.folder / "statistics",
            progress=given.progress,
        )
        tensors = fisher_average_of_span(
            given.spanned, fishers, members=members, progress=given.progress
        )
    except BadInput as problem:
        raise NotHad(str(problem)) from problem
    return Rival("weighed by each parameter's Fisher information on training rows", tensors=tensors)


@BASELINES.register("model stock")
def stock(given: Setting) -> Rival:
    """Go from the base to the mean as far as the models' angles say, tensor by tensor."""
    if given.base is None:
        raise NotHad(NO_BASE)
    if len(given.members) < 2:
        raise NotHad("it needs two models or more")
    span = given.spanned.span
    held = hold(span.held(0), None)
    for place in range(1, span.size + 1):
        held = with_model(held, span.held(place), None)
    layers = {name: place for place, name in enumerate(span.names)}
    products = term_products(held, layers, len(layers))
    # of the deltas from the first model; that one's own is zero
    products[:, 0, :] = products[:, :, 0] = 0.0
    weights = model_stock(products, given.base, list(given.members))
    kept = float(weights[:, given.base].mean())
    why = f"Model Stock, which leaves the base a share of {kept:.2f} (mean over tensors)"
    return Rival(why, weights=weights, layers=layers)
