"""Which models of a tree belong together: regions of weight space, and a map of them."""

import numpy as np
from jaxtyping import Bool

from weightscape.catalog.records import Region, RegionMap
from weightscape.errors import BadInput
from weightscape.geometry.products import TreeGram, distances
from weightscape.regions.clusters import DEFAULT_CLUSTERING, OUTLIER, Labels, find_clusters
from weightscape.regions.layout import DEFAULT_LAYOUT, layouts
from weightscape.regions.poolings import DEFAULT_POOLING, Cosines, cosine_noise, pooled_cosines

HARDLY_MOVED = 0.2  # of the median delta's norm: less may be mere rounding
UNDIRECTED = 0.1  # largest cosine with any other model of a delta that is rounding


def chart_regions(
    tree: TreeGram,
    *,
    base: str | None,
    pooling: str = DEFAULT_POOLING,
    layout: str = DEFAULT_LAYOUT,
    regions: int | None = None,
    clustering: str = DEFAULT_CLUSTERING,
    seed: int = 0,
) -> RegionMap:
    """Cluster a tree's models by the cosines of their deltas against `base`, and lay them out.

    Fine-tuned models cluster by data and task in weight space (Gueta et al., 2023). With no base
    the deltas are taken from the tree's centre, and for adapters of an absent base as they are.
    `regions` fixes the number of regions. Exact copies of the base lie with it, in no region. The
    same seed gives the same map, in whatever order the models come.

    Raises:
        UnknownName: no such base, pooling, layout or clustering.
        BadInput: fewer than one region asked for.
    """
    if regions is not None and regions < 1:
        raise BadInput(f"the number of regions must be at least 1; got {regions}")
    cosine = pooled_cosines(tree, base, pooling)
    by_name = np.array(sorted(range(len(tree.models)), key=lambda i: tree.models[i]), dtype=int)
    moved = np.isfinite(cosine.diagonal())
    moved[moved] &= ~_mere_rounding(tree, base, cosine)[moved]
    here = by_name[moved[by_name]]
    inner = cosine[np.ix_(here, here)]
    noise = cosine_noise(tree, base)
    labels = find_clusters(inner, noise=noise, count=regions, clustering=clustering)
    names = [tree.models[i] for i in here]
    found = _regions(inner, labels, names)
    outliers = [name for name, label in zip(names, labels, strict=True) if label == OUTLIER]
    centred = [tree.models[i] for i in by_name if not moved[i]]
    unmoved = [tree.models[i] for i in by_name if not np.isfinite(cosine[i, i])]
    products = np.nan_to_num(cosine[np.ix_(by_name, by_name)])
    points = layouts[layout](products, seed)
    return RegionMap(
        models=tree.models,
        base=base,
        cosine=cosine,
        regions=found,
        outliers=tuple(outliers),
        points={
            tree.models[i]: (float(x), float(y)) for i, (x, y) in zip(by_name, points, strict=True)
        },
        order=(*(name for region in found for name in region.members), *outliers, *centred),
        pooling=pooling,
        notes=_notes(tree, base, found, outliers, centred, unmoved, regions),
    )


def _mere_rounding(tree: TreeGram, base: str | None, cosine: Cosines) -> Bool[np.ndarray, " N"]:
    """Tell which models lie so near to the base, and towards nobody, that they were only rounded.

    That is what casts of the base look like: small deltas without any direction.
    """
    n = len(tree.models)
    if base is None:
        return np.zeros(n, dtype=bool)
    place = tree.models.index(base)
    squared = distances(tree)[0][place] ** 2
    moved = np.isfinite(cosine.diagonal())
    typical = float(np.median(squared[moved])) if moved.any() else 0.0
    near: Bool[np.ndarray, " N"] = moved & (squared < HARDLY_MOVED**2 * typical)
    far = moved & ~near
    directed = np.nanmax(np.abs(cosine[np.ix_(near, far)]), axis=1, initial=0.0)
    near[near] = directed < UNDIRECTED
    return near


def _regions(cosine: Cosines, labels: Labels, names: list[str]) -> tuple[Region, ...]:
    """Name each cluster after its medoid; members from the medoid outwards."""
    found = []
    for label in range(int(labels.max(initial=OUTLIER)) + 1):
        members = np.flatnonzero(labels == label)
        inside = cosine[np.ix_(members, members)]
        medoid = int(np.round(inside.mean(axis=1), 12).argmax())
        outwards = np.argsort(-np.round(inside[medoid], 12), kind="stable")
        ordered = [names[members[medoid]]]
        ordered += [names[members[k]] for k in outwards if k != medoid]
        found.append(Region(f"region:{ordered[0]}", tuple(ordered), ordered[0]))
    return tuple(found)


def _notes(
    tree: TreeGram,
    base: str | None,
    found: tuple[Region, ...],
    outliers: list[str],
    centred: list[str],
    unmoved: list[str],
    asked: int | None,
) -> tuple[str, ...]:
    notes = []
    if base is None and tree.reference is not None:
        notes.append("no base: deltas are taken from the centre of the tree")
    elif base is None:
        notes.append("the base is not here: adapters are compared by their products")
    if asked is None and len(found) == 1 and not outliers:
        notes.append("nothing separates these models: one region")
    beside = [name for name in centred if name != base and base is not None]
    same = [name for name in beside if name in unmoved]
    touched = [name for name in beside if name not in unmoved]
    if same:
        notes.append(f"with the base, no weight moved: {', '.join(same)}")
    if touched:
        notes.append(f"with the base, hardly moved: {', '.join(touched)}")
    return tuple(notes)
