"""Ranked starts on the terminal: the recommendation, then the table, then where things are."""

from pathlib import Path

from weightscape.answers_tasks import RankedStartAnswer, SmallerStartAnswer, StartAnswer
from weightscape.cli import console
from weightscape.cli.path_words import number
from weightscape.cli.region_words import print_files
from weightscape.report.start_words import in_points, points

SHOWN = 20  # candidates in the table; the answer has all


def print_start(answer: StartAnswer, page: Path | None) -> None:
    """Print ranked starts: the recommendation first."""
    out = console.out()
    why, *more = answer.summary
    out.print(console.printable(why), style="bold", markup=False, soft_wrap=True)
    out.print()
    out.print(_ranked(answer))
    left = len(answer.ranked) - SHOWN
    if left > 0:
        out.print(f"and {left} more that were probed only", markup=False)
    out.print()
    for line in more:
        out.print(console.printable(line), markup=False, soft_wrap=True)
    if answer.output is not None:
        out.print(f"written: {console.printable(answer.output)}", markup=False, soft_wrap=True)
    print_files(answer.folder, page, "starts-card")


def print_smaller(answer: SmallerStartAnswer) -> None:
    """Print where a smaller model was written."""
    line = f"{answer.output}: weights of {answer.source}, {answer.layers} layers"
    console.out().print(console.printable(line), markup=False, soft_wrap=True)


def _ranked(answer: StartAnswer) -> object:
    tested = any(it.held_out.get(answer.metric) is not None for it in answer.ranked)
    metric = answer.metric.replace("_", " ")
    columns = ["start", metric, "over the base", "runs", "probe"]
    columns += ["test"] if tested else []
    rows = []
    for it in _shown(answer):
        cells = [it.name, _value(it.score, answer), _gain(it, answer)]
        cells += [str(len(it.runs) or ""), number(it.probe_loss)]
        cells += [_value(it.held_out.get(answer.metric), answer)] if tested else []
        rows.append((*cells, _fate(it, answer)))
    return console.table([*columns, ""], rows, right=" ".join((metric, "runs", "test")))


def _shown(answer: StartAnswer) -> list[RankedStartAnswer]:
    some = answer.ranked[:SHOWN]
    base = [it for it in answer.ranked[SHOWN:] if it.kind == "base"]
    return [*some[: SHOWN - len(base)], *base]


def _value(value: float | None, answer: StartAnswer, *, signed: bool = False) -> str:
    if value is None:
        return ""
    if in_points(answer.metric):
        return points(value, signed=signed)
    return f"{value:+.4g}" if signed else f"{value:.4g}"


def _ends(
    interval: tuple[float | None, float | None] | None, answer: StartAnswer, *, signed: bool = False
) -> str:
    if interval is None or interval[0] is None or interval[1] is None:
        return ""
    low, high = (_value(it, answer, signed=signed) for it in interval)
    return f"{low} to {high}"


def _gain(start: RankedStartAnswer, answer: StartAnswer) -> str:
    if start.gain is None or start.kind == "base":
        return ""
    spread = _ends(start.gain_interval, answer, signed=True)
    return _value(start.gain, answer, signed=True) + (f" ({spread})" if spread else "")


def _fate(start: RankedStartAnswer, answer: StartAnswer) -> str:
    if start.name == answer.recommended:
        return "recommended"
    if not start.runs:
        return "probe only"
    return "" if start.dropped_in is None else f"out: round {start.dropped_in}"
