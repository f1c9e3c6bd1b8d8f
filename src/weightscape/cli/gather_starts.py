"""From what was found of starting points to the answer that is printed, kept and drawn."""

from collections.abc import Sequence
from pathlib import Path

from weightscape import answers_tasks as answers
from weightscape.cli.gather_regions import by_name, finite, interval
from weightscape.report import start_words
from weightscape.starts.records import RankedStart, Run, StartResult


def start(
    result: StartResult, models: Sequence[str], base: str | None, folder: Path | None = None
) -> answers.StartAnswer:
    """Turn ranked starts into their answer; numbers that are not finite become null."""
    return answers.StartAnswer(
        task=result.task,
        metric=result.metric,
        method=result.method,
        models=list(models),
        base=base,
        recommended=result.recommended,
        beats_base=result.beats_base,
        why=result.why,
        output=None if result.output is None else str(result.output),
        summary=start_words.start_words(result),
        ranked=[_ranked(it) for it in result.ranked],
        train_rows=result.train_rows,
        rounds=result.rounds,
        runs=result.runs,
        seconds=round(result.seconds, 1),
        notes=list(result.notes),
        precision=result.precision,
        folder=None if folder is None else str(folder),
    )


def _ranked(start: RankedStart) -> answers.RankedStartAnswer:
    candidate = start.candidate
    return answers.RankedStartAnswer(
        name=candidate.name,
        kind=candidate.kind,
        weights=dict(candidate.weights),
        why=candidate.why,
        probe_loss=finite(start.probe_loss),
        probe_interval=interval(start.probe_interval),
        runs=[_run(it) for it in start.runs],
        score=finite(start.score),
        score_interval=None if start.score_interval is None else interval(start.score_interval),
        gain=finite(start.gain),
        gain_interval=None if start.gain_interval is None else interval(start.gain_interval),
        dropped_in=start.dropped_in,
        held_out=by_name(start.held_out),
    )


def _run(run: Run) -> answers.StartRunAnswer:
    return answers.StartRunAnswer(
        seed=run.seed,
        fold=run.fold,
        steps=run.steps,
        loss=finite(run.loss),
        metrics=by_name(run.metrics),
    )
