"""Who was fine-tuned from whom: the forest of one tree of models, with what speaks for it."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache

import numpy as np

from weightscape.catalog.records import Edge, Forest, ModelFacts, Undecided
from weightscape.geometry.products import TreeGram
from weightscape.lineage.copies import groups_of_copies, is_part
from weightscape.lineage.evidence import (
    SURE,
    Testimony,
    direction_confidence,
    merge_testimonies,
    pair_testimony,
)
from weightscape.lineage.kinds import Look, kind_of, unchanged_tensors
from weightscape.lineage.kinship import Kinship
from weightscape.lineage.known import Known, deny_runs, find_known
from weightscape.lineage.origin import OwnWay, estranged, own_ways
from weightscape.lineage.rooting import Rooting, best_rooting

COPY_EITHER_WAY = 0.5
LONE_PAIR = 0.7  # two models have no structure: the direction must be at least this likely
BY_ONE_LAYER = 0.8  # at most, where what was done is told by all layers
BESIDE = (
    "an adapter of this base, by its own configuration",
    "works beside the base's weights and leaves them as they are",
)
SUREST_PAIR = 0.55  # norms alone: unequal siblings and weight decay look the same


def recover_forest(
    tree: TreeGram,
    facts: Mapping[str, ModelFacts],
    look: Look | None = None,
    seed: int = 0,
) -> Forest:
    """Recover the parents of a tree's models from its Grams and what their files say.

    Every model is once a child (more often only of a merge), a root, or undecided. `look` reads
    tensors of two models and is called for likely casts and the final edges only, once for each.
    `seed` is kept for methods that draw; this one does not, and ties go by name.
    """
    del seed
    look = cache(look) if look is not None else None
    if tree.reference is None:
        return Forest(undecided=_orphans(tree, facts))
    groups = groups_of_copies(tree, facts)
    # the order of models must not matter, ties included
    groups.sort(key=lambda group: tree.models[group[0]])
    kinship = Kinship.of(tree, [group[0] for group in groups])
    if len(groups) == 1:
        found = Forest(roots=kinship.models)
    elif not kinship.used.size:
        reason = "these models share no tensor that differs between them and can be compared"
        found = Forest(undecided=(Undecided(kinship.models, reason),))
    else:
        same = {tree.models[i]: tree.models[group[0]] for group in groups for i in group}
        known = find_known(kinship, facts, same, look)
        found = _of_distinct(kinship, facts, known, look)
    return _with_copies(tree, groups, facts, found)


def _orphans(tree: TreeGram, facts: Mapping[str, ModelFacts]) -> tuple[Undecided, ...]:
    """Say which absent base each group of adapters wants."""
    wanting: dict[str, list[str]] = {}
    for name in sorted(tree.models):
        wants = facts[name].wants if name in facts else ()
        wanting.setdefault(wants[0] if wants else "", []).append(name)
    return tuple(
        Undecided(
            tuple(names),
            f"adapters of {base!r}, which is not here; give it with --base"
            if base
            else "adapters that do not name their base; give it with --base",
        )
        for base, names in sorted(wanting.items())
    )


def _of_distinct(
    kinship: Kinship, facts: Mapping[str, ModelFacts], known: Known, look: Look | None
) -> Forest:
    if known.runs:
        freely, _ = best_rooting(
            kinship, replace(known, runs={}).constraints(childless_merges=True)
        )
        known = deny_runs(kinship, known, freely.root)
    # a merge lies in the middle and passes for a missing base: first see whether there is a base
    rooting, odds = best_rooting(kinship, known.constraints(childless_merges=True))
    ways, siblings = _siblings(kinship, known, rooting)
    if known.merges and not siblings:
        rooting, odds = best_rooting(kinship, known.constraints())
        ways, siblings = _siblings(kinship, known, rooting)
    sure = _sure(known, rooting)
    partly = any(is_part(facts, name) for name in kinship.models)
    if len(kinship.models) == 2 and not sure and (partly or max(odds.values()) < LONE_PAIR):
        reason = "two models and nothing that tells which came first: " + _norms(kinship, rooting)
        return Forest(undecided=(Undecided(tuple(sorted(kinship.models)), reason),))
    edges: list[Edge] = []
    for child, parent in enumerate(rooting.parent.tolist()):
        if parent < 0 or child in siblings:
            continue
        doubt = 0.0 if child in sure or child not in ways else ways[child].share
        edges.extend(_edges_to(kinship, facts, known, rooting, odds, child, doubt, look))
    roots, undecided = _tops(kinship, facts, rooting, siblings)
    return Forest(tuple(edges), roots, undecided)


def _siblings(
    kinship: Kinship, known: Known, rooting: Rooting
) -> tuple[dict[int, OwnWay], dict[int, float]]:
    """Give the root's own share of the way to its children, and those that are its siblings."""
    ways = own_ways(kinship, rooting)
    return ways, estranged(ways, _sure(known, rooting))


