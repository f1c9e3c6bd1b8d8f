"""What the page shows, as plain data that knows nothing of the catalog.

Each fact stands once: parents are edges, membership of a region stands in the region; the page
derives the rest. Names tie the parts together; a name that is not among the models (a base that
is not in the atlas) is shown but cannot be chosen.
"""

from dataclasses import dataclass, field
from typing import Any, Literal

Status = Literal["here", "gone"]
ResultKind = Literal["region", "start", "tune"]


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A model near another: distance of the weights, cosine of the deltas (None if unknown)."""

    name: str
    distance: float | None
    cosine: float | None = None


@dataclass(frozen=True, slots=True)
class PageModel:
    """One model.

    x, y: its place in the layout of its own tree, in any unit (places in two trees are not
    comparable, the page packs the trees side by side); None for a model without a place.
    status: "gone" if its files are no longer there. recent: found under the paths just given.
    parameters: how many numbers it holds. nbytes: size on disk. scores: metric -> value.
    facts: whatever else is worth a line in the panel, in reading order.
    """

    name: str
    path: str
    family: str
    tree: str
    x: float | None = None
    y: float | None = None
    task: str | None = None
    scores: dict[str, float] = field(default_factory=dict)
    parameters: int = 0
    nbytes: int = 0
    dtype: str = ""
    format: str = ""
    status: Status = "here"
    recent: bool = True
    facts: dict[str, str] = field(default_factory=dict)
    neighbours: tuple[Neighbour, ...] = ()


@dataclass(frozen=True, slots=True)
class PageEdge:
    """A child and a model it was made from; a merge has one edge for each parent, main one first.

    kind: as in the catalog ("full", "lora", ...). confidence: 0 to 1. evidence: short sentences.
    distance: between the two backbones, None if it was not measured.
    """

    parent: str
    child: str
    kind: str
    confidence: float
    evidence: tuple[str, ...] = ()
    distance: float | None = None


@dataclass(frozen=True, slots=True)
class PageFamily:
    """A family by its name, and what there is to say about it in a line."""

    name: str
    about: str = ""


@dataclass(frozen=True, slots=True)
class PageRegion:
    """A cluster of models of one tree. label: `region:` and its medoid's name."""

    label: str
    members: tuple[str, ...]
    medoid: str


@dataclass(frozen=True, slots=True)
class PageHeat:
    """Cosines of one tree's deltas: a symmetric N x N matrix in the order of `names`.

    names: ordered so that regions are contiguous. NaN where there is no cosine.
    """

    label: str
    names: tuple[str, ...]
    cosines: Any  # Float[np.ndarray, "N N"]


@dataclass(frozen=True, slots=True)
class PageSkipped:
    """A file or folder that was not charted, and why."""

    path: str
    reason: str


@dataclass(frozen=True, slots=True)
class PageUndecided:
    """Models whose place in the tree the weights do not settle, and why."""

    models: tuple[str, ...]
    reason: str


@dataclass(frozen=True, slots=True)
class PagePath:
    """A path between two models or a plane through three, as it was answered with `--json`.

    result: the answer; what it lacks is not drawn.
    """

    kind: Literal["path", "plane"]
    models: tuple[str, ...]
    task: str
    made: str
    folder: str
    result: dict[str, Any]


@dataclass(frozen=True, slots=True)
class PageResult:
    """What was found of a group of models, as it was answered with `--json`.

    result: the answer; what it lacks is not drawn.
    """

    kind: ResultKind
    models: tuple[str, ...]
    task: str
    made: str
    folder: str
    result: dict[str, Any]


@dataclass(frozen=True, slots=True)
class PageExpert:
    """A trained expert: the layer that it reads, how many models it has read, its metrics."""

    name: str
    layer: str
    models: int
    metrics: dict[str, float]


@dataclass(frozen=True, slots=True)
class PageLabel:
    """A label and the models that know it by their weights.

    words: what it means, where that was told. likely: how many models are likelier to know it than
    not. hits: name, probability, and whether the model is labelled so; the likeliest first.
    """

    label: str
    words: str
    likely: int
    hits: tuple[tuple[str, float, bool], ...]


@dataclass(frozen=True, slots=True)
class PageKnown:
    """What experts read in the weights. models: of each the likeliest labels with probabilities."""

    experts: tuple[PageExpert, ...]
    labels: tuple[PageLabel, ...]
    models: dict[str, tuple[tuple[str, float], ...]]


@dataclass(frozen=True, slots=True)
class PageData:
    """All that one page shows. made: time in ISO 8601. command: how to make it again.

    A page without models and with paths or results shows these alone.
    """

    title: str
    made: str
    version: str
    command: str
    models: tuple[PageModel, ...]
    edges: tuple[PageEdge, ...] = ()
    families: tuple[PageFamily, ...] = ()
    regions: tuple[PageRegion, ...] = ()
    heats: tuple[PageHeat, ...] = ()
    skipped: tuple[PageSkipped, ...] = ()
    undecided: tuple[PageUndecided, ...] = ()
    notes: tuple[str, ...] = ()
    paths: tuple[PagePath, ...] = ()
    results: tuple[PageResult, ...] = ()
    known: PageKnown | None = None

    def found(self, kind: ResultKind) -> tuple[PageResult, ...]:
        """Give the results of one kind."""
        return tuple(it for it in self.results if it.kind == kind)
