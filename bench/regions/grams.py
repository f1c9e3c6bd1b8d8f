"""Inner products of many models of one family, with and without the base taken off."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from weightscape.geometry.align import backbone, match
from weightscape.geometry.gram import gram_pass
from weightscape.geometry.piece import Member
from weightscape.geometry.products import Moments, TreeGram
from weightscape.io import open_checkpoint

Array = NDArray[np.float64]


def tree_gram(models: Mapping[str, Path], base: str | None) -> TreeGram:
    """Stream the models' backbones once; `base` is the model that deltas are taken from.

    With None nothing is taken off: the products are those of the raw weights.
    """
    opened = {name: open_checkpoint(path) for name, path in models.items()}
    shapes = dict(backbone(next(iter(opened.values())).tensors).shapes)
    members = []
    for name, checkpoint in opened.items():
        stored = match(shapes, backbone(checkpoint.tensors))
        if stored is None:
            raise SystemExit(f"{name} has other tensors than {next(iter(opened))}")
        members.append(Member(name, checkpoint, stored))
    reference = None if base is None else members[list(models).index(base)]
    found = sorted(gram_pass(members, shapes, reference=reference), key=lambda it: it.tensor)
    for checkpoint in opened.values():
        checkpoint.close()
    moments = Moments(
        norm=np.stack([it.norm for it in found]),
        kurtosis=np.stack([it.kurtosis for it in found]),
        peak=np.stack([it.peak for it in found]),
        unchanged=np.stack([it.unchanged for it in found]),
        nonfinite=np.stack([it.nonfinite for it in found]),
        hashes=tuple(it.hashes for it in found),
    )
    return TreeGram(
        models=tuple(models),
        tensors=tuple(it.tensor for it in found),
        shapes=tuple(tuple(shapes[it.tensor]) for it in found),
        gram=np.stack([it.rows for it in found]),
        moments=moments,
        reference=base,
    )


def distances(tree: TreeGram) -> Array:
    """Give the Euclidean distances between a tree's models, over all tensors."""
    whole = tree.gram.sum(axis=0)
    norms = whole.diagonal()
    return np.sqrt(np.maximum(norms[:, None] + norms[None, :] - 2 * whole, 0.0))
