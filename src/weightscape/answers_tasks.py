"""What the verbs about tasks answer with `--json`: keys are added, never renamed."""

from pydantic import Field

from weightscape.answers import Answer


class FineTuneAnswer(Answer):
    """`weightscape fine-tune START OUT --json`."""

    folder: str = Field(description="the finished model or adapter")
    parent: str = Field(description="what it was trained from, as given")
    task: str
    method: str = Field(description="full, bitfit, head, lora, adapter or prefix")
    loss: float = Field(description="mean over held-out rows")
    metrics: dict[str, float] = Field(description="by name, on the same rows")
    rows: int = Field(description="held-out rows it was scored on")
    best_step: int | None = Field(
        description="whose weights these are, where a validation loss chose; else null"
    )
    stopped_after: int | None = Field(description="steps done then; null without validation")


class ScoredModelAnswer(Answer):
    """A model's scores on a task."""

    model: str = Field(description="as given")
    rows: int = Field(description="rows it was scored on")
    loss: float = Field(description="mean over the rows: nats, or squared for numbers")
    metrics: dict[str, float | None] = Field(description="by name; null where undefined")
    intervals: dict[str, tuple[float, float]] = Field(
        description="95 % bootstrap intervals over the rows, of loss and metrics"
    )


class EvaluateAnswer(Answer):
    """`weightscape evaluate MODEL... --task T --json`."""

    task: str
    split: str
    head: str = Field(description="own, or probe: a linear head fitted on training rows")
    models: list[ScoredModelAnswer] = Field(description="in the order given")


class RegionScoreAnswer(Answer):
    """How good a point is for a task, a head refitted on training rows."""

    loss: float | None = Field(description="generalized loss: mean over held-out rows")
    interval: tuple[float | None, float | None] = Field(description="95 %, over held-out rows")
    metrics: dict[str, float | None] = Field(description="by name, on the same rows")


class RegionPointAnswer(Answer):
    """A model, or a point between or outside the models."""

    name: str
    weights: dict[str, float] = Field(
        description="over the models, sum 1; empty for what is no combination of them"
    )
    distance: float = Field(description="from the models' centroid (L2)")
    scores: dict[str, RegionScoreAnswer] = Field(description="by task")


class RegionGroupAnswer(Answer):
    """One of the groups that are compared."""

    name: str = Field(description="in (the models), hull (points between them) or ex (outside)")
    about: str = Field(description="what it is made of, in words")
    losses: dict[str, float | None] = Field(description="mean over the points, by task")
    points: list[RegionPointAnswer]


class DominanceAnswer(Answer):
    """P_B(better over worse): how often a random point of one group has the smaller loss."""

    better: str = Field(description="in, hull or ex")
    worse: str
    task: str | None = Field(description="null for the mean over tasks")
    value: float | None = Field(description="1: always better, 0.5: no difference; ties are half")
    interval: tuple[float | None, float | None] = Field(
        description="95 %, over points, and over tasks in the mean"
    )


class RayAnswer(Answer):
    """Losses along a ray from the centroid."""

    towards: str = Field(description="the model that it passes, or a random point between them")
    distances: list[float] = Field(description="from the centroid (L2)")
    losses: list[float | None]
    crosses: float | None = Field(
        description="distance at which the loss first passes the threshold; null if it does not"
    )


class RadiusAnswer(Answer):
    """Where the region ends for a task."""

    task: str
    threshold: float | None = Field(description="the loss at which the region ends")
    threshold_rule: str
    value: float | None = Field(
        description="median distance over rays; null where fewer than half of them cross"
    )
    interval: tuple[float | None, float | None] = Field(
        description="95 %, over rays; null where an end lies beyond what was looked at"
    )
    unit: float = Field(description="mean distance of the models from their centroid")
    times: float | None = Field(description="value in units: above 1 it reaches past the models")
    rays: list[RayAnswer]


class PairAnswer(Answer):
    """Losses on the line through two models: (1 - alpha) one + alpha other."""

    one: str
    other: str
    relation: str = Field(description="in (both of the group) or across (the other from outside)")
    alphas: list[float] = Field(description="0 and 1 are the models; beyond them it goes on")
    losses: dict[str, list[float | None]] = Field(description="by task, one an alpha")


