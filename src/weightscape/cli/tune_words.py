"""Blends on the terminal: the verdict, the weights, the other ways, and where things are."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.table import Table

from weightscape.answers_tasks import (
    AdaptAnswer,
    BlendAnswer,
    ExpertsAnswer,
    StudiesAnswer,
    TuneAnswer,
    TuneBaselineAnswer,
)
from weightscape.cli import console
from weightscape.cli.path_words import number
from weightscape.cli.region_words import print_files
from weightscape.report.start_words import in_points, points
from weightscape.report.tune_words import BLEND, group_title
from weightscape.report.words import shorten

SHOWN = 20  # models in the table; the answer has all
WIDEST = 8  # layer groups with a column of their own


def print_tune(answer: TuneAnswer, page: Path | None) -> None:
    """Print a blend: the verdict first, then its weights and the other ways."""
    out = console.out()
    verdict, _, *more = answer.summary
    out.print(console.printable(verdict), style="bold", markup=False, soft_wrap=True)
    out.print()
    out.print(_weights(answer))
    left = len(answer.models) - SHOWN
    if left > 0:
        out.print(f"and {left} more", markup=False)
    out.print()
    if answer.baselines:
        out.print(_ways(answer))
        out.print()
    for line in more:
        out.print(console.printable(line), markup=False, soft_wrap=True)
    if answer.output is not None:
        out.print(f"written: {console.printable(answer.output)}", markup=False, soft_wrap=True)
    print_files(answer.folder, page, "blends-card")


def print_studies(answer: StudiesAnswer, where: Path) -> None:
    """Print the searches that can be gone on with."""
    out = console.out()
    for name in answer.forgotten:
        out.print(f"forgotten: {console.printable(name)}", markup=False, soft_wrap=True)
    if not answer.studies and not answer.forgotten:
        out.print(f"no study in {console.printable(str(where))}", markup=False, soft_wrap=True)
    if not answer.studies:
        return
    rows = [
        (
            it.name,
            it.task,
            str(len(it.models)),
            it.sampler,
            it.space,
            ", ".join(f"{count} {state}" for state, count in it.trials.items()),
            number(it.best),
            it.made,
        )
        for it in answer.studies
    ]
    columns = ["study", "target", "models", "sampler", "space", "candidates", "best loss", "made"]
    table = console.table(columns, rows, right="models")
    table.columns[columns.index("best loss")].justify = "right"
    out.print(table)


def print_experts(answer: ExpertsAnswer) -> None:
    """Print experts, and how alike they are."""
    out = console.out()
    rows = [
        (it.name, it.task, _metrics(it.metrics), "" if it.made else "was there")
        for it in answer.experts
    ]
    out.print(console.table(["expert", "task", "on held-out rows", ""], rows))
    _print_cosines([it.name for it in answer.experts], answer.cosines, "cosine of deltas")
    _print_rest(answer.notes, answer.output)


def print_adaptation(answer: AdaptAnswer) -> None:
    """Print adapted models, and how far their heads drifted apart."""
    out = console.out()
    rows = [
        (
            it.name,
            _metrics(it.metrics),
            number(it.head_drift),
            "" if it.made else "was there",
        )
        for it in answer.models
    ]
    out.print(console.table(["model", "on held-out rows", "head's drift", ""], rows))
    names = [it.name for it in answer.models]
    _print_cosines(names, answer.cosines, "cosine of deltas")
    _print_cosines(names, answer.head_cosines, "cosine of heads' deltas")
    out.print()
    rows_of = f"{answer.train_rows} rows trained on, {answer.dev_rows} kept to search weights on"
    out.print(f"{answer.task}: {rows_of}", markup=False, soft_wrap=True)
    if answer.head_spread is not None:
        said = f"two heads are {answer.head_spread:.2f} of its length apart on average"
        line = f"all heads began as {answer.head}; {said}"
        out.print(console.printable(line), markup=False, soft_wrap=True)
    _print_rest(answer.notes, answer.output)


def _print_cosines(
    names: Sequence[str], cosines: Sequence[Sequence[float | None]], title: str
) -> None:
    if not 1 < len(cosines) <= WIDEST:
        return
    out = console.out()
    out.print()
    columns = [title, *(shorten(it, 14) for it in names)]
    rows = [
        (name, *("" if value is None else f"{value:.2f}" for value in row))
        for name, row in zip(names, cosines, strict=True)
    ]
    out.print(_numbers(columns, rows))


def _print_rest(notes: Sequence[str], output: str) -> None:
    out = console.out()
    for note in notes:
        out.print(console.printable(note), markup=False, soft_wrap=True)
    out.print(f"written: {console.printable(output)}", markup=False, soft_wrap=True)


def _metrics(found: Mapping[str, float | None]) -> str:
    known = {name: it for name, it in found.items() if it is not None and name != "loss"}
    return ", ".join(f"{name.replace('_', ' ')} {it:.3g}" for name, it in known.items())


def _numbers(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    """Make a table whose columns but the first hold numbers, whatever those are called."""
    table = console.table(columns, rows)
    for column in table.columns[1:]:
        column.justify = "right"
    return table


def _weights(answer: TuneAnswer) -> object:
    best = answer.best
    order = sorted(answer.models, key=lambda name: -best.coefficients[name])[:SHOWN]
    groups = answer.groups if 1 < len(answer.groups) <= WIDEST else []
    rows = [
        (
            name,
            f"{best.coefficients[name]:.3f}",
            *(f"{best.layers[group][name]:.3f}" for group in groups),
        )
        for name in order
    ]
    return _numbers(
        ["model", "mean" if answer.groups else "weight", *map(group_title, groups)], rows
    )


def _ways(answer: TuneAnswer) -> object:
    tested = bool(answer.best.held_out)
    metric = answer.metric.replace("_", " ")
    columns = ["way", f"{metric}, dev", *([f"{metric}, test", "95 %"] if tested else []), ""]
    rows = [(BLEND, *_scores(answer.best, answer, tested), "")]
    rows += [(it.name, *_scores(it, answer, tested), it.why) for it in answer.baselines]
    table = console.table(columns, rows)
    for column in table.columns[1:3]:
        column.justify = "right"
    return table


def _scores(
    scored: BlendAnswer | TuneBaselineAnswer, answer: TuneAnswer, tested: bool
) -> tuple[str, ...]:
    dev = _value(scored.dev.get(answer.metric), answer)
    if not tested:
        return (dev,)
    low, high = scored.held_out_intervals.get(answer.metric, (None, None))
    spread = "" if low is None else f"{_value(low, answer)} to {_value(high, answer)}"
    return dev, _value(scored.held_out.get(answer.metric), answer), spread


def _value(value: float | None, answer: TuneAnswer) -> str:
    if value is None:
        return ""
    return points(value) if in_points(answer.metric) else f"{value:.4g}"
