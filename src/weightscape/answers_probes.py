"""What the verbs about labels and probes answer with `--json`: keys are added, never renamed."""

from pydantic import Field

from weightscape.answers import Answer


class LabelCountAnswer(Answer):
    """A label, and how many models have it."""

    label: str
    kind: str = Field(description="class, task or tag")
    models: int
    words: str | None = Field(default=None, description="what it means, where that was told")


class LabelAnswer(Answer):
    """`weightscape label [FILE] --json`."""

    file: str | None = Field(description="the file of labels; null where none was given")
    models: list[str] = Field(description="that have labels of the file, or any without a file")
    labels: list[LabelCountAnswer] = Field(description="the most frequent first")
    unknown: list[str] = Field(description="that the file names and the atlas does not know")
    ignored: list[str] = Field(description="columns of the file that were not read")
    unlabelled: list[str] = Field(description="that the file names and has no label for")
    explained: int = Field(
        description="labels of models that --class-names put into words; with --forget, labels "
        "whose words were taken back"
    )


class HitAnswer(Answer):
    """A model that was found."""

    model: str
    score: float = Field(
        description="what orders the hits: reciprocal-rank fusion of the two rankings; with "
        "--weights-only the probability, with --text-only BM25"
    )
    found_by: list[str] = Field(description="weights, text or both: which of them list it")
    probability: float | None = Field(
        description="by its weights, that it knows this; null where no expert has read it"
    )
    expert: str | None = Field(description="that gave the probability")
    words: float | None = Field(description="BM25 of its name, labels and card; null without match")


class SearchAnswer(Answer):
    """`weightscape search TEXT --json`."""

    text: str
    hits: list[HitAnswer] = Field(description="the best first")
    experts: list[str] = Field(description="that were asked")
    read: int = Field(description="models whose weights these experts have read")
    notes: list[str] = Field(description="what could not be asked, and why")


class UnreadAnswer(Answer):
    """A model whose layer could not be read."""

    model: str
    reason: str


class ExpertAnswer(Answer):
    """What was trained to read the models of one tree."""

    expert: str = Field(description="its name: the tree's, of the adapters on it with +lora")
    tree: str
    layer: str = Field(description="the one that is read of each model")
    encoder: str | None = Field(description="identity of the text encoder; null for none")
    folder: str = Field(description="expert.safetensors and expert.json")
    labels: list[str] = Field(description="classes that it learned")
    models: int = Field(description="that it learned from")
    validation: int = Field(description="models held out, which told when to stop")
    embedded: int = Field(description="models of the tree that it has read, with labels or without")
    skipped: list[UnreadAnswer]
    metrics: dict[str, float] = Field(description="on the models held out; chance is an AUC of 0.5")
    guessed: dict[str, float] = Field(
        description="the same for guesses: the majority of each class, the most frequent label, "
        "any label (chance)"
    )
    parameters: int
    steps: int = Field(description="of training")
    best_step: int = Field(description="whose probes are kept")
    as_before: bool = Field(description="nothing has changed since it was trained")
    seconds: float
    bytes_read: int = Field(description="of the layer, of all models")
    bytes_compared: int = Field(
        description="of all layers, to choose the one; 0 where it was known"
    )
    bytes_on_disk: int = Field(description="of the models that were read, whole")


class LeftOutAnswer(Answer):
    """A tree that has no expert."""

    tree: str
    reason: str


class TrainProbesAnswer(Answer):
    """`weightscape train-probes --json`."""

    experts: list[ExpertAnswer]
    left_out: list[LeftOutAnswer]
    unknown: list[str] = Field(description="that --labels names and the atlas does not know")
    page: str = Field(description="the atlas's page, drawn anew")


class ScoredLabelAnswer(Answer):
    """A label that a model may know."""

    label: str
    score: float = Field(ge=0, le=1, description="calibrated probability that it knows it")
    by: str = Field(
        description="classes: learned from models with this label; texts: by what its words mean"
    )


class OddnessAnswer(Answer):
    """How odd a model is among those of its tree."""

    score: float = Field(description="mean distance to the two nearest known models")
    share: float = Field(
        description="how few of the tree's known models are as far from the others, or as near "
        "(a two-sided p-value)"
    )
    far: bool = Field(description="whether it is odd for being far, not for being near")


class DescribeAnswer(Answer):
    """`weightscape describe MODEL --json`."""

    model: str
    known: bool = Field(description="whether it is of a tree that an expert reads")
    tree: str | None
    expert: str | None
    layer: str | None = Field(description="that was read")
    labels: list[ScoredLabelAnswer] = Field(
        description="the likeliest first; none where the model is not known, or learned nothing"
    )
    oddness: OddnessAnswer | None = Field(
        description="null where fewer than 39 models are known, or nothing was learned"
    )
    distances: dict[str, float] = Field(
        description="to each tree, 1 being as far as its models may be; of models outside the atlas"
    )
    bytes_read: int = Field(description="of the model; 0 where the atlas has its vector")
    bytes_on_disk: int | None = Field(description="what the whole model takes")
    notes: list[str] = Field(
        description="why it is not known or cannot be told odd, what could not be asked"
    )