class PlaceAnswer(Answer):
    """Where a model lies as seen from the hull of the group, by weights alone."""

    name: str
    place: str = Field(description="in the hull, near, or outside")
    distance: float = Field(description="to the hull (L2)")
    typical: tuple[float, float] = Field(
        description="the models' own distances, each to the hull of the others: median, highest"
    )
    weights: dict[str, float] = Field(description="of the nearest point of the hull, sum 1")


class RegionResultAnswer(Answer):
    """`weightscape region MODELS... --task T --json`."""

    label: str | None = Field(description="of the region in the atlas, if it was asked for by it")
    models: list[str]
    outside: str = Field(description="what the group ex is made of")
    base: str | None
    tasks: list[str]
    sampler: str = Field(description="how points between the models were drawn")
    summary: list[str] = Field(description="what was found, in sentences; the verdict first")
    groups: list[RegionGroupAnswer]
    centroid: RegionPointAnswer
    p_b: list[DominanceAnswer]
    radii: list[RadiusAnswer] = Field(description="one a task; empty where no ray was followed")
    pairs: list[PairAnswer]
    places: list[PlaceAnswer]
    rows: int = Field(description="held-out rows scored, of each task")
    train_rows: int = Field(description="training rows that heads were fitted on")
    evaluated: int = Field(description="points evaluated anew; the others were known")
    seconds: float
    notes: list[str]
    folder: str | None = Field(description="where region.json lies")


class StartRunAnswer(Answer):
    """One short fine-tuning, scored on rows that it did not see."""

    seed: int
    fold: int
    steps: int
    loss: float | None
    metrics: dict[str, float | None]


class RankedStartAnswer(Answer):
    """A model that training could start from, and what is known of it."""

    name: str
    kind: str = Field(description="base, model, centroid, region, nearest, greedy soup, ...")
    weights: dict[str, float] = Field(description="over the models, sum 1")
    why: str = Field(description="in words, where it is from")
    probe_loss: float | None = Field(description="of a linear probe, on rows it was not fitted on")
    probe_interval: tuple[float | None, float | None]
    runs: list[StartRunAnswer]
    score: float | None = Field(
        description="mean of the metric over its runs; null where it was given none"
    )
    score_interval: tuple[float | None, float | None] | None
    gain: float | None = Field(
        description="over the base, paired by seed and fold; above 0 is better"
    )
    gain_interval: tuple[float | None, float | None] | None
    dropped_in: int | None = Field(description="round after which it was dropped; null: never")
    held_out: dict[str, float | None] = Field(
        description="metrics on the test split after training on all rows; never used to choose"
    )


class StartAnswer(Answer):
    """`weightscape start --models M... --task T --json`."""

    task: str
    metric: str
    method: str
    models: list[str]
    base: str | None
    recommended: str
    beats_base: bool = Field(description="better than the base beyond noise")
    why: str = Field(description="the recommendation in a sentence")
    output: str | None = Field(description="the folder that the recommended start was written to")
    summary: list[str] = Field(description="what was found, in sentences; the verdict first")
    ranked: list[RankedStartAnswer] = Field(description="best first")
    train_rows: int
    rounds: int
    runs: int = Field(description="short fine-tunings in all")
    precision: str = Field(description="what they computed in: float32 or bfloat16")
    seconds: float
    notes: list[str]
    folder: str | None = Field(description="where start.json lies")


class SmallerStartAnswer(Answer):
    """`weightscape start --models M --smaller CONFIG -o OUT --json`."""

    source: str = Field(description="the larger model")
    config: str
    layers: str = Field(description="first or uniform: which of its layers were taken")
    output: str


class TuneTrialAnswer(Answer):
    """One candidate of a search of weights."""

    number: int = Field(description="from 0, in the order in which candidates were asked for")
    weights: list[float] | list[list[float]] = Field(
        description="in the order of `models`; a row for each of `groups`, if there are any"
    )
    loss: float | None = Field(description="null where it is not finite")
    rows: int = Field(description="rows that were read of those searched on")
    state: str = Field(description="complete, raced (stopped early: an estimate) or failed")
    seconds: float
    error: str


