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
