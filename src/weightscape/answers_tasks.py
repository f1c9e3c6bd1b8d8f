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
