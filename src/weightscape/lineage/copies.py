"""Which models are alike in all that is here of them."""

from collections.abc import Collection, Mapping, Sequence

from weightscape.catalog.records import ModelFacts
from weightscape.geometry.products import TreeGram


def groups_of_copies(tree: TreeGram, facts: Mapping[str, ModelFacts]) -> list[list[int]]:
    """Group models whose tensors are all equal by content hash, each group's original first.

    Which of two equal models came first is not in the weights: a run's final model may be its best
    checkpoint again, so one with a step goes before one without; else one that others declare as
    their base goes first, one that declares another of the group goes last, then the shorter name.
    A model of which only some layers are here joins the first that has them alike, behind it
    unless that declares it as its base.
    """
    parts = {i for i, name in enumerate(tree.models) if is_part(facts, name)}
    contents = [tuple(row[i] for row in tree.moments.hashes) for i in range(len(tree.models))]
    alike: dict[tuple[str, ...], list[int]] = {}
    for i, content in enumerate(contents):
        if i not in parts:
            alike.setdefault(content if any(content) else (f"no tensors: {i}",), []).append(i)
    groups = list(alike.values())
    if parts:
        _add_parts(tree, contents, parts, groups)
    named = [base for fact in facts.values() for base in fact.declared]

    def late(i: int, group: list[int]) -> tuple[bool, bool, bool, bool, int, str]:
        name = tree.models[i]
        mine = set(facts[name].declared) if name in facts else set()
        others = {tree.models[j] for j in group if j != i}
        stepless = name not in facts or facts[name].step is None
        return bool(mine & others), i in parts, stepless, name not in named, len(name), name

    return [sorted(group, key=lambda i: late(i, group)) for group in groups]


def _add_parts(
    tree: TreeGram,
    contents: Sequence[Sequence[str]],
    parts: Collection[int],
    groups: list[list[int]],
) -> None:
    """Put each part into the group whose tensors it has alike, or into one of its own.

    What any model of a group has counts: a part that differs from it there is another model. Of
    two parts the one of which more is here goes first.
    """
    known = [list(contents[group[0]]) for group in groups]
    # by a tensor and its content, the groups that have it
    having: dict[tuple[int, str], list[int]] = {}
    for place, whole in enumerate(known):
        for held in enumerate(whole):
            having.setdefault(held, []).append(place)
    for i in sorted(parts, key=lambda i: (contents[i].count(""), i)):
        held_here = [it for it in enumerate(contents[i]) if it[1]]
        # vectors (a key's bias) may be alike in everybody
        matrices = [it for it in held_here if len(tree.shapes[it[0]]) > 1]
        near = (place for it in matrices for place in having.get(it, ()))
        place = next((it for it in near if _alike(known[it], contents[i])), len(groups))
        if place == len(groups):
            groups.append([])
            known.append([""] * len(contents[i]))
        groups[place].append(i)
        for tensor, content in held_here:
            if not known[place][tensor]:
                known[place][tensor] = content
                having.setdefault((tensor, content), []).append(place)


def is_part(facts: Mapping[str, ModelFacts], name: str) -> bool:
    """Tell whether only some layers of a model are here."""
    return name in facts and facts[name].part_of is not None


def _alike(one: Sequence[str], other: Sequence[str]) -> bool:
    """Tell whether two models have tensors in common, and all of them alike."""
    shared = [pair for pair in zip(one, other, strict=True) if all(pair)]
    return bool(shared) and all(ours == theirs for ours, theirs in shared)
