"""What is known of a tree before its distances are weighed: copies, casts, merges, runs, claims."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from weightscape.catalog.records import ModelFacts
from weightscape.lineage.copies import is_part
from weightscape.lineage.kinds import Look, scattered_zeros
from weightscape.lineage.kinship import ROUNDING_MARGIN, SIGNIFICAND_BITS, Kinship, dtype_of
from weightscape.lineage.mixes import DeclaredMix, declared_mix, find_mixes, no_heirs
from weightscape.lineage.rooting import Constraints

EXACTLY = 1e-3  # growth is known to this, from norms and distances in double precision
FEWEST_PRUNED = 3  # matrices in which growth must be exact: in one it may be chance
AS_ROUNDED = 0.9999  # share of a tensor's elements that are the source's, rounded, in a cast
LEAST_CARRIED = 0.3  # share of a step's change that any later step of the run still has


@dataclass(frozen=True, slots=True)
class Known:
    """Certain links among the distinct models of a tree, by index.

    casts: source by cast. pruned: whole model by pruned one. merges: weights by source by merged
    model. told: merges whose files name the sources, and the share of their change that lies along
    those. no_heirs: (merge, model) pairs of which the second does not come from the first. runs:
    the step before by step. denied: those of them that the weights speak against. adapters: base
    by adapter. declared: bases that a model's files name, nearest first.
    """

    casts: Mapping[int, int] = field(default_factory=dict)
    pruned: Mapping[int, int] = field(default_factory=dict)
    merges: Mapping[int, Mapping[int, float]] = field(default_factory=dict)
    told: Mapping[int, float] = field(default_factory=dict)
    no_heirs: frozenset[tuple[int, int]] = frozenset()
    runs: Mapping[int, int] = field(default_factory=dict)
    denied: Mapping[int, int] = field(default_factory=dict)
    adapters: Mapping[int, int] = field(default_factory=dict)
    declared: Mapping[int, tuple[int, ...]] = field(default_factory=dict)

    def constraints(self, *, childless_merges: bool = False) -> Constraints:
        """Turn the links into what the search for a root must respect."""
        heaviest = {
            child: max(sources, key=lambda source: (sources[source], -source))
            for child, sources in self.merges.items()
        }
        forced = {**heaviest, **self.runs, **self.pruned, **self.casts, **self.adapters}
        derived = frozenset({*self.casts, *self.pruned})
        barren = frozenset(self.merges) if childless_merges else frozenset()
        return Constraints(_without_cycles(forced), self.no_heirs, self.declared, derived, barren)


def _without_cycles(forced: Mapping[int, int]) -> dict[int, int]:
    """Drop the links that would make a model its own ancestor: files may claim anything."""
    kept: dict[int, int] = {}
    for child, parent in sorted(forced.items()):
        above = parent
        while above in kept and above != child:
            above = kept[above]
        if above != child:
            kept[child] = parent
    return kept


def find_known(
    kinship: Kinship,
    facts: Mapping[str, ModelFacts],
    same: Mapping[str, str],
    look: Look | None = None,
) -> Known:
    """Gather what files and near-zero distances settle; `same` gives a copy's original.

    With a `look`, a cast must equal its source rounded, element by element.
    """
    index = {name: i for i, name in enumerate(kinship.models)}

    def place(name: str) -> int | None:
        return index.get(same.get(name, name))

    declared: dict[int, tuple[int, ...]] = {}
    adapters: dict[int, int] = {}
    for name, i in index.items():
        fact = facts.get(name, ModelFacts(name))
        bases = [place(base) for base in fact.declared]
        found = tuple(b for b in bases if b is not None and b != i)
        if found:
            declared[i] = found
            if fact.adapter_ranks is not None:
                adapters[i] = found[0]
    casts = _find_casts(kinship, facts, look)
    pruned = _find_pruned(kinship, facts, casts, look)
    derived = {*casts, *adapters, *pruned}
    plain = [i for i in range(len(kinship.models)) if i not in derived]
    merges = find_mixes(kinship, facts, plain)
    confirmed = _declared_mixes(kinship, facts, plain, place, declared)
    merges |= {i: mix.weights for i, mix in confirmed.items()}
    return Known(
        casts=casts,
        pruned=pruned,
        merges=merges,
        told={i: mix.share for i, mix in confirmed.items()},
        no_heirs=no_heirs(kinship, merges),
        runs=_find_runs(kinship, facts),
        adapters=adapters,
        declared=declared,
    )


def _declared_mixes(
    kinship: Kinship,
    facts: Mapping[str, ModelFacts],
    plain: Sequence[int],
    place: Callable[[str], int | None],
    declared: Mapping[int, tuple[int, ...]],
) -> dict[int, DeclaredMix]:
    reference = place(kinship.tree.reference or "")
    origin = () if reference is None else (reference,)
    found: dict[int, DeclaredMix] = {}
    for i in plain:
        fact = facts.get(kinship.models[i], ModelFacts(kinship.models[i]))
        sources = {s for s in map(place, fact.sources) if s is not None and s != i}
        bases = {*declared.get(i, ()), *origin}
        mix = declared_mix(kinship, i, sorted(sources), sorted(bases))
        if mix is not None:
            found[i] = mix
    return found


def _find_casts(
    kinship: Kinship, facts: Mapping[str, ModelFacts], look: Look | None
) -> dict[int, int]:
    """Find models that differ from a nearby one of another dtype by no more than rounding.

    The narrower one is the child, unless the wider holds exactly the narrower's values: rounding
    loses something, so then it is the wider one that was made from the other. A fine-tune may
    move as little as rounding does, so the distance only proposes and the look decides.
    """
    dtypes = [dtype_of(kinship, facts, i) for i in range(len(kinship.models))]
    bits = np.array([SIGNIFICAND_BITS.get(dtype, 24) for dtype in dtypes])
    casts: dict[int, int] = {}
    for narrow in np.argsort(-bits, kind="stable"):
        wider = np.flatnonzero(bits > bits[narrow])
        if not wider.size:
            continue
        nearest = wider[np.argsort(kinship.squared[wider, narrow], kind="stable")[:3]]
        allowed = ROUNDING_MARGIN * kinship.rounding(int(narrow), dtypes[narrow])
        apart = kinship.raw_apart(nearest, np.full_like(nearest, narrow))
        for column, wide in enumerate(nearest):
            moved = np.nan_to_num(apart[:, column])
            source, cast = int(wide), int(narrow)
            if (moved == 0.0).all():
                source, cast = cast, source
            if (moved <= allowed).all() and _is_cast(kinship, source, cast, look):
                casts.setdefault(cast, source)
                break
    return _without_cycles(casts)


def _is_cast(kinship: Kinship, source: int, cast: int, look: Look | None) -> bool:
    if look is None:
        return True
    rounded = look(kinship.models[source], kinship.models[cast]).rounded
    return min(rounded.values(), default=0.0) >= AS_ROUNDED


def _find_pruned(
    kinship: Kinship,
    facts: Mapping[str, ModelFacts],
    casts: Mapping[int, int],
    look: Look | None,
) -> dict[int, int]:
    """Find models that are a nearby one with elements set to zero.

    What was taken away is orthogonal to what was left, exactly and in every matrix, so growth
    from the pruned model to the whole one is 1 to all digits; an update only comes near that.
    Whole matrices of zeros do not count: updates are orthogonal to those too. Of models that have
    one layer in common, that and the zeros which a look finds have to do.
    """
    pruned: dict[int, int] = {}
    parts = [is_part(facts, name) and look is not None for name in kinship.models]
    for i in range(len(kinship.models)):
        others = np.array([j for j in range(len(kinship.models)) if j != i and j not in casts])
        if i in casts or not others.size:
            continue
        nearest = others[np.argsort(kinship.squared[i, others], kind="stable")[:3]]
        growth = kinship.growth(np.full_like(nearest, i), nearest)
        changed = np.isfinite(growth)
        partly = changed & (kinship.tree.moments.norm[kinship.used, i] > 0.0)[:, None]
        exact = np.where(changed, np.abs(growth - 1.0) <= EXACTLY, True).all(axis=0)
        fewest = np.array([1 if parts[i] or parts[j] else FEWEST_PRUNED for j in nearest])
        whole = nearest[exact & (partly.sum(axis=0) >= fewest)]
        # exactly orthogonal to everybody is no mark of pruning
        telling = whole.size and (whole.size < len(nearest) or len(nearest) == 1)
        if telling and _is_pruned(kinship, int(whole[0]), i, look):
            pruned[i] = int(whole[0])
    return _without_cycles(pruned)


def _is_pruned(kinship: Kinship, whole: int, pruned: int, look: Look | None) -> bool:
    if look is None:
        return True
    return scattered_zeros(look(kinship.models[whole], kinship.models[pruned])) > 0.0


def _find_runs(kinship: Kinship, facts: Mapping[str, ModelFacts]) -> dict[int, int]:
    """Chain the checkpoints of each training run by step; a model without a step is the last."""
    runs: dict[str, list[int]] = {}
    for i, name in enumerate(kinship.models):
        run = facts[name].run if name in facts else None
        if run is not None:
            runs.setdefault(run, []).append(i)

    def step(i: int) -> float:
        given = facts[kinship.models[i]].step
        return np.inf if given is None else float(given)

    before: dict[int, int] = {}
    for members in runs.values():
        members.sort(key=lambda i: (step(i), kinship.models[i]))
        before |= dict(zip(members[1:], members[:-1], strict=True))
    return before


def deny_runs(kinship: Kinship, known: Known, root: int) -> Known:
    """Take back the steps of runs that the weights speak against, seen from a root outside them.

    Numbered folders may be siblings. Then the root lies between two of them, nearer to each than
    they are to one another, and the later one does not carry the change of the earlier.
    """
    denied: dict[int, int] = {}
    for later, earlier in known.runs.items():
        if root in (later, earlier):
            continue
        apart = kinship.squared[later, earlier]
        between = max(kinship.squared[root, earlier], kinship.squared[root, later]) < apart
        carried = kinship.contained(np.array([root]), np.array([earlier]), np.array([later]))
        told = carried[np.isfinite(carried)]
        if between and told.size and float(np.median(told)) < LEAST_CARRIED:
            denied[later] = earlier
    kept = {later: earlier for later, earlier in known.runs.items() if later not in denied}
    return replace(known, runs=kept, denied=denied)
