"""What was done to a parent to make its child: the kind of an edge, and the words for it."""

from collections.abc import Callable, Mapping
from math import prod

import numpy as np

from weightscape.catalog.records import EdgeKind
from weightscape.geometry.look import HIDDEN, DeltaLook
from weightscape.geometry.products import TreeGram

Look = Callable[[str, str], DeltaLook]

MOSTLY = 0.999  # share of elements that makes "all" where odd ones may differ
PRUNED = 0.1  # new exact zeros, as a share of all elements
LOW_RANK = 0.5  # of a matrix's smaller side: a fine-tune by full matrices has more
MEANT_TO_FREEZE = 0.1  # share of tensors, or of parameters, left unchanged that is no accident
FEWEST_MATRICES = 3  # in fewer a change may have the size of a rounding by chance
MOSTLY_VECTORS = 0.9  # share of vectors that rounding of matrices leaves alone
ROUNDING_RANGE = (0.1, 1.2)  # of a change, over one rounding with the tensor's own peak
ROUNDING_SPREAD = 6.0  # between matrices, of the same; updates spread by tens
QUANTISED = frozenset({"F8_E4M3", "F8_E5M2", "I8", "U8"})


def kind_of(
    tree: TreeGram,
    parent: str,
    child: str,
    child_dtype: str,
    look: Look | None,
    *,
    partly: bool = False,
) -> tuple[EdgeKind, tuple[str, ...]]:
    """Tell an edge's kind from the second look, if there is one, and from unchanged tensors.

    partly: only some layers of one of the two are here, which do not tell whether all of it was
    trained.
    """
    same = unchanged_tensors(tree, parent, child)
    seen = look(parent, child) if look is not None else None
    if seen is not None:
        verdict = _by_look(tree, seen, same, child_dtype)
        if verdict is not None:
            return verdict
    bits = rounded_to_bits(tree, parent, child, same)
    if bits is not None:
        words = f"matrices are off by what rounding to {bits} bits leaves, vectors are unchanged"
        return "quantised", (words,)
    if partly:
        return "trained", ()
    if _frozen_share(tree, same) >= MEANT_TO_FREEZE:
        return "frozen-part", (describe_unchanged(same),)
    hidden = sum(rank == HIDDEN for rank in seen.rank.values()) if seen is not None else 0
    if hidden:
        return "full", (f"rounding hides the rank of the change in {hidden} matrices looked at",)
    return "full", ()


def unchanged_tensors(tree: TreeGram, parent: str, child: str) -> dict[str, bool]:
    """Tell for each tensor that both models have whether it is the same in both."""
    i, j = tree.models.index(parent), tree.models.index(child)
    same = {}
    for t, name in enumerate(tree.tensors):
        ours, theirs = tree.moments.hashes[t][i], tree.moments.hashes[t][j]
        apart = tree.gram[t, i, i] + tree.gram[t, j, j] - 2.0 * tree.gram[t, i, j]
        if ours and theirs:
            same[name] = bool(ours == theirs or apart == 0.0)
    return same


def _frozen_share(tree: TreeGram, same: Mapping[str, bool]) -> float:
    """Give the share of tensors or of parameters left unchanged, whichever is larger.

    Embeddings are few tensors and half of a small model; norms and biases are the other way round.
    """
    if not any(same.values()):
        return 0.0
    size = {name: prod(shape) for name, shape in zip(tree.tensors, tree.shapes, strict=True)}
    parameters = sum(size[name] for name, flag in same.items() if flag)
    return max(
        sum(same.values()) / len(same), parameters / max(1, sum(size[name] for name in same))
    )


def rounded_to_bits(
    tree: TreeGram, parent: str, child: str, same: Mapping[str, bool]
) -> int | None:
    """Tell to how many bits a child's matrices were rounded, if nothing else happened to them.

    Rounding to steps of ``peak / (2^(bits - 1) - 1)`` adds a variance of a twelfth of a step
    squared, somewhat less where each row or block has steps of its own. An update of weights
    keeps to no such narrow range over all matrices. Seen in models stored in a wide dtype again.
    """
    i, j = tree.models.index(parent), tree.models.index(child)
    matrices = [t for t, shape in enumerate(tree.shapes) if sum(side > 1 for side in shape) >= 2]
    changed = [t for t in matrices if same.get(tree.tensors[t]) is False]
    vectors = [
        flag for name, flag in same.items() if name not in {tree.tensors[t] for t in matrices}
    ]
    if len(changed) < FEWEST_MATRICES or np.mean(vectors or [True]) < MOSTLY_VECTORS:
        return None
    apart = np.array(
        [tree.gram[t, i, i] + tree.gram[t, j, j] - 2 * tree.gram[t, i, j] for t in changed]
    )
    peak = tree.moments.peak[changed, i]
    if not (peak > 0.0).all():
        return None
    size = np.array([np.prod(tree.shapes[t]) for t in changed])
    for bits in (8, 4):
        step = peak / (2.0 ** (bits - 1) - 1.0)
        ratio = 12.0 * apart / (size * step**2)
        like = (ratio > ROUNDING_RANGE[0]) & (ratio < ROUNDING_RANGE[1])
        if like.all() and ratio.max() < ROUNDING_SPREAD * ratio.min():
            return bits
    return None


