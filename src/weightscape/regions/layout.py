"""Where models are drawn: two dimensions from the same cosines that make the regions."""

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float64

from weightscape.catalog.records import RegionMap
from weightscape.regions.poolings import Cosines
from weightscape.registry import Registry

Points = Float64[np.ndarray, "N 2"]
Layout = Callable[[Cosines, int], Points]

layouts: Registry[Layout] = Registry("layout")
DEFAULT_LAYOUT = "mds"
FEW_MODELS = 200
_GAP = 0.25  # free space between two trees of one picture, as a share of the larger one's side


@layouts.register("mds")
def classical_scaling(products: Cosines, seed: int) -> Points:
    """Lay out by the two leading principal coordinates (Torgerson, 1952); draws nothing.

    `products` are inner products of unit deltas, 0 for models without a delta.
    """
    del seed
    n = len(products)
    if n < 2:
        return np.zeros((n, 2))
    mean = products.mean(axis=1)
    centred = products - mean[:, None] - mean[None, :] + mean.mean()
    values, vectors = np.linalg.eigh(centred)
    leading = np.argsort(-values, kind="stable")[:2]
    points = vectors[:, leading] * np.sqrt(np.maximum(values[leading], 0.0))
    return _signed(np.pad(points, ((0, 0), (0, 2 - points.shape[1]))))


@layouts.register("tsne")
def neighbour_embedding(products: Cosines, seed: int) -> Points:
    """Lay out by t-SNE (van der Maaten and Hinton, 2008), which keeps neighbours together."""
    n = len(products)
    if n < 5:
        return classical_scaling(products, seed)
    from sklearn.manifold import TSNE

    norms = products.diagonal()
    squared = np.maximum(norms[:, None] + norms[None, :] - 2.0 * products, 0.0)
    np.fill_diagonal(squared, 0.0)
    tsne = TSNE(
        metric="precomputed",
        init="random",
        random_state=seed,
        perplexity=min(30.0, (n - 1) / 3.0),
        # its threads cost more than they save where there are few models
        method="exact" if n <= FEW_MODELS else "barnes_hut",
    )
    return _signed(tsne.fit_transform(np.sqrt(squared)).astype(np.float64))


def _signed(points: Points) -> Points:
    """Fix the free signs: the point farthest out along each axis is on its positive side."""
    farthest = np.abs(points).round(12).argmax(axis=0)
    signs = np.where(points[farthest, np.arange(points.shape[1])] < 0, -1.0, 1.0)
    signed: Points = points * signs
    return signed


def arrange(maps: Sequence[RegionMap]) -> dict[str, tuple[float, float]]:
    """Place several trees' maps side by side, in rows, without overlap, largest first.

    A tree of N models gets a square of side sqrt(N), so that points are about equally dense.
    """
    boxes = sorted(
        ((np.sqrt(len(map_.points)), map_) for map_ in maps if map_.points),
        key=lambda box: (-box[0], min(box[1].points)),
    )
    width = max(boxes[0][0], 1.2 * np.sqrt(sum(side**2 for side, _ in boxes))) if boxes else 0.0
    placed: dict[str, tuple[float, float]] = {}
    left = top = row = 0.0
    for side, map_ in boxes:
        if left > 0.0 and left + side > width:
            left, top, row = 0.0, top - row, 0.0
        points = np.array(list(map_.points.values()))
        middle = 0.5 * (points.max(axis=0) + points.min(axis=0))
        extent = float((points.max(axis=0) - points.min(axis=0)).max())
        scaled = (points - middle) * (side / extent if extent > 0 else 0.0)
        corner = np.array([left + 0.5 * side, top - 0.5 * side])
        for name, (x, y) in zip(map_.points, scaled + corner, strict=True):
            placed[name] = (float(x), float(y))
        step = side * (1.0 + _GAP)
        left, row = left + step, max(row, step)
    return placed
