"""What every verb answers with `--json`: keys are added, never renamed."""

from pydantic import BaseModel, ConfigDict, Field


class Answer(BaseModel):
    """The common ground of all answers."""

    model_config = ConfigDict(extra="forbid", ser_json_inf_nan="null")


class EdgeAnswer(Answer):
    """A child and the model it was made from."""

    parent: str
    child: str
    kind: str = Field(
        description="copy, cast, lora, adapter, frozen-part, full, trained, merge, ... or unknown"
    )
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
    with_base: list[str] = Field(
        description="models that lie with their base: unchanged, or hardly moved"
    )
    notes: list[str] = Field(description="what else there is to say of a map")
    pooling: str = Field(description="how cosines were pooled over tensors")


class NeighbourAnswer(Answer):
    """A model near another."""

    model: str
    distance: float = Field(description="L2 distance of the two backbones; 0 for exact copies")
    resolution: float = Field(
        description="a distance below this is not told from 0; 0 for exact copies"
    )
    cosine: float | None = Field(description="of the two deltas; null where one has none")


class NearHitAnswer(Answer):
    """A model near another, by whatever was asked for."""

    model: str
    score: float | None = Field(
        description="higher is nearer: the cosine of the probe's vectors, that of the deltas, or "
        "minus the distance; null where there is none"
    )
    found_by: list[str] = Field(description="probe, cosine or distance")


class NearAnswer(Answer):
    """`weightscape near MODEL --json`."""

    model: str
    neighbours: list[NeighbourAnswer] = Field(
        description="best first, in the order asked for; with --by probe those of the hits whose "
        "weights were compared"
    )
    hits: list[NearHitAnswer] = Field(default=[], description="the same order")
    expert: str | None = Field(default=None, description="that was asked with --by probe")


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
    origin: str | None = Field(description="where it was fetched from, null for one that was not")
    part_of: str | None = Field(description="where it is, if only some layers are here; else null")
    layers: list[str] = Field(description="the tensors that are here, if only some are")


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
    by_layers: list[str] = Field(
        description="those of given of which only some layers are here, by which they are compared"
    )
    skipped: list[SkippedAnswer]
    bytes_read: int = Field(description="of the files, by the pass over all tensors")
    bytes_sampled: int = Field(description="of the files, to tell trees apart")
    bytes_looked: int = Field(description="of the files, by the second look at candidate edges")
    bytes_on_disk: int = Field(description="what the models found take")
    bytes_fetched: int = Field(description="that servers sent: headers, layers, small files")
    bytes_elsewhere: int = Field(description="what the models of by_layers take where they are")


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


class PathPointAnswer(Answer):
    """A model on a path, scored; intervals are 95 % bootstrap intervals over rows."""

    t: float = Field(description="0 at the first end, 1 at the second")
    loss: float | None = Field(description="mean over held-out rows")
    loss_interval: tuple[float | None, float | None]
    train_loss: float | None = Field(description="mean over training rows")
    train_loss_interval: tuple[float | None, float | None]
    validation_loss: float | None = Field(description="null where the task has no such rows")
    metrics: dict[str, float | None] = Field(description="on held-out rows")
    metric_intervals: dict[str, tuple[float | None, float | None]]
    train_metrics: dict[str, float | None]
    chord: float | None = Field(description="straight line between the ends' losses, at t")
    length: float = Field(description="of the path from the first end up to here (L2)")
    weights: list[float] = Field(description="over first end, bends, second end; they sum to 1")


class MetricDropAnswer(Answer):
    """How far a metric falls below the worse end somewhere on the path."""

    metric: str
    height: float | None
    interval: tuple[float | None, float | None]
    at: float = Field(description="t of the lowest point")


class BestPointAnswer(Answer):
    """The best model on the path, chosen on other rows than those it is scored on."""

    t: float
    chosen_on: str = Field(description="validation or train: the rows whose loss chose it")
    loss: float | None
    metrics: dict[str, float | None]
    gain: float | None = Field(description="loss of the better end minus its own")
    gain_interval: tuple[float | None, float | None]
    metric_gain: float | None = Field(description="the same of the first metric; above 0 is better")
    metric_gain_interval: tuple[float | None, float | None]
    beats_both: bool = Field(description="lower loss than each end, beyond noise")


class KnowledgeAnswer(Answer):
    """Which rows are answered rightly at which point."""

    rows: list[int] = Field(description="row numbers in the data, from 0")
    correct: list[str] = Field(
        description="one string a point, one sign a row: 1 right, 0 wrong, ? neither"
    )
    forgotten: list[list[int]] = Field(description="per point: rows newly wrong there")
    gained: list[list[int]] = Field(description="per point: rows newly right there")


