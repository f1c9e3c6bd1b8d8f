"""Which candidates get short runs: those that linear probes like best."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import inf

from weightscape.errors import BadInput
from weightscape.progress import Progress, silent
from weightscape.starts.candidates import CANDIDATES, Proposal, propose
from weightscape.starts.pool import OutOfTime, Pool, Weights
from weightscape.starts.scoring import ProbeScores

ALWAYS = ("base", "centroid")
"""Kinds that get short runs whatever their probes say: others are measured against them."""

CAUTIOUS = ("base", "halfway")
"""Kinds that are run to the end: what is no better than these beyond noise is not worth a risk."""

SHARE = 0.4
"""The most of a budget of minutes that goes into probes: short runs know more of a start."""


@dataclass(frozen=True, slots=True)
class Shortlist:
    """Candidates by probe, best first, and how many there was no time to probe.

    Candidates that had to be probed to be made, a soup say, are not counted. broken: names of those
    whose features are not finite, from which nothing can be trained.
    """

    proposals: tuple[Proposal, ...]
    unprobed: int
    broken: tuple[str, ...] = ()


def shortlist(
    pool: Pool,
    kinds: Sequence[str] | None,
    probes: ProbeScores,
    in_time: Callable[[], bool],
    progress: Progress = silent,
) -> Shortlist:
    """Propose candidates and probe them: the base, the centroid and the regions', then the others.

    Once it is no more `in_time`, only what is known already is probed, and the base and the
    centroid.
    """
    with progress.stage("linear probes", unit="points") as advance:

        def loss(weights: Weights, *, late: bool = False) -> float:
            if not (late or probes.knows(weights) or in_time()):
                raise OutOfTime
            before = probes.computed
            found = probes.loss(weights)
            advance(probes.computed - before)
            return found

        asked = replace(pool, probe_loss=loss)
        wanted = list(CANDIDATES) if kinds is None else kinds
        first = propose(asked, [kind for kind in wanted if kind == "regions"])
        for always in (True, False):
            for it in first:
                if (it.candidate.kind in ALWAYS) == always:
                    _rated(it, loss, late=always)
        losses = [(it, _rated(it, loss)) for it in propose(asked, kinds)]
    known = sorted(((it, found) for it, found in losses if found is not None), key=lambda it: it[1])
    return Shortlist(
        tuple(it for it, _ in known),
        len(losses) - len(known),
        tuple(it.candidate.name for it, found in known if found == inf),
    )


def _rated(proposal: Proposal, loss: Callable[..., float], *, late: bool = False) -> float | None:
    try:
        return loss(proposal.weights, late=late)
    except OutOfTime:
        return None


def finalists(found: Shortlist, count: int) -> list[Proposal]:
    """Take the base, the centroid, the cautious ones and the best others by probe.

    Raises BadInput where nothing can be trained from any candidate.
    """
    sure = {*ALWAYS, *CAUTIOUS}
    able = [it for it in found.proposals if it.candidate.name not in found.broken]
    if not able:
        raise BadInput(
            f"what a head reads of the task's rows is not finite at any of {len(found.broken)} "
            "candidates; does the base work on these rows, and does it in float32?"
        )
    always = [it for it in able if it.candidate.kind in sure]
    others = [it for it in able if it.candidate.kind not in sure]
    # the base first: where time is short, the gain over it is what is asked for
    return [*sorted(always, key=lambda it: it.candidate.kind), *others[:count]]
