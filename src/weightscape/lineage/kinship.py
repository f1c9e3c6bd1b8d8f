"""How near the models of a tree are, robustly: one pooled Gram, and its tensors on demand.

Three corrections to a plain sum over tensors. Only learned matrices count, for constants make
strangers look related. Every matrix has the same say, whatever its size, for one large embedding
would decide alone. And what points along the weights themselves is projected out, since weight
decay moves every model that way and hides who came from whom.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64

from weightscape.catalog.records import ModelFacts
from weightscape.geometry.products import TreeGram
from weightscape.geometry.simplex import squared_distances

Indices = Int64[np.ndarray, " P"]
PerTensor = Float64[np.ndarray, "T P"]

TENSOR_SPREAD = 0.3  # how far true growth differs between the tensors of one edge
ROUNDING_MARGIN = 2.0  # what was rounded may lie this many times further than rounding puts it
SIGNIFICAND_BITS = {"F64": 53, "F32": 24, "F16": 11, "BF16": 8, "F8_E4M3": 4, "F8_E5M2": 3}


@dataclass(frozen=True, slots=True)
class Kinship:
    """The geometry of one tree, as lineage sees it.

    used: rows of ``tree.gram`` that count. share: their weights in the pool. along: each model's
    delta along the reference's weights, already taken out of `pooled` (T, N). pooled: N x N inner
    products of the deltas; squared: the squared distances that follow, in units of a typical one.
    """

    tree: TreeGram
    used: Indices
    share: Float64[np.ndarray, " T"]
    along: Float64[np.ndarray, "T N"]
    pooled: Float64[np.ndarray, "N N"]
    squared: Float64[np.ndarray, "N N"]

    @classmethod
    def of(cls, tree: TreeGram, keep: Sequence[int] | None = None) -> "Kinship":
        """Pool a tree's Grams; `keep` picks some of its models, in that order."""
        if keep is not None:
            tree = _only(tree, keep)
        used = _informative(tree)
        along = _along_reference(tree, used)
        n = len(tree.models)
        total, weight = np.zeros((n, n)), np.zeros((n, n))
        share = np.zeros(len(used))
        for row, t in enumerate(used):
            gram = tree.gram[t] - np.outer(along[row], along[row])
            known = np.isfinite(gram)
            squared = squared_distances(np.where(known, gram, 0.0))
            moved = squared[known & (squared > 0)]
            # a tensor that was only scaled has nothing left
            share[row] = 1.0 / np.median(moved) if moved.size else 0.0
            total += np.where(known, share[row] * gram, 0.0)
            weight += known
        pooled = np.divide(total, weight, out=np.zeros_like(total), where=weight > 0)
        squared = squared_distances(pooled)
        squared[weight == 0] = np.inf
        return cls(tree, used, share, along, pooled, squared)

    @property
    def models(self) -> tuple[str, ...]:
        """The names, in the order of every matrix here."""
        return self.tree.models

    def products(self, i: Indices, j: Indices) -> PerTensor:
        """Give inner products of the deltas of pairs of models, tensor by tensor."""
        inner: Float64[np.ndarray, "T P"] = self.tree.gram[self.used[:, None], i, j]
        inner -= self.along[:, i] * self.along[:, j]
        return inner

    def apart(self, i: Indices, j: Indices) -> PerTensor:
        """Give squared distances of pairs of models, tensor by tensor, without decay."""
        squared = self.products(i, i) + self.products(j, j) - 2.0 * self.products(i, j)
        return _not_negative(squared)

    def raw_apart(self, i: Indices, j: Indices) -> PerTensor:
        """Give plain squared distances of pairs of models, tensor by tensor."""
        gram, used = self.tree.gram, self.used[:, None]
        return _not_negative(gram[used, i, i] + gram[used, j, j] - 2.0 * gram[used, i, j])

    def contained(self, base: Indices, elder: Indices, younger: Indices) -> PerTensor:
        """Tell how much of an elder's delta from its base lies in a younger's (beta), by tensor.

        ``<elder - base, younger - base> / |elder - base|^2``: about 1 everywhere for a
        descendant, which carries its ancestor's delta whole; well below 1 for siblings. NaN where
        the elder's tensor is the base's.
        """
        shared = (
            self.products(elder, younger)
            - self.products(elder, base)
            - self.products(base, younger)
            + self.products(base, base)
        )
        return _ratio(shared, self.apart(elder, base))

    def own_way(self, here: Indices, there: Indices, third: Indices) -> PerTensor:
        """Tell which share of the way from here to there lies before it parts from a third's.

        Gromov's product over the squared distance: squared distances add up along a tree whose
        updates are orthogonal. About 0 if the first is where the ways part. NaN for no way.
        """
        way = self.apart(here, there)
        return _ratio(0.5 * (way + self.apart(here, third) - self.apart(there, third)), way)

    def growth(self, elder: Indices, younger: Indices) -> PerTensor:
        """Tell how a squared norm grows from elder to younger, over their squared distance.

        1 where an update was orthogonal to the weights it was added to, as in fine-tuning with
        little weight decay; -1 when the two are taken the wrong way round; in between where
        neither is the other's ancestor. NaN where the two tensors are equal.
        """
        norm = self.tree.moments.norm[self.used] ** 2
        gained = norm[:, younger] - norm[:, elder]
        apart = self.raw_apart(elder, younger)
        return _ratio(gained, apart)

    def growth_weights(self, elder: Indices, younger: Indices) -> PerTensor:
        """Give the weight of each tensor's growth: its inverse variance, 0 where it is unknown.

        A random update u of n elements has ``<W, u>`` of spread ``|W||u| / sqrt(n)``, so growth
        in one tensor strays by ``2 |W| / (|u| sqrt(n))``: small tensors and small updates say
        little.
        """
        sizes = np.array([np.prod(self.tree.shapes[t]) for t in self.used], dtype=np.float64)
        norm = self.tree.moments.norm[self.used][:, elder]
        chance = _ratio(4.0 * norm**2 / sizes[:, None], self.raw_apart(elder, younger))
        weights: PerTensor = 1.0 / (TENSOR_SPREAD**2 + chance)
        np.nan_to_num(weights, copy=False)
        return weights

    def typical_growth(
        self, elder: Indices, younger: Indices
    ) -> tuple[Float64[np.ndarray, " P"], Float64[np.ndarray, " P"]]:
        """Give the growth of each pair as a weighted median over tensors, and its standard error.

        No tensor moved: growth 0, error inf.
        """
        growth = self.growth(elder, younger)
        if not growth.size:
            return np.zeros(len(elder)), np.full(len(elder), np.inf)
        weight = self.growth_weights(elder, younger)
        total = weight.sum(axis=0)
        error = np.full_like(total, np.inf)
        np.divide(np.pi / 2.0, total, out=error, where=total > 0)
        return _weighted_median(np.nan_to_num(growth), weight), np.sqrt(error)

    def relative(self, i: int, j: int) -> float:
        """Give the plain distance of two models over the norm of the first, if it has one."""
        pair = (np.array([i]), np.array([j]))
        between = self.raw_apart(*pair)[:, 0]
        both = np.isfinite(between)
        squared = np.nansum(self.tree.moments.norm[self.used][both][:, [i, j]] ** 2, axis=0)
        whole = squared[0] if squared[0] > 0.0 else squared[1]
        apart = float(between[both].sum())
        # without a norm to compare with (both all zeros, or not finite) any change is all of it
        return float(np.sqrt(apart / whole)) if whole > 0.0 else float(apart > 0.0)

    def rounding(self, model: int, dtype: str) -> Float64[np.ndarray, " T"]:
        """Give the squared distance that rounding to `dtype` would put on a model, by tensor.

        An error is uniform over half a unit in the last place, and magnitudes are spread evenly
        over an octave: ``norm^2 * 2^(2 (1 - bits)) / 26``.
        """
        bits = SIGNIFICAND_BITS.get(dtype, 24)
        norm: Float64[np.ndarray, " T"] = self.tree.moments.norm[self.used, model]
        return norm**2 * 2.0 ** (2 * (1 - bits)) / 26.0