class KnowledgeTablesAnswer(Answer):
    """Knowledge along a path, on both kinds of rows."""

    train: KnowledgeAnswer
    held_out: KnowledgeAnswer


class TraitsAnswer(Answer):
    """Mean traits of some rows while an end was trained (cartography)."""

    examples: int
    confidence: float | None = Field(description="mean probability of the right answer")
    variability: float | None = Field(description="standard deviation of that probability")
    flips: float | None = Field(description="how often right turned to wrong or back")


class ForgettingAnswer(Answer):
    """Which rows are forgotten, told by how they were learned."""

    forgotten: list[TraitsAnswer] = Field(description="per point: of the rows forgotten there")
    rest: TraitsAnswer = Field(description="of the rows that are never forgotten")
    auc: float | None = Field(
        description="of forgetting before half of the path by low confidence; 0.5 is chance"
    )
    auc_interval: tuple[float | None, float | None]
    dynamics: str = Field(description="where the training dynamics are from")


class SeriesAnswer(Answer):
    """One task followed along a path."""

    task: str
    labels: list[str]
    summary: list[str] = Field(description="what was found, in sentences; the verdict first")
    points: list[PathPointAnswer]
    barrier: float | None = Field(description="highest rise of the loss above the chord")
    barrier_interval: tuple[float | None, float | None]
    barrier_at: float = Field(description="t of the highest rise")
    verdict: str = Field(description="connected, not connected, or cannot tell")
    threshold: float | None = Field(description="the rise up to which models count as connected")
    threshold_rule: str
    metric_drop: MetricDropAnswer | None
    best: BestPointAnswer
    forgotten: list[list[int]] = Field(
        description="per point: training rows right at the point before and wrong here"
    )
    gained: list[list[int]] = Field(
        description="per point: training rows wrong at the point before and right here"
    )
    knowledge: KnowledgeTablesAnswer = Field(description="the same and more, on both kinds of rows")
    forgetting: ForgettingAnswer | None = Field(
        description="null unless an end was fine-tuned with its dynamics recorded"
    )
    chance_loss: float | None = Field(description="loss of answering by the labels' shares")
    chance_ends: list[str] = Field(description="ends that are no better than that")
    rows: int = Field(description="held-out rows scored")
    train_rows: int


class BendsAnswer(Answer):
    """How the bends of a curve were trained."""

    chosen_step: int = Field(description="0 where the initial bends were best")
    validation: list[tuple[int, float | None]] = Field(description="step and loss: what chose")
    losses: list[float | None] = Field(description="of the training batches")
    folders: list[str] = Field(description="the bends as models, to be used again with --bend")
    arguments: dict[str, object]


class PathAnswer(SeriesAnswer):
    """`weightscape path A B --task T --json`; the first task's series stands at the top."""

    a: str
    b: str
    curve: str = Field(description="line, bezier or chain")
    bends: int
    head: str = Field(description="own, probe, or the model whose head was used everywhere")
    head_reason: str = Field(default="", description="why a probe was taken unasked")
    space: str = Field(description="factor or product: what was interpolated of adapters")
    distance: float = Field(description="L2 between the ends")
    distance_per_parameter: float = Field(description="L2 over the root of the parameters")
    cosine: float | None = Field(description="of the ends' weights")
    delta_cosine: float | None = Field(description="of what the ends learned beyond `base`")
    base: str | None
    parameters: int
    moving_parameters: int = Field(description="those that are not the same in both ends")
    length: float = Field(description="of the path (L2)")
    also: list[SeriesAnswer] = Field(description="the other tasks, one series each")
    training: BendsAnswer | None
    seconds: float
    folder: str | None = Field(description="where path.json lies")


class PlaneAnswer(Answer):
    """`weightscape plane A B C --task T --json`; grids are rows of y by columns of x."""

    models: list[str]
    task: str
    head: str
    head_reason: str = Field(default="", description="as of a path")
    loss_unit: str = Field(default="", description="nats, squared (of numbers), or empty")
    space: str
    summary: list[str] = Field(description="what was found, in sentences")
    x: list[float] = Field(description="grid along the line from the first to the second (L2)")
    y: list[float] = Field(description="grid beside that line, towards the third (L2)")
    positions: list[tuple[float, float]] = Field(description="x, y of the three models")
    losses: list[list[float | None]] = Field(description="on held-out rows")
    train_losses: list[list[float | None]]
    metrics: dict[str, list[list[float | None]]]
    train_metrics: dict[str, list[list[float | None]]]
    ends_loss: list[float | None] = Field(description="of the three models on the same rows")
    ends_metrics: dict[str, list[float | None]]
    chance_loss: float | None
    rows: int
    train_rows: int
    seconds: float
    folder: str | None