def _sure(known: Known, rooting: Rooting) -> set[int]:
    """Find the children whose parent is known beyond geometry, or is what their files declare."""
    confirmed = {
        child for child, bases in known.declared.items() if int(rooting.parent[child]) in bases[:1]
    }
    certain = (known.casts, known.pruned, known.merges, known.runs, known.adapters)
    return confirmed.union(*certain)


def _norms(kinship: Kinship, rooting: Rooting) -> str:
    growth, _ = kinship.typical_growth(np.array([rooting.root]), np.array([1 - rooting.root]))
    return f"their norms differ by {growth[0]:+.2f} of what an unrelated update would add"


def _tops(
    kinship: Kinship,
    facts: Mapping[str, ModelFacts],
    rooting: Rooting,
    siblings: Mapping[int, float],
) -> tuple[tuple[str, ...], tuple[Undecided, ...]]:
    """Name the roots, or the models whose base is missing; unreached models are roots too."""
    tops = [int(i) for i in np.flatnonzero(rooting.parent < 0)]
    if not siblings:
        return tuple(kinship.models[i] for i in tops), ()
    names = sorted(kinship.models[i] for i in (rooting.root, *siblings))
    wants = sorted({want for name in names if name in facts for want in facts[name].wants[:1]})
    way = float(np.median(list(siblings.values())))
    reason = (
        "the base seems to be missing: no model here lies where these meet "
        f"({way:.0%} of the way between them and the most central is that one's own)"
    )
    if wants:
        reason += f"; they name {', '.join(wants[:3])} as their base"
    others = tuple(kinship.models[i] for i in tops if i != rooting.root)
    return others, (Undecided(tuple(names), reason),)


def _edges_to(
    kinship: Kinship,
    facts: Mapping[str, ModelFacts],
    known: Known,
    rooting: Rooting,
    odds: Mapping[int, float],
    child: int,
    doubt: float,
    look: Look | None,
) -> Sequence[Edge]:
    """Give the edge into a child, or one for each source of a merge."""
    names = kinship.models
    if child in known.merges:
        edges = []
        for source, it in merge_testimonies(kinship, known, rooting, child):
            pair, confidence, words = (names[source], names[child]), it.confidence, it.words
            if any(is_part(facts, name) for name in pair):
                confidence = min(confidence, BY_ONE_LAYER)
                words = (*words, *_judged_by(kinship.tree, *pair))
            edges.append(Edge(*pair, "merge", confidence, words))
        return edges
    parent = int(rooting.parent[child])
    testimony = _testimony(kinship, known, rooting, odds, child)
    pair = names[parent], names[child]
    partly = any(is_part(facts, name) for name in pair)
    kind, words = kind_of(kinship.tree, *pair, _dtype(facts, names[child]), look, partly=partly)
    if child in known.adapters and known.adapters[child] == parent:
        kind = "lora"
    elif child in known.casts and kind in ("full", "frozen-part", "trained"):
        kind, words = "cast", ()
    elif child in known.pruned:
        kind = "pruned"
    confidence = testimony.confidence
    if partly and kind in ("cast", "pruned", "quantised"):
        # and what else was done to it, in layers that are not here, is not known
        kind, confidence = "unknown", min(confidence, BY_ONE_LAYER)
    return [
        Edge(
            names[parent],
            names[child],
            kind,
            round(confidence * (1.0 - 2.0 * doubt), 3),
            (*testimony.words, *words, *(_judged_by(kinship.tree, *pair) if partly else ())),
        )
    ]


def _judged_by(tree: TreeGram, parent: str, child: str) -> tuple[str, ...]:
    """Say how little of two models was compared."""
    count = len(unchanged_tensors(tree, parent, child))
    return (f"judged by {count} of {len(tree.tensors)} tensors: the others were not fetched",)


def _dtype(facts: Mapping[str, ModelFacts], name: str) -> str:
    return facts[name].dtype if name in facts else "F32"


