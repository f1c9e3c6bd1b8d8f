"""What `train-probes` answers, and how it is told to a person."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from weightscape.answers_probes import (
    ExpertAnswer,
    LeftOutAnswer,
    TrainProbesAnswer,
    UnreadAnswer,
)

if TYPE_CHECKING:
    from weightscape.atlas.experts import Trained, TrainedAll

_COUNTS = ("epochs", "best_epoch", "training_models", "validation_models")


def answer(done: "TrainedAll", page: Path, unknown: Sequence[str]) -> TrainProbesAnswer:
    """Turn what was trained into its answer.

    page: where it is drawn. unknown: models that a file of labels names and the atlas has not.
    """
    return TrainProbesAnswer(
        experts=[_expert(it) for it in done.experts],
        left_out=[LeftOutAnswer(tree=tree, reason=why) for tree, why in done.left_out.items()],
        unknown=list(unknown),
        page=str(page.resolve()),
    )


def _expert(it: "Trained") -> ExpertAnswer:
    metrics = dict(it.expert.metrics)
    counts = {name: int(metrics.pop(name, 0)) for name in _COUNTS}
    return ExpertAnswer(
        expert=it.kept.name,
        tree=it.kept.tree,
        layer=it.expert.layer,
        encoder=it.expert.encoder,
        folder=it.kept.folder,
        labels=list(it.expert.labels),
        models=counts["training_models"],
        validation=counts["validation_models"],
        embedded=it.embedded,
        skipped=[UnreadAnswer(model=name, reason=why) for name, why in it.skipped.items()],
        metrics=metrics,
        guessed=dict(it.guessed),
        parameters=it.expert.parameters,
        steps=counts["epochs"],
        best_step=counts["best_epoch"],
        as_before=it.as_before,
        seconds=round(it.seconds, 3),
        bytes_read=it.bytes_read,
        bytes_compared=it.bytes_compared,
        bytes_on_disk=it.bytes_on_disk,
    )


def none_trained(left_out: Mapping[str, str], atlas: Path) -> str:
    """Say in one line why no expert could be trained, and what helps."""
    if not left_out:
        return f"the atlas in {atlas} has no models; add some: weightscape add DIR --atlas {atlas}"
    some = "; ".join(f"{tree}: {why}" for tree, why in list(left_out.items())[:3])
    more = f"; and {len(left_out) - 3} more trees" if len(left_out) > 3 else ""
    return f"nothing to learn from: {some}{more}. Labels are given by: weightscape label FILE.csv"


def show(told: TrainProbesAnswer, quiet: bool) -> None:
    """Print the experts as a table, and beside it what a person should know."""
    from weightscape.cli import console

    rows = [
        (
            it.expert,
            it.layer,
            f"{it.models} + {it.validation}",
            len(it.labels),
            _beside(it.metrics.get("label_accuracy"), it.guessed.get("label_accuracy")),
            _beside(it.metrics.get("label_auc"), 0.5),
            _beside(it.metrics.get("text_top1"), it.guessed.get("text_top1")),
        )
        for it in told.experts
    ]
    columns = ["expert", "layer", "models", "labels", "accuracy", "AUC", "top-1"]
    console.out().print(console.table(columns, rows, right="models labels accuracy AUC top-1"))
    if not quiet:
        console.note("on the models held out; in brackets, what guessing the most frequent gets")
    for it in () if quiet else told.experts:
        console.note(_told(it))
        for one in it.skipped[:3]:
            console.note(f"{one.model} was skipped: {one.reason}")
        if len(it.skipped) > 3:
            console.note(f"and {len(it.skipped) - 3} more were skipped (--json lists them)")
    for left in () if quiet else told.left_out:
        console.note(f"no expert for {left.tree}: {left.reason}")
    if not quiet:
        console.note(f"page: {told.page}")


def _told(it: ExpertAnswer) -> str:
    from weightscape.cli import console

    if it.as_before:
        return f"{it.expert}: as it was trained before; it has read {it.embedded} models"
    compared = (
        f", after {console.size(it.bytes_compared)} to choose it" if it.bytes_compared else ""
    )
    return (
        f"{it.expert}: best after {it.best_step} of {it.steps} steps, "
        f"{console.duration(it.seconds)}; it has read the layer of {it.embedded} models, "
        f"{console.size(it.bytes_read)} of {console.size(it.bytes_on_disk)}{compared}"
    )


def _beside(score: float | None, guess: float | None) -> str:
    if score is None:
        return ""
    return f"{score:.3f}" if guess is None else f"{score:.3f} ({guess:.3f})"
