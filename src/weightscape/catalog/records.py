"""The nouns of the catalog, as plain data: models, edges, forests, regions."""

from dataclasses import dataclass, field
from typing import Any, Literal

EdgeKind = Literal[
    "full",
    "lora",
    "adapter",
    "frozen-part",
    "trained",
    "cast",
    "quantised",
    "copy",
    "merge",
    "pruned",
    "unknown",
]


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What the files say about a model, beside its geometry.

    dtype: stored dtype of most of the backbone, as safetensors names it ("F32", "BF16").
    declared: names of atlas models that its files name as its base (config `_name_or_path`,
    model card, adapter config, provenance), already resolved; nearest claim first.
    wants: the same claims as they are written, for models that are not in the atlas.
    run, step: the training run a `checkpoint-N` folder belongs to, and N.
    adapter_ranks: rank by tensor for a LoRA adapter, empty for an adapter that works beside the
    weights (bottleneck, prefix), None for a full model.
    sources: names of atlas models that its files say it was merged from, resolved alike.
    mixes: those claims as they are written.
    origin: where it was fetched from, as far as that was told. part_of: where the model is, if only
    some `layers` of it (names of tensors) were fetched from there; None for a model that is here.
    """

    name: str
    dtype: str = "F32"
    declared: tuple[str, ...] = ()
    wants: tuple[str, ...] = ()
    run: str | None = None
    step: int | None = None
    adapter_ranks: dict[str, int] | None = None
    sources: tuple[str, ...] = ()
    mixes: tuple[str, ...] = ()
    origin: str | None = None
    part_of: str | None = None
    layers: tuple[str, ...] = ()


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


Status = Literal["pending", "ready", "gone", "removed"]
Stamp = tuple[tuple[str, int, int], ...]
"""Of each file of a model: path relative to the model, size in bytes, mtime in ns."""


@dataclass(frozen=True, slots=True)
class Model:
    """A checkpoint that an atlas knows; the last six fields are the atlas's to give.

    path: absolute. fingerprint: of names, shapes and sampled bytes. stamp: recognises the model as
    unchanged without opening it. nbytes, parameters: of all of it, wherever it is. config,
    metadata: what the files say, untrusted, size capped by whoever read them. status: "pending"
    (registered, its rows not complete), "ready", "gone" (its files are not there any more),
    "removed" (by the user). position: row and column in the Grams of its tree, from 0. id 0: not in
    an atlas yet.
    """

    name: str
    path: str
    kind: Literal["full", "adapter"]
    format: str
    fingerprint: str
    stamp: Stamp
    nbytes: int
    parameters: int
    facts: ModelFacts
    config: dict[str, Any] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)
    content_hash: str | None = None
    id: int = 0
    status: Status = "pending"
    added: str = ""
    family_id: int | None = None
    tree_id: int | None = None
    position: int | None = None

    @property
    def dtype(self) -> str:
        """Tell the stored dtype of most of the backbone."""
        return self.facts.dtype


@dataclass(frozen=True, slots=True)
class Family:
    """Models whose backbones have the same tensors. signature: canonical names and shapes."""

    id: int
    name: str
    role: str
    signature: tuple[tuple[str, tuple[int, ...]], ...]


@dataclass(frozen=True, slots=True)
class FamilyTensor:
    """One place on the tensor axis of a family's Grams."""

    id: int
    name: str
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Tree:
    """One tree of a family; reference_id is the model its Grams are relative to, if any."""

    id: int
    family_id: int
    name: str
    reference_id: int | None


@dataclass(frozen=True, slots=True)
class TensorStatistics:
    """Statistics of one tensor of one model, as in geometry's Moments; the default is absence."""

    content_hash: str = ""
    norm: float = float("nan")
    kurtosis: float = float("nan")
    peak: float = float("nan")
    unchanged: float = float("nan")
    nonfinite: int = 0


@dataclass(frozen=True, slots=True)
class Skipped:
    """Something found beside the models and not charted. kind: "bad", "unsupported", ..."""

    path: str
    reason: str
    kind: str
    seen: str = ""


@dataclass(frozen=True, slots=True)
class KeptPath:
    """What was measured between two models (a path) or three (a plane).

    key: the same for the same question, whose newest answer is the one that is kept. models: by
    name, two for a path and three for a plane. folder: where its files lie. result: the answer as
    plain JSON, numbers that are not numbers being null. made: ISO 8601, the catalog's to give.
    """

    key: str
    kind: Literal["path", "plane"]
    models: tuple[str, ...]
    task: str
    folder: str
    result: dict[str, Any]
    made: str = ""


@dataclass(frozen=True, slots=True)
class KeptResult:
    """What was found of a group of models: that they are a region, a start, or the best blend.

    key: the same for the same question, whose newest answer is the one that is kept. models: by
    name, at least two, all that the question was about. task: the names of the tasks. The rest
    is as in KeptPath.
    """

    key: str
    kind: Literal["region", "start", "tune"]
    models: tuple[str, ...]
    task: str
    folder: str
    result: dict[str, Any]
    made: str = ""


@dataclass(frozen=True, slots=True)
class KeptStudy:
    """A search of weights. identity: what it must have in common with one that goes on with it.

    versions: of the packages that made it.
    """

    id: int
    name: str
    identity: dict[str, Any]
    versions: dict[str, str]
    made: str


@dataclass(frozen=True, slots=True)
class KeptBatch:
    """What a study's sampler asked for at once: points, and the digest of each one's trial."""

    points: tuple[tuple[float, ...], ...]
    digests: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class KeptTrial:
    """One candidate of a study, from 0 in the order in which they were asked for.

    digest: of its weights, one trial's alone. weights: nested as the study's are. loss: None as
    long as it has none, and where it failed. rows: of the task, how many were read. attempts: how
    often a process took it. gradient: by the weights, nested as they are.
    """

    number: int
    digest: str
    weights: list[Any]
    state: Literal["waiting", "running", "complete", "raced", "failed"] = "waiting"
    attempts: int = 0
    loss: float | None = None
    rows: int = 0
    seconds: float = 0.0
    error: str = ""
    gradient: list[Any] | None = None


LabelKind = Literal["class", "task", "tag"]


@dataclass(frozen=True, slots=True, order=True)
class Label:
    """A thing that a model is said to know. source: by whom, such as "config" or "card"."""

    label: str
    kind: LabelKind = "class"
    source: str = ""


@dataclass(frozen=True, slots=True)
class KeptExpert:
    """A trained expert of one tree, which reads one layer of a model.

    folder: where its files lie. tree: its name. encoder: what its text encoder is opened by. told:
    whatever else is to be shown of it. id and made are the catalog's to give.
    """

    name: str
    folder: str
    tree: str
    layer: str
    encoder: str
    told: dict[str, Any] = field(default_factory=dict)
    made: str = ""
    id: int = 0
