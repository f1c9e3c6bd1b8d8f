"""Regions of regions: which regions of a map lie towards each other, as tasks of one domain do."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from weightscape.catalog.records import RegionMap
from weightscape.geometry.products import Moments, TreeGram
from weightscape.regions.clusters import DEFAULT_CLUSTERING, OUTLIER, find_clusters
from weightscape.regions.poolings import cosine_noise, pooled_cosines

Domain = tuple[str, ...]
"""Labels of regions, and names of models that are in none."""


def group_regions(
    tree: TreeGram,
    found: RegionMap,
    *,
    domains: int | None = None,
    clustering: str = DEFAULT_CLUSTERING,
) -> tuple[Domain, ...]:
    """Group a map's regions and outliers by the cosines of their centres' deltas.

    tree: what the map was charted from. Domains come by size; a region that lies towards no other
    is a domain of its own, and so is each where nothing separates them or there are fewer than
    four. `domains` fixes their number.
    """
    groups = {it.label: it.members for it in found.regions} | {it: (it,) for it in found.outliers}
    labels = list(groups)
    beside = {} if found.base is None else {found.base: (found.base,)}
    middle = centres(tree, {**groups, **beside})
    cosine = pooled_cosines(middle, found.base, found.pooling)[: len(labels), : len(labels)]
    # centres that cancel out have no direction: they lie towards nobody
    cosine = np.where(np.isfinite(cosine), cosine, np.eye(len(labels)))
    noise = cosine_noise(middle, found.base)
    numbers = find_clusters(cosine, noise=noise, count=domains, clustering=clustering)
    if domains is None and len(labels) > 1 and (numbers == 0).all():
        numbers = np.full_like(numbers, OUTLIER)
    together = [
        tuple(label for label, it in zip(labels, numbers, strict=True) if it == number)
        for number in range(int(numbers.max(initial=OUTLIER)) + 1)
    ]
    alone = [(label,) for label, it in zip(labels, numbers, strict=True) if it == OUTLIER]
    return (*together, *alone)


def centres(tree: TreeGram, groups: Mapping[str, Sequence[str]]) -> TreeGram:
    """Give the products of groups' centres, worked out from the models' own.

    Moments are not known of centres: they are NaN.
    """
    weights = np.zeros((len(groups), len(tree.models)))
    for row, members in enumerate(groups.values()):
        weights[row, [tree.models.index(name) for name in members]] = 1.0 / len(members)
    shape = (len(tree.tensors), len(groups))
    unknown = np.full(shape, np.nan)
    moments = Moments(
        norm=unknown,
        kurtosis=unknown,
        peak=unknown,
        unchanged=unknown,
        nonfinite=np.zeros(shape, dtype=np.int64),
        hashes=tuple(("",) * len(groups) for _ in tree.tensors),
    )
    gram = np.stack([weights @ products @ weights.T for products in tree.gram])
    return replace(tree, models=tuple(groups), gram=gram, moments=moments)
