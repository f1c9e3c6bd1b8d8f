"""Clusters of directions: how many there are, who is in which, and who is in none."""

from collections.abc import Callable, Iterator

import numpy as np
from jaxtyping import Float64, Int64

from weightscape.regions.poolings import Cosines
from weightscape.registry import Registry

Labels = Int64[np.ndarray, " N"]
Clustering = Callable[[Cosines, int], Labels]

clusterings: Registry[Clustering] = Registry("clustering")
DEFAULT_CLUSTERING = "spectral"
OUTLIER = -1

LEAST_CONTRAST = 0.04  # by how much cosines inside clusters must beat those between
NOISE_MULTIPLE = 4.0  # by how many standard errors they must, since the best split is chosen
TWINS = 0.97  # cosine of models that are one but for rounding or a touch
STRANGER_ERRORS = 3.0  # a member is nearer to its cluster than strangers by this many errors
LEAST_NOISE = 0.01  # errors of cosines smaller than this are not believed of models in general
PRIOR_CLUSTERS = 4.0  # a model's own spread among strangers is shrunk as if so many were typical
FEWEST_STRANGERS = 3  # fewer other clusters tell nothing of a model's own spread
FEWEST_MODELS = 4  # fewer have too few pairs to tell a cluster from chance
_AS_ERROR = 1.4826  # from a Gaussian's median absolute deviation to its standard error
_MOST = 64  # no more clusters than this are looked for unasked


@clusterings.register("spectral")
def spectral(cosine: Cosines, count: int) -> Labels:
    """Cut the graph of cosines above their background by its leading eigenvectors.

    Ng, Jordan and Weiss (2002); labels by pivoted QR (Damle, Minden and Ying, 2019), which needs
    no random start.
    """
    return _cut(_embedding(cosine, count), count)


@clusterings.register("average")
def average_linkage(cosine: Cosines, count: int) -> Labels:
    """Join the two clusters with the highest mean cosine until `count` are left."""
    from scipy.cluster.hierarchy import fcluster, linkage
    from scipy.spatial.distance import squareform

    apart = np.maximum(1.0 - cosine, 0.0)
    np.fill_diagonal(apart, 0.0)
    joined = linkage(squareform(apart, checks=False), method="average")
    labels: Labels = fcluster(joined, count, criterion="maxclust").astype(np.int64) - 1
    return labels


def find_clusters(
    cosine: Cosines, *, noise: float, count: int | None = None, clustering: str = DEFAULT_CLUSTERING
) -> Labels:
    """Label each model with its cluster, 0 and up by size, or OUTLIER.

    Near-identical models (copies, casts) count once, lest they pass for a cluster of their own.

    The number of clusters is the one of the largest mean silhouette (Rousseeuw, 1987) on
    ``1 - cosine``, outliers taken out, unless `count` gives it. One cluster where cosines inside
    do not beat those between by more than chance: `noise` is a cosine's standard error.
    """
    kin = _twins(cosine)
    first = np.unique(kin, return_index=True)[1]
    distinct = cosine[np.ix_(first, first)]
    labels = _cluster_distinct(distinct, noise, count, clustering)[kin]
    return _by_size(labels)


def _twins(cosine: Cosines) -> Labels:
    """Number the groups of models that lie in nearly the same direction, in order."""
    from scipy.sparse.csgraph import connected_components

    groups = connected_components(cosine >= TWINS, directed=False)[1]
    first = np.unique(groups, return_index=True)[1]
    numbers: Labels = np.argsort(np.argsort(first))[groups].astype(np.int64)
    return numbers


def _cluster_distinct(cosine: Cosines, noise: float, count: int | None, clustering: str) -> Labels:
    n = len(cosine)
    if count is not None and n > 1:
        return clusterings[clustering](cosine, min(count, n))
    if n < FEWEST_MODELS:
        return np.zeros(n, dtype=np.int64)
    level = _levelled(cosine)
    best, height = np.zeros(n, dtype=np.int64), -np.inf
    for labels in _splits(level, clustering):
        # what a cut leaves over is no cluster, and must not be judged as one
        kept = _without_strangers(level, _refine(level, labels), noise)
        alone = _each_alone(kept)
        found = mean_silhouette(level, alone)
        if found > height + 1e-9 and _stands_out(level, alone, noise):
            best, height = kept, found
    return best