def dtype_of(kinship: Kinship, facts: Mapping[str, ModelFacts], model: int) -> str:
    """Name the type that a model is stored in, F32 where nothing is known."""
    name = kinship.models[model]
    return facts[name].dtype if name in facts else "F32"


def _only(tree: TreeGram, keep: Sequence[int]) -> TreeGram:
    chosen = np.asarray(keep, dtype=np.int64)
    if np.array_equal(chosen, np.arange(len(tree.models))):
        return tree
    moments = tree.moments
    return TreeGram(
        models=tuple(tree.models[i] for i in chosen),
        tensors=tree.tensors,
        shapes=tree.shapes,
        gram=tree.gram[:, chosen[:, None], chosen[None, :]],
        moments=type(moments)(
            norm=moments.norm[:, chosen],
            kurtosis=moments.kurtosis[:, chosen],
            peak=moments.peak[:, chosen],
            unchanged=moments.unchanged[:, chosen],
            nonfinite=moments.nonfinite[:, chosen],
            hashes=tuple(tuple(row[i] for i in chosen) for row in moments.hashes),
        ),
        reference=tree.reference,
    )


def _informative(tree: TreeGram) -> Indices:
    """Pick the tensors that moved between some models: matrices only, if they tell models apart.

    Vectors are added where some models differ in them alone (training of biases only).
    """
    n = len(tree.models)
    moved: list[int] = []
    apart = np.zeros((n, n), dtype=bool)
    matrices = [sum(side > 1 for side in shape) >= 2 for shape in tree.shapes]
    for t in range(len(tree.tensors)):
        norms = tree.gram[t].diagonal()
        differs = norms[:, None] + norms[None, :] - 2.0 * tree.gram[t] > 0.0  # False for NaN
        if differs.any():
            moved.append(t)
            apart |= differs & matrices[t]
    told_apart = bool(apart[~np.eye(n, dtype=bool)].all())
    return np.array([t for t in moved if matrices[t] or not told_apart], dtype=np.int64)


