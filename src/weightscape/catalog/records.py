"""The nouns of the catalog, as plain data: models, edges, forests, regions."""

from dataclasses import dataclass, field
from typing import Any, Literal

EdgeKind = Literal[
    "full", "lora", "frozen-part", "cast", "quantised", "copy", "merge", "pruned", "unknown"
]


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What the files say about a model, beside its geometry.

    dtype: stored dtype of most of the backbone, as safetensors names it ("F32", "BF16").
    declared: names of atlas models that its files name as its base (config `_name_or_path`,
    model card, adapter config, provenance), already resolved; nearest claim first.
    wants: the same claims as they are written, for models that are not in the atlas.
    run, step: the training run a `checkpoint-N` folder belongs to, and N.
    adapter_ranks: rank by tensor for a LoRA adapter (None for a full model).
    """

    name: str
    dtype: str = "F32"
    declared: tuple[str, ...] = ()
    wants: tuple[str, ...] = ()
    run: str | None = None
    step: int | None = None
    adapter_ranks: dict[str, int] | None = None


@dataclass(frozen=True, slots=True)
class Edge:
    """A child and the model it was made from.

    confidence: 0 to 1, that this pair and this direction are right. evidence: short sentences.
    """

    parent: str
    child: str
    kind: EdgeKind
    confidence: float
    evidence: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Undecided:
    """Models whose place or direction in the tree the weights do not settle, and why."""

    models: tuple[str, ...]
    reason: str


@dataclass(frozen=True, slots=True)
class Forest:
    """The recovered trees of one family (or of a whole atlas)."""

    edges: tuple[Edge, ...] = ()
    roots: tuple[str, ...] = ()
    undecided: tuple[Undecided, ...] = ()


@dataclass(frozen=True, slots=True)
class Region:
    """A cluster of models of one family. label: `region:` and its medoid's name."""

    label: str
    members: tuple[str, ...]
    medoid: str


@dataclass(frozen=True, slots=True)
class RegionMap:
    """Regions and layout of one tree.

    cosine: N x N of deltas against `base` (a model's name, or None for the tree's centre), in the
    order of `models`; the base itself has no delta: its row is NaN and it is neither in a region
    nor an outlier. order: `models` sorted so that regions are contiguous, for heat maps.
    points: 2-D layout, every model of the tree, the base included.
    """

    models: tuple[str, ...]
    base: str | None
    cosine: Any  # Float64[np.ndarray, "N N"]
    regions: tuple[Region, ...]
    outliers: tuple[str, ...]
    points: dict[str, tuple[float, float]]
    order: tuple[str, ...]
    pooling: str
    notes: tuple[str, ...] = field(default=())