class BlendAnswer(Answer):
    """The weights that were chosen, and how good they are."""

    coefficients: dict[str, float] = Field(
        description="one a model, sum 1; the mean over layer groups that have their own"
    )
    layers: dict[str, dict[str, float]] = Field(
        description="by layer group; empty where all layers share the coefficients"
    )
    loss: float | None = Field(description="on the rows that were searched on")
    dev: dict[str, float | None] = Field(description="metrics on all development rows")
    held_out: dict[str, float | None] = Field(
        description="metrics on the test split, which nothing was chosen by; empty without one"
    )
    intervals: dict[str, tuple[float | None, float | None]] = Field(
        description="95 %, over development rows"
    )
    held_out_intervals: dict[str, tuple[float | None, float | None]] = Field(
        description="95 %, over rows of the test split"
    )


class TuneBaselineAnswer(Answer):
    """Another way to a model for the task, from the same rows."""

    name: str
    loss: float | None = Field(description="on the development rows; null if it was fitted on them")
    dev: dict[str, float | None]
    held_out: dict[str, float | None]
    intervals: dict[str, tuple[float | None, float | None]]
    held_out_intervals: dict[str, tuple[float | None, float | None]]
    seconds: float
    why: str = Field(description="what was chosen in it, in words")
    coefficients: dict[str, float] | None = Field(
        description="one a model where it is a blend like that; else null"
    )


class ExpertAnswer(Answer):
    """The base, fine-tuned on one source task."""

    name: str
    task: str
    folder: str
    metrics: dict[str, float | None] = Field(description="on the source's held-out rows")
    made: bool = Field(description="false where it was there already")


class ExpertsAnswer(Answer):
    """`weightscape tune experts --base B --sources S... -o DIR --json`."""

    base: str
    experts: list[ExpertAnswer]
    cosines: list[list[float | None]] = Field(description="of their deltas from the base")
    near_duplicates: list[tuple[str, str]] = Field(description="whose deltas point the same way")
    seconds: float
    notes: list[str]
    output: str


class AdaptedAnswer(Answer):
    """A model, fine-tuned on the target's rows."""

    name: str
    parent: str
    folder: str
    metrics: dict[str, float | None] = Field(description="on the target's held-out rows")
    head_drift: float | None = Field(
        description="how far its head went from the shared start, as a share of that one's length"
    )
    made: bool = Field(description="false where it was there already")


class AdaptAnswer(Answer):
    """`weightscape tune adapt --models M... --target T -o DIR --json`."""

    task: str
    head: str = Field(description="where the shared head came from; empty where heads are own ones")
    models: list[AdaptedAnswer]
    train_rows: int
    dev_rows: int = Field(description="rows kept apart to search weights on")
    cosines: list[list[float | None]] = Field(
        description="of deltas from the base, heads left out; empty without a base"
    )
    head_cosines: list[list[float | None]] = Field(
        description="of the heads' deltas from the shared start"
    )
    head_spread: float | None = Field(
        description="mean distance between two heads, as a share of the length of that start"
    )
    seconds: float
    notes: list[str]
    output: str


class TuneAnswer(Answer):
    """`weightscape tune search --models M... --target T --json`, and of `tune run`."""

    task: str
    metric: str
    models: list[str] = Field(description="in the order of the weights of `trials`")
    best: BlendAnswer
    baselines: list[TuneBaselineAnswer] = Field(description="other ways from the same rows")
    output: str | None = Field(description="the folder that the blend was written to")
    summary: list[str] = Field(description="what was found, in sentences; the verdict first")
    sampler: str = Field(description="what proposed weights: surrogate, a sampler, or both")
    space: str = Field(description="simplex or box")
    groups: list[str] = Field(description="layer groups with weights of their own")
    evaluations: int = Field(description="candidates that went through the network")
    trials: list[TuneTrialAnswer]
    study: str | None = Field(description="under which the sampler's candidates are kept")
    seconds: float
    notes: list[str]
    experts: ExpertsAnswer | None = Field(description="of a run that made them")
    adaptation: AdaptAnswer | None = Field(description="of a run that adapted models")
    folder: str | None = Field(description="where tune.json lies")


class StudyAnswer(Answer):
    """A search of weights that can be gone on with."""

    name: str
    task: str
    models: list[str]
    sampler: str
    space: str
    trials: dict[str, int] = Field(description="how many, by state")
    best: float | None = Field(description="the least loss; null before there is one")
    made: str = Field(description="ISO 8601")


class StudiesAnswer(Answer):
    """`weightscape tune studies --json`, newest first."""

    studies: list[StudyAnswer]
    forgotten: list[str] = Field(description="names that were asked to be forgotten, and are")
