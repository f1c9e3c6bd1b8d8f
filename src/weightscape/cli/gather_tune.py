"""From what was found by a search of weights to the answer that is printed, kept and drawn."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from weightscape import answers_tasks as answers
from weightscape.cli.gather_regions import by_name, finite, interval
from weightscape.report import tune_words
from weightscape.tuning.records import (
    Adaptation,
    Baseline,
    Experts,
    Interval,
    Trial,
    TuneResult,
    Weights,
)

_DIGITS = 6  # of weights: equal to so many, two candidates are one


def tune(
    result: TuneResult, folder: Path | None = None, study: str | None = None
) -> answers.TuneAnswer:
    """Turn a search of weights into its answer; numbers that are not finite become null."""
    made = None if result.output is None else str(result.output)
    return answers.TuneAnswer(
        task=result.task,
        metric=result.metric,
        models=list(result.names),
        best=_best(result),
        baselines=[_baseline(it) for it in result.baselines],
        output=made,
        summary=tune_words.tune_words(result),
        sampler=result.sampler,
        space=result.space,
        groups=list(result.groups),
        evaluations=result.evaluations,
        trials=[_trial(it) for it in result.trials],
        study=study,
        seconds=round(result.seconds, 1),
        notes=list(result.notes),
        experts=None if result.experts is None else experts(result.experts, None),
        adaptation=None if result.adaptation is None else adaptation(result.adaptation, None),
        folder=None if folder is None else str(folder),
    )


def experts(found: Experts, output: Path | None) -> answers.ExpertsAnswer:
    """Turn experts into their answer."""
    first = found.experts[0].folder if found.experts else None
    return answers.ExpertsAnswer(
        base=found.base,
        experts=[
            answers.ExpertAnswer(
                name=it.name,
                task=it.task,
                folder=str(it.folder),
                metrics=by_name(it.metrics),
                made=it.made,
            )
            for it in found.experts
        ],
        cosines=_matrix(found.cosines),
        near_duplicates=list(found.near_duplicates),
        seconds=round(found.seconds, 1),
        notes=list(found.notes),
        output=_home(output, first),
    )


def adaptation(found: Adaptation, output: Path | None) -> answers.AdaptAnswer:
    """Turn adapted models into their answer."""
    first = found.models[0].folder if found.models else None
    return answers.AdaptAnswer(
        task=found.task,
        head=found.head,
        models=[
            answers.AdaptedAnswer(
                name=it.name,
                parent=it.parent,
                folder=str(it.folder),
                metrics=by_name(it.metrics),
                head_drift=finite(it.head_drift),
                made=it.made,
            )
            for it in found.models
        ],
        train_rows=found.train_rows,
        dev_rows=found.dev_rows,
        cosines=_matrix(found.cosines),
        head_cosines=_matrix(found.head_cosines),
        head_spread=finite(found.head_spread),
        seconds=round(found.seconds, 1),
        notes=list(found.notes),
        output=_home(output, first),
    )


def _home(output: Path | None, first: Path | None) -> str:
    if output is not None:
        return str(output.absolute())
    return "" if first is None else str(first.absolute().parent)


def _best(result: TuneResult) -> answers.BlendAnswer:
    best = result.best
    rows = best.weights if np.ndim(best.weights) == 2 else ()
    named = result.groups or tuple(str(i) for i in range(len(rows)))
    return answers.BlendAnswer(
        coefficients=_named(result.names, tune_words.mean_weights(result)),
        layers={group: _named(result.names, row) for group, row in zip(named, rows, strict=False)},
        loss=finite(best.loss),
        dev=by_name(result.dev),
        held_out=by_name(result.held_out),
        intervals=_intervals(result.intervals),
        held_out_intervals=_intervals(result.held_out_intervals),
    )


def _baseline(found: Baseline) -> answers.TuneBaselineAnswer:
    return answers.TuneBaselineAnswer(
        name=found.name,
        loss=finite(found.loss),
        dev=by_name(found.metrics),
        held_out=by_name(found.held_out),
        intervals=_intervals(found.intervals),
        held_out_intervals=_intervals(found.held_out_intervals),
        seconds=round(found.seconds, 1),
        why=found.why,
        coefficients=None if found.weights is None else dict(found.weights),
    )


def _trial(trial: Trial) -> answers.TuneTrialAnswer:
    return answers.TuneTrialAnswer(
        number=trial.number,
        weights=np.round(trial.weights, _DIGITS).tolist(),
        loss=finite(trial.loss),
        rows=trial.rows,
        state=trial.state,
        seconds=round(trial.seconds, 4),
        error=trial.error,
    )


def _named(names: Sequence[str], weights: Weights) -> dict[str, float]:
    return dict(zip(names, np.round(weights, _DIGITS).tolist(), strict=True))


def _intervals(
    found: Mapping[str, Interval],
) -> dict[str, tuple[float | None, float | None]]:
    return {name: interval(ends) for name, ends in found.items()}


def _matrix(rows: Sequence[Sequence[float]]) -> list[list[float | None]]:
    return [[finite(value) for value in row] for row in rows]