def _testimony(
    kinship: Kinship, known: Known, rooting: Rooting, odds: Mapping[int, float], child: int
) -> Testimony:
    """Weigh what speaks for an edge: certain links first, then distances and direction."""
    parent = int(rooting.parent[child])
    if known.adapters.get(child) == parent:
        return Testimony(SURE, ("an adapter of this base, by its own configuration",))
    if known.casts.get(child) == parent:
        return Testimony(SURE, ("differs from the parent by no more than rounding",))
    if known.pruned.get(child) == parent:
        return Testimony(SURE, ("what it lacks of the parent is orthogonal to it, as if pruned",))
    if known.runs.get(child) == parent:
        return Testimony(SURE, ("the step before it in the same training run",))
    pair = pair_testimony(kinship, rooting, child)
    towards = direction_confidence(kinship, rooting, odds, child)
    confidence = pair.confidence * towards.confidence
    words = (*pair.words, *towards.words)
    if child in known.denied:
        earlier = kinship.models[known.denied[child]]
        words = (*words, f"named as the step after {earlier}, whose change it does not carry")
    claims = known.declared.get(child, ())
    if claims[:1] == (parent,):
        return Testimony(max(confidence, 0.9), ("declared in its files", *words))
    if claims:
        claimed = kinship.models[claims[0]]
        words = (*words, f"its files declare {claimed}, but the weights are nearer to the parent")
    if len(kinship.models) == 2:
        confidence = min(confidence, SUREST_PAIR)
        words = (*words, "two models alone: only norms tell the direction, and they may mislead")
    return Testimony(confidence, words)


def _with_copies(
    tree: TreeGram,
    groups: Sequence[Sequence[int]],
    facts: Mapping[str, ModelFacts],
    found: Forest,
) -> Forest:
    """Hang each copy on its original; a copy of a cast is a cast of the same model."""
    names = tree.models
    edges = list(found.edges)
    casts = {edge.child: edge for edge in found.edges if edge.kind == "cast"}
    for group in groups:
        original = names[group[0]]
        for i in group[1:]:
            base = _base_beside(facts, names[i], names)
            if base is not None:
                edges.append(Edge(base, names[i], "adapter", SURE, BESIDE))
                continue
            if original in _bases_of_lora(facts, names[i]):
                # what was compared of the base is no tensor that the adapter changes
                edges.append(Edge(original, names[i], "lora", SURE, BESIDE[:1]))
                continue
            if is_part(facts, names[i]) or is_part(facts, original):
                sure = names[i] in facts and original in facts[names[i]].declared
                edges.append(_equal(tree, original, names[i], declared=sure))
                continue
            if original in casts:
                source = casts[original]
                edges.append(
                    Edge(source.parent, names[i], "cast", source.confidence, source.evidence)
                )
                continue
            declared = names[i] in facts and original in facts[names[i]].declared
            reason = "which of the two is the original is not in the weights; chosen by name"
            if declared:
                reason = "declared in its files"
            elif _is_step_of(facts, original, names[i]):
                reason = "the original is a step of the run whose final model this is"
            sure = declared or _is_step_of(facts, original, names[i])
            words = ("all tensors are equal by content hash", reason)
            edges.append(Edge(original, names[i], "copy", SURE if sure else COPY_EITHER_WAY, words))
    return Forest(tuple(edges), found.roots, found.undecided)


def _equal(tree: TreeGram, original: str, part: str, *, declared: bool) -> Edge:
    """Hang a model that has the layers which are here of it from another: it may be a copy."""
    words = (
        "equal in all that was compared: a copy, or trained in other layers only",
        *_judged_by(tree, original, part),
    )
    return Edge(original, part, "unknown", SURE if declared else COPY_EITHER_WAY, words)


def _base_beside(facts: Mapping[str, ModelFacts], name: str, names: Sequence[str]) -> str | None:
    """Name the base of an adapter that changes no weight of it, if that is here."""
    if name not in facts or facts[name].adapter_ranks != {}:
        return None
    return next((base for base in facts[name].declared if base in names), None)


def _bases_of_lora(facts: Mapping[str, ModelFacts], name: str) -> tuple[str, ...]:
    """Name the bases that a LoRA adapter declares; none for all other models."""
    return facts[name].declared if name in facts and facts[name].adapter_ranks else ()


def _is_step_of(facts: Mapping[str, ModelFacts], step: str, final: str) -> bool:
    if step not in facts or final not in facts:
        return False
    same_run = facts[step].run is not None and facts[step].run == facts[final].run
    return same_run and facts[step].step is not None and facts[final].step is None
