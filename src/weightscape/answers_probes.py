"""What the verbs about labels and probes answer with `--json`: keys are added, never renamed."""

from pydantic import Field

from weightscape.answers import Answer


class LabelCountAnswer(Answer):
    """A label, and how many models have it."""

    label: str
    kind: str = Field(description="class, task or tag")
    models: int


class LabelAnswer(Answer):
    """`weightscape label [FILE] --json`."""

    file: str | None = Field(description="the file of labels; null where none was given")
    models: list[str] = Field(description="that have labels of the file, or any without a file")
    labels: list[LabelCountAnswer] = Field(description="the most frequent first")
    unknown: list[str] = Field(description="that the file names and the atlas does not know")
    ignored: list[str] = Field(description="columns of the file that were not read")
    explained: int = Field(description="labels of models that --class-names put into words")


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
