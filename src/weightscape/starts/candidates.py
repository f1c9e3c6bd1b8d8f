"""Points between models that a fine-tuning could start from, by kind.

Others register theirs, a function ``Pool -> list[Proposal]``, under the entry-point group
``weightscape.starts``.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from weightscape.blending.centroid import centroid
from weightscape.blending.greedy_soup import greedy_soup
from weightscape.blending.model_stock import model_stock
from weightscape.registry import Registry
from weightscape.starts.pool import OutOfTime, Pool, Weights
from weightscape.starts.records import Candidate

NEAREST = (2, 3, 4, 5)
"""How many of the models that a linear probe likes best may make up one centroid."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """A candidate and the point that it is: weights over the pool's models, or so per tensor."""

    candidate: Candidate
    weights: Weights


DRAWS = 1000
"""Of the rows, for the bagged soup."""

Proposer = Callable[[Pool], list[Proposal]]

CANDIDATES: Registry[Proposer] = Registry("start")


def propose(pool: Pool, kinds: Sequence[str] | None = None) -> list[Proposal]:
    """Gather the proposals of some kinds (all that are registered, if None), each point once.

    The base and the centroid of all are always among them: others are measured against these.
    Where two kinds come to one point, the first has it, and says what else it is. A kind that
    would have more points probed than there is time for proposes nothing.
    """
    wanted = list(CANDIDATES) if kinds is None else list(kinds)
    ordered = dict.fromkeys(("base", "centroid", *wanted))
    found: dict[bytes, Proposal] = {}
    names: set[str] = set()
    for kind in ordered:
        for proposal in _proposed(kind, pool):
            key = _key(proposal.weights)
            if key in found:
                found[key] = _also(found[key], proposal.candidate)
                continue
            found[key] = _named_apart(proposal, names)
            names.add(found[key].candidate.name)
    return list(found.values())


def _proposed(kind: str, pool: Pool) -> list[Proposal]:
    try:
        return CANDIDATES[kind](pool)
    except OutOfTime:
        return []


def at(pool: Pool, kind: str, name: str, why: str, weights: Weights) -> Proposal:
    """Make a proposal of weights over the pool's models in their order."""
    mean = weights if weights.ndim == 1 else weights.mean(axis=0)
    named = {
        model: float(share) for model, share in zip(pool.names, mean, strict=True) if share != 0.0
    }
    return Proposal(Candidate(name, kind, named, why), weights)


@CANDIDATES.register("base")
def base_itself(pool: Pool) -> list[Proposal]:
    """Propose the base, if there is one."""
    if pool.base is None:
        return []
    place = pool.names.index(pool.base)
    weights = centroid(len(pool.names), [place])
    return [at(pool, "base", pool.base, "the base that all models come from", weights)]


@CANDIDATES.register("models")
def each_model(pool: Pool) -> list[Proposal]:
    """Propose every model as it is."""
    return [
        at(pool, "model", pool.names[i], "a model of the pool", centroid(len(pool.names), [i]))
        for i in pool.models
    ]


@CANDIDATES.register("centroid")
def centroid_of_all(pool: Pool) -> list[Proposal]:
    """Propose the mean of all models but the base (Gueta et al. 2023, arXiv:2302.04863)."""
    why = f"the mean of all {len(pool.models)} models"
    return [at(pool, "centroid", "centroid", why, centroid(len(pool.names), pool.models))]


@CANDIDATES.register("regions")
def centroid_of_each_region(pool: Pool) -> list[Proposal]:
    """Propose the mean of each region's models."""
    proposals = []
    for label, members in pool.regions.items():
        places = [i for i in pool.places(members) if pool.names[i] != pool.base]
        if len(places) > 1:
            why = f"the mean of the {len(places)} models of {label}"
            weights = centroid(len(pool.names), places)
            proposals.append(at(pool, "region", f"centroid of {label}", why, weights))
    return proposals


@CANDIDATES.register("nearest")
def centroid_of_the_nearest(pool: Pool) -> list[Proposal]:
    """Propose the mean of the k models with the least probe loss, k by the probe of the mean."""
    ranked = _by_probe(pool)
    counts = [k for k in NEAREST if k <= len(ranked)]
    means = {k: centroid(len(pool.names), ranked[:k]) for k in counts}
    best = min(counts, key=lambda k: pool.probe_loss(means[k]))
    why = f"the mean of the {best} models with the least probe loss on the task's rows"
    return [at(pool, "nearest", f"centroid of the {best} nearest", why, means[best])]


