"""What every verb answers with `--json`: keys are added, never renamed."""

from pydantic import BaseModel, ConfigDict, Field


class Answer(BaseModel):
    """The common ground of all answers."""

    model_config = ConfigDict(extra="forbid", ser_json_inf_nan="null")


class EdgeAnswer(Answer):
    """A child and the model it was made from."""

    parent: str
    child: str
    kind: str = Field(description="copy, cast, lora, frozen-part, full, merge, ... or unknown")
    confidence: float = Field(ge=0, le=1, description="that this pair and direction are right")
    evidence: list[str] = Field(description="why, in short sentences")


class UndecidedAnswer(Answer):
    """Models whose place the weights do not settle."""

    models: list[str]
    reason: str


class FamilyAnswer(Answer):
    """Models whose backbones have the same tensors."""

    name: str
    members: list[str]


class TreeAnswer(Answer):
    """`weightscape tree --json`."""

    edges: list[EdgeAnswer]
    roots: list[str]
    undecided: list[UndecidedAnswer]
    families: list[FamilyAnswer]


class RegionAnswer(Answer):
    """A cluster of models."""

    label: str = Field(description="region: and the name of its most central member")
    members: list[str]
    medoid: str


class MapAnswer(Answer):
    """`weightscape map --json`."""

    regions: list[RegionAnswer]
    points: dict[str, tuple[float, float]] = Field(description="model name to x, y")
    outliers: list[str] = Field(description="models that belong to no region")
    pooling: str = Field(description="how cosines were pooled over tensors")


class NeighbourAnswer(Answer):
    """A model near another."""

    model: str
    distance: float = Field(description="L2 distance of the two backbones")
    cosine: float | None = Field(description="of the two deltas; null where one has none")


class NearAnswer(Answer):
    """`weightscape near MODEL --json`."""

    model: str
    neighbours: list[NeighbourAnswer] = Field(description="nearest first")


class ModelAnswer(Answer):
    """A model of the atlas, in one line."""

    name: str
    path: str
    kind: str = Field(description="full or adapter")
    family: str | None
    tree: str | None
    region: str | None
    parent: str | None
    edge: str | None = Field(description="the kind of the edge from its parent")
    status: str = Field(description="ready, pending, or gone (its files are not there any more)")
    dtype: str
    parameters: int
    bytes: int


class ListAnswer(Answer):
    """`weightscape list --json`."""

    models: list[ModelAnswer]


class ShowAnswer(ModelAnswer):
    """`weightscape show MODEL --json`."""

    fingerprint: str
    content_hash: str | None
    format: str
    added: str
    run: str | None
    step: int | None
    declared: list[str] = Field(description="bases that its files name, as written")
    edges_in: list[EdgeAnswer]
    children: list[str]
    neighbours: list[NeighbourAnswer]
    norm: float | None = Field(description="Frobenius norm of the backbone")
    nonfinite: list[str] = Field(description="tensors with NaN or infinite elements")
    config: dict[str, object]


class SkippedAnswer(Answer):
    """Something that was found and not charted."""

    path: str
    reason: str
    kind: str = Field(description="bad or unsupported")


class AddAnswer(Answer):
    """`weightscape add PATH --json`."""

    given: list[str] = Field(description="models found under the paths")
    new: list[str] = Field(description="those that the atlas did not know")
    skipped: list[SkippedAnswer]
    bytes_read: int = Field(description="of the files, by the pass over all tensors")
    bytes_sampled: int = Field(description="of the files, to tell trees apart")
    bytes_looked: int = Field(description="of the files, by the second look at candidate edges")
    bytes_on_disk: int = Field(description="what the models found take")


class ChartAnswer(AddAnswer):
    """`weightscape chart PATH --json`."""

    tree: TreeAnswer
    map: MapAnswer
    page: str = Field(description="path of the HTML page")


class RemoveAnswer(Answer):
    """`weightscape remove MODEL --json`."""

    removed: list[str]


class DemoAnswer(ChartAnswer):
    """`weightscape demo --json`."""

    zoo: str = Field(description="folder of the sample population")
