"""Blends that are chosen without a search: one model, the mean of all, the mean of some."""

from weightscape.blending.centroid import centroid
from weightscape.blending.greedy_soup import greedy_soup
from weightscape.tasks.finite import NonFinite
from weightscape.tuning.baselines.setting import BASELINES, NotHad, Rival, Setting
from weightscape.tuning.candidates import CandidateLoss
from weightscape.tuning.records import Weights


@BASELINES.register("best expert")
def best_expert(given: Setting) -> Rival:
    """Take the one model with the least loss on the development rows."""
    best = _ranked(given, given.losses())[0]
    return Rival(f"{given.spanned.names[best]} alone", weights=_mean(given, (best,)))


@BASELINES.register("uniform soup")
def uniform_soup(given: Setting) -> Rival:
    """Take the mean of all models (Wortsman et al. 2022, arXiv:2203.05482)."""
    why = f"the mean of all {len(given.members)} models"
    return Rival(why, weights=_mean(given, given.members))


@BASELINES.register("greedy soup")
def soup_by_loss(given: Setting) -> Rival:
    """Add models to a mean while its loss on the development rows falls, the best one first."""
    loss = given.losses()
    ranked = _ranked(given, loss)
    members = greedy_soup(ranked, lambda chosen: _loss(loss, _mean(given, chosen)))
    names = ", ".join(given.spanned.names[place] for place in members)
    return Rival(f"the mean of {names}", weights=_mean(given, members))


def _ranked(given: Setting, loss: CandidateLoss) -> list[int]:
    losses = {place: _loss(loss, _mean(given, (place,))) for place in given.members}
    ranked = sorted(given.members, key=lambda place: losses[place])
    if losses[ranked[0]] == float("inf"):
        raise NotHad("no model alone has a finite loss")
    return ranked


def _mean(given: Setting, members: tuple[int, ...]) -> Weights:
    return centroid(len(given.spanned.names), members)


def _loss(loss: CandidateLoss, weights: Weights) -> float:
    try:
        return float(loss.losses(weights).mean())
    except NonFinite:
        return float("inf")