def _by_look(
    tree: TreeGram, seen: DeltaLook, same: Mapping[str, bool], child_dtype: str
) -> tuple[EdgeKind, tuple[str, ...]] | None:
    if seen.rounded and _mean(seen.rounded) >= MOSTLY and _mean(seen.unchanged) < MOSTLY:
        share = _mean(seen.rounded)
        kind: EdgeKind = "quantised" if child_dtype in QUANTISED else "cast"
        return kind, (f"equals the parent rounded to {child_dtype} in {share:.1%} of elements",)
    # rank 0 in a tensor that changed: not in the rows that were looked at
    ranks = {n: rank for n, rank in seen.rank.items() if rank != 0 and not same.get(n, False)}
    if ranks and all(_is_low(tree, seen, name, rank) for name, rank in ranks.items()):
        low, high = min(ranks.values()), max(ranks.values())
        span = f"rank {low}" if low == high else f"rank {low} to {high}"
        untouched = sum(same.values())
        return "lora", (
            f"the change has {span} in every matrix looked at ({len(ranks)}), "
            f"and {untouched} of {len(same)} tensors are unchanged",
        )
    zeros = scattered_zeros(seen)
    if zeros >= PRUNED:
        return "pruned", (f"{zeros:.0%} of elements are zero, the others are the parent's",)
    return None


def scattered_zeros(seen: DeltaLook) -> float:
    """Give the share of zeros in what changed, if all else there is the parent's; else 0.

    A tensor of zeros only is no pruned one: it was never trained, and the child may be the parent.
    """
    changed = [name for name, kept in seen.unchanged.items() if kept < 1.0 and name in seen.zeros]
    zeros = {name: seen.zeros[name] for name in changed if 0.0 < seen.zeros[name] < 1.0}
    kept = {name: seen.unchanged[name] for name in zeros}
    if 2 * len(zeros) <= len(changed) or _mean(zeros) + _mean(kept) < MOSTLY:
        return 0.0
    return _mean(zeros)


def _is_low(tree: TreeGram, seen: DeltaLook, name: str, rank: int) -> bool:
    side = min(tree.shapes[tree.tensors.index(name)]) if name in tree.tensors else rank
    return 1 <= rank <= seen.rank_cap and rank <= LOW_RANK * side


def _mean(shares: Mapping[str, float]) -> float:
    return float(np.mean(list(shares.values()))) if shares else 0.0


def describe_unchanged(same: Mapping[str, bool]) -> str:
    """Say how many tensors are unchanged, and which parts of the model they make up.

    >>> describe_unchanged({"embed.weight": True, "layer.0.w": True, "layer.1.w": False})
    '2 of 3 tensors are unchanged: embed, layer 0'
    """
    parts: dict[str, list[bool]] = {}
    for name, unchanged in same.items():
        parts.setdefault(_part(name), []).append(unchanged)
    whole = [part for part, flags in parts.items() if all(flags)]
    text = f"{sum(same.values())} of {len(same)} tensors are unchanged"
    named = _join_layers(whole)
    if not named:
        return text
    return f"{text}: {', '.join(named[:4])}" + (", ..." if len(named) > 4 else "")


def _part(name: str) -> str:
    """Name the part of a model a tensor is in: up to its layer number, or its first word."""
    words = name.split(".")
    for place, word in enumerate(words):
        if word.isdigit() and place > 0:
            return f"{words[place - 1]} {word}"
    return words[0]


def _join_layers(parts: list[str]) -> list[str]:
    """Write runs of numbered layers as ranges: layer 0, layer 1, layer 2 -> layer 0-2."""
    joined: list[str] = []
    runs: dict[str, list[int]] = {}
    for part in parts:
        word, _, number = part.rpartition(" ")
        if word and number.isdigit():
            runs.setdefault(word, []).append(int(number))
        else:
            joined.append(part)
    for word, numbers in runs.items():
        for first, last in _ranges(sorted(numbers)):
            joined.append(f"{word} {first}" if first == last else f"{word} {first}-{last}")
    return joined


def _ranges(numbers: list[int]) -> list[tuple[int, int]]:
    spans: list[tuple[int, int]] = []
    for number in numbers:
        if spans and number == spans[-1][1] + 1:
            spans[-1] = (spans[-1][0], number)
        else:
            spans.append((number, number))
    return spans