def _along_reference(tree: TreeGram, used: Indices) -> Float64[np.ndarray, "T N"]:
    """Give each model's delta along the reference's weights, from norms: <W, x - W> / |W|."""
    nothing = np.zeros((len(used), len(tree.models)))
    if tree.reference is None or tree.reference not in tree.models:
        return nothing
    norm = tree.moments.norm[used]
    own = norm[:, [tree.models.index(tree.reference)]]
    deltas = np.stack([tree.gram[t].diagonal() for t in used]) if len(used) else nothing
    along = np.divide(norm**2 - own**2 - deltas, 2.0 * own, out=nothing, where=own > 0)
    # never more than the delta itself: norms are known to fewer digits than deltas
    limit = np.sqrt(np.maximum(np.nan_to_num(deltas), 0.0))
    clipped: Float64[np.ndarray, "T N"] = np.clip(np.nan_to_num(along), -limit, limit)
    return clipped


def _not_negative(squared: Float64[np.ndarray, "T P"]) -> PerTensor:
    above: Float64[np.ndarray, "T P"] = np.maximum(squared, 0.0)
    return above


def _ratio(part: Float64[np.ndarray, "T P"], whole: Float64[np.ndarray, "T P"]) -> PerTensor:
    """Divide; NaN where there is nothing to divide by."""
    shares: Float64[np.ndarray, "T P"] = np.divide(
        part, whole, out=np.full_like(part, np.nan), where=whole > 0
    )
    return shares


def _weighted_median(
    values: Float64[np.ndarray, "T P"], weights: Float64[np.ndarray, "T P"]
) -> Float64[np.ndarray, " P"]:
    order = np.argsort(values, axis=0, kind="stable")
    heaped = np.take_along_axis(weights, order, axis=0).cumsum(axis=0)
    middle = (heaped < 0.5 * heaped[-1]).sum(axis=0)
    rows = np.take_along_axis(order, middle[None], axis=0)
    median: Float64[np.ndarray, " P"] = np.take_along_axis(values, rows, axis=0)[0]
    return median