def _levelled(cosine: Cosines) -> Cosines:
    """Cut cosines off at what nearest models usually have.

    A model and what was trained on from it, or a merge and its sources, are far nearer than two
    models of one task, and would pass for the only clusters there are. Where most are strangers
    to all others, the cut leaves room for the rest to stand out.
    """
    highest = (cosine - 2.0 * np.eye(len(cosine))).max(axis=1)
    background = float(np.median(cosine[~np.eye(len(cosine), dtype=bool)]))
    room = background + 2.0 * LEAST_CONTRAST
    level: Cosines = np.minimum(cosine, max(float(np.median(highest)), room))
    np.fill_diagonal(level, 1.0)
    return level


def _splits(cosine: Cosines, clustering: str) -> Iterator[Labels]:
    """Cut the models into 2, 3, ... clusters, up to two thirds of their number or `_MOST`."""
    counts = range(2, max(2, min((2 * len(cosine)) // 3, _MOST)) + 1)
    if clustering == "spectral":
        embedding = _embedding(cosine, counts[-1])
        yield from (_cut(embedding, count) for count in counts)
    else:
        yield from (clusterings[clustering](cosine, count) for count in counts)


def _embedding(cosine: Cosines, width: int) -> Float64[np.ndarray, "N K"]:
    """Give the leading eigenvectors of the normalised affinities, the first one first.

    Affinity is what a cosine has above the background, taken as the lowest tenth of the pairs:
    fine-tuning from one base gives all deltas something in common.
    """
    from scipy.linalg import eigh

    n = len(cosine)
    background = float(np.quantile(cosine[~np.eye(n, dtype=bool)], 0.1))
    affinity = np.maximum(cosine - background, 0.0)
    np.fill_diagonal(affinity, 0.0)
    degree = affinity.sum(axis=1)
    # a model without any affinity keeps a little to itself, and becomes its own cluster
    lonely = degree <= 1e-12
    affinity[lonely, lonely] = degree[lonely] = 1.0
    scale = 1.0 / np.sqrt(degree)
    scaled = scale[:, None] * affinity * scale[None, :]
    try:
        vectors = eigh(scaled, subset_by_index=(max(n - width, 0), n - 1))[1]
    except np.linalg.LinAlgError:  # LAPACK's MRRR fails on some matrices; this does not
        vectors = eigh(scaled, driver="ev")[1][:, max(n - width, 0) :]
    return np.ascontiguousarray(vectors[:, ::-1])


def _cut(embedding: Float64[np.ndarray, "N K"], count: int) -> Labels:
    """Read labels off eigenvectors: the rows that span most are the clusters' corners."""
    from scipy.linalg import qr

    vectors = embedding[:, :count]
    corners = qr(vectors.T, mode="r", pivoting=True)[1][:count]
    left, _, right = np.linalg.svd(vectors[corners].T)
    labels: Labels = np.abs(vectors @ (left @ right)).argmax(axis=1).astype(np.int64)
    return labels


def _refine(cosine: Cosines, labels: Labels, rounds: int = 10) -> Labels:
    """Move each model to the cluster with which it has the highest mean cosine, until it rests."""
    for _ in range(rounds):
        towards = _mean_cosines(cosine, labels)
        better = towards.argmax(axis=1)
        own = towards[np.arange(len(labels)), labels]
        # a lone model has no cosine to itself: it joins others only by outliers' rule
        moving = np.isfinite(own) & (towards.max(axis=1) > own + 1e-12)
        if not moving.any():
            break
        labels = np.unique(np.where(moving, better, labels), return_inverse=True)[1]
    return labels


def _mean_cosines(cosine: Cosines, labels: Labels) -> Float64[np.ndarray, "N K"]:
    """Give each model's mean cosine with every cluster's other members; -inf with nobody."""
    members = (labels[:, None] == np.arange(labels.max() + 1)[None, :]).astype(np.float64)
    sums = cosine @ members - members  # without the 1 of a model with itself
    counts = members.sum(axis=0)[None, :] - members
    towards: Float64[np.ndarray, "N K"] = np.divide(
        sums, counts, out=np.full_like(sums, -np.inf), where=counts > 0
    )
    return towards


def mean_silhouette(cosine: Cosines, labels: Labels) -> float:
    """Give the mean silhouette of a clustering on ``1 - cosine``; lone models count 0."""
    if labels.max() < 1:
        return -np.inf
    towards = _mean_cosines(cosine, labels)
    rows = np.arange(len(labels))
    own = 1.0 - towards[rows, labels]
    towards[rows, labels] = -np.inf
    other = 1.0 - towards.max(axis=1)
    lone = ~np.isfinite(own)
    larger = np.maximum(np.maximum(own, other), 1e-12)
    with np.errstate(invalid="ignore"):
        silhouette = np.where(lone, 0.0, (other - own) / larger)
    return float(silhouette.mean())


def _stands_out(cosine: Cosines, labels: Labels, noise: float) -> bool:
    """Tell whether cosines inside clusters beat those between by more than choosing can.

    The best of many noisy splits looks several standard errors better than none; the error of a
    cluster's mean falls with the number of its pairs.
    """
    pairs = np.triu(np.ones_like(cosine, dtype=bool), 1)
    same = labels[:, None] == labels[None, :]
    inside, between = cosine[pairs & same], cosine[pairs & ~same]
    if not inside.size or not between.size:
        return False
    clusters = int(np.sum(np.bincount(labels) > 1))
    error = noise / np.sqrt(max(inside.size / clusters, 1.0))
    contrast = float(inside.mean() - between.mean())
    return contrast >= max(LEAST_CONTRAST, NOISE_MULTIPLE * float(error))


def _without_strangers(cosine: Cosines, labels: Labels, noise: float) -> Labels:
    """Call those outliers that are no nearer to their cluster than strangers may be.

    Strangers to a model are the models of other clusters in general, and those that it has itself:
    one that learned little is less near to its own, and to everybody else too. An outlier is no
    nearer than either explains. A lone model joins the cluster it is nearest to, if it is nearer
    than that.
    """
    towards = _mean_cosines(cosine, labels)
    limit = _strangers_limit(cosine, labels, towards, noise)
    own = towards[np.arange(len(labels)), labels]
    shared = np.bincount(labels)[labels] > 1
    towards[:, np.bincount(labels) < 2] = -np.inf
    best = np.where(towards.max(axis=1) > limit, towards.argmax(axis=1), OUTLIER)
    result: Labels = np.where(shared & (own > limit), labels, best)
    return result


def _strangers_limit(
    cosine: Cosines, labels: Labels, towards: Float64[np.ndarray, "N K"], noise: float
) -> Float64[np.ndarray, " N"]:
    """Give the mean cosine with a cluster that each model could have as a stranger to it.

    A median and robust standard errors of it, from pairs in different clusters; and the same from
    the model's own cosines with other clusters, where there are enough. These few give a poor
    standard error: it is shrunk to the typical one (Smyth, 2004).
    """
    pairs = np.triu(np.ones_like(cosine, dtype=bool), 1)
    between = cosine[pairs & (labels[:, None] != labels[None, :])]
    n, clusters = towards.shape
    if not between.size:
        return np.full(n, -np.inf)
    # of many strangers some two are near by chance, as the best of many splits is
    paired = np.bincount(labels)[labels] == 2
    errors = np.where(paired, NOISE_MULTIPLE, STRANGER_ERRORS)
    limit = float(np.median(between)) + errors * max(noise, LEAST_NOISE)
    strangers = clusters - 1
    if strangers < FEWEST_STRANGERS:
        return limit
    others = towards[np.arange(clusters)[None, :] != labels[:, None]].reshape(n, strangers)
    middle = np.median(others, axis=1)
    apart = np.abs(others - middle[:, None])
    typical, spread = _AS_ERROR * np.median(apart), _AS_ERROR * np.median(apart, axis=1)
    variance = PRIOR_CLUSTERS * typical**2 + strangers * spread**2
    error = np.maximum(np.sqrt(variance / (PRIOR_CLUSTERS + strangers)), noise)
    own = np.where(paired, np.inf, middle + STRANGER_ERRORS * error)
    lower: Float64[np.ndarray, " N"] = np.minimum(limit, own)
    return lower


def _each_alone(labels: Labels) -> Labels:
    """Give every outlier a cluster of its own, and number the clusters without gaps."""
    outliers = np.flatnonzero(labels == OUTLIER)
    alone = labels.copy()
    alone[outliers] = labels.max(initial=0) + 1 + np.arange(len(outliers))
    numbers: Labels = np.unique(alone, return_inverse=True)[1].astype(np.int64)
    return numbers


def _by_size(labels: Labels) -> Labels:
    """Number clusters by size, largest first, then by first member; a cluster of one is none."""
    result = np.full_like(labels, OUTLIER)
    found = [label for label in np.unique(labels) if label != OUTLIER]
    sizes = {label: int(np.sum(labels == label)) for label in found}
    first = {label: int(np.flatnonzero(labels == label)[0]) for label in found}
    kept = [label for label in found if sizes[label] > 1 or len(labels) == 1]
    for new, label in enumerate(sorted(kept, key=lambda label: (-sizes[label], first[label]))):
        result[labels == label] = new
    return result