@CANDIDATES.register("bagged")
def bagged_soup(pool: Pool) -> list[Proposal]:
    """Propose models weighed by how likely each is to have the least probe loss.

    The likelihood is the share of bootstrap draws of the rows in which a model is the best, the
    base among them: the mean of what one would choose had one other rows (bagging, Breiman 1996,
    doi:10.1007/BF00058655), in weight space.
    """
    weights = _bagged(pool)
    why = "each model by how often it has the least probe loss when the rows are drawn anew"
    return [at(pool, "bagged", "bagged soup", why, weights)]


@CANDIDATES.register("halfway")
def halfway_to_the_bagged(pool: Pool) -> list[Proposal]:
    """Propose the middle between the base, which is needed, and the bagged soup.

    With few rows it is not sure which models help; halfway most of what they bring is there, and
    little of what they spoil (Wortsman et al. 2022, "Robust fine-tuning of zero-shot models",
    arXiv:2109.01903, between a pretrained and a fine-tuned model).
    """
    if pool.base is None:
        return []
    middle = 0.5 * _bagged(pool)
    middle[pool.names.index(pool.base)] += 0.5
    why = "half the base, half each model by how often it has the least probe loss"
    return [at(pool, "halfway", "middle of base and bagged soup", why, middle)]


def _bagged(pool: Pool) -> Weights:
    losses = []
    for place in range(len(pool.names)):
        weights = centroid(len(pool.names), [place])
        pool.probe_loss(weights)  # raises OutOfTime, which what is known already does not
        losses.append(pool.probe_losses(weights))
    rows = np.array(losses)
    rows = rows[:, ~np.isnan(rows).any(axis=0)]
    rows = np.where(np.isfinite(rows), rows, 1e12)  # never the best
    count = rows.shape[1]
    drawn = np.random.default_rng(0).multinomial(count, np.full(count, 1 / count), size=DRAWS)
    best = (drawn @ rows.T).argmin(axis=1)
    shares: Weights = np.bincount(best, minlength=len(rows)) / DRAWS
    return shares


@CANDIDATES.register("greedy soup")
def soup_by_probe(pool: Pool) -> list[Proposal]:
    """Propose a soup to which models are added while the probe's held-out loss falls."""

    def loss(members: tuple[int, ...]) -> float:
        return pool.probe_loss(centroid(len(pool.names), members))

    members = greedy_soup(_by_probe(pool), loss)
    why = f"a soup of {len(members)}: models added while the probe loss fell"
    return [at(pool, "greedy soup", "greedy soup", why, centroid(len(pool.names), members))]


@CANDIDATES.register("model stock")
def stock_of_all(pool: Pool) -> list[Proposal]:
    """Propose Model Stock of all models, which needs the base."""
    if pool.base is None:
        return []
    base = pool.names.index(pool.base)
    weights = model_stock(pool.tree.gram, base, list(pool.models))
    why = f"Model Stock of all {len(pool.models)} models, tensor by tensor"
    return [at(pool, "model stock", "model stock", why, weights)]


@CANDIDATES.register("region stocks")
def stock_of_each_region(pool: Pool) -> list[Proposal]:
    """Propose Model Stock of each region's models."""
    proposals: list[Proposal] = []
    for label, members in pool.regions.items():
        places = [i for i in pool.places(members) if pool.names[i] != pool.base]
        if pool.base is not None and len(places) > 1:
            weights = model_stock(pool.tree.gram, pool.names.index(pool.base), places)
            why = f"Model Stock of the {len(places)} models of {label}, tensor by tensor"
            proposals.append(at(pool, "region stock", f"model stock of {label}", why, weights))
    return proposals


def _by_probe(pool: Pool) -> list[int]:
    def loss(place: int) -> float:
        return pool.probe_loss(centroid(len(pool.names), [place]))

    return sorted(pool.models, key=loss)


def _key(weights: Weights) -> bytes:
    one = weights if weights.ndim == 1 or not (weights == weights[0]).all() else weights[0]
    return np.round(one, 9).tobytes()


def _also(proposal: Proposal, other: Candidate) -> Proposal:
    if other.name == proposal.candidate.name:
        return proposal
    why = f"{proposal.candidate.why}; also the {other.name}"
    return replace(proposal, candidate=replace(proposal.candidate, why=why))


def _named_apart(proposal: Proposal, taken: set[str]) -> Proposal:
    name, number = proposal.candidate.name, 2
    while name in taken:
        name, number = f"{proposal.candidate.name} ({number})", number + 1
    return replace(proposal, candidate=replace(proposal.candidate, name=name))
