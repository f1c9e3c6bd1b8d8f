"""Answers about paths: every key, no NaN, and sentences that agree with the numbers."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from synthetic_paths import synthetic_path, synthetic_plane
from weightscape.answers import PathAnswer, PlaneAnswer
from weightscape.cli import gather_paths, path_checks, path_words, path_work
from weightscape.errors import BadInput, NotFound
from weightscape.paths.records import Barrier, MetricDrop
from weightscape.report.path_words import (
    advice,
    best_words,
    metric_words,
    plane_words,
    rows_wanted,
    series_words,
    verdict_words,
)

ASKED = {
    *("points", "barrier", "barrier_interval", "verdict", "threshold"),
    *("best", "forgotten", "gained", "head"),
}


def test_a_path_answers_with_the_promised_keys_and_no_nan() -> None:
    result = synthetic_path(tasks=("a", "b"), curve="bezier")
    answer = gather_paths.path(result, Path("/out"))
    told = answer.model_dump(mode="json")
    assert told.keys() >= ASKED
    assert told["points"][0].keys() >= {"t", "loss", "train_loss", "metrics"}
    assert told["points"][0]["train_metrics"]["macro_f1"] is None  # it was NaN
    written = json.dumps(told, allow_nan=False)
    assert PathAnswer.model_validate_json(written) == answer
    assert [it.task for it in answer.also] == ["b"]
    assert answer.folder == "/out"


def test_correctness_is_one_string_a_point() -> None:
    result = synthetic_path(points=3, rows=4)
    (series,) = result.series
    correct = np.array([[1.0, 0.0, np.nan, 1.0], [0.0, 0.0, np.nan, 1.0], [1.0, 1.0, np.nan, 1.0]])
    known = replace(series.train, rows=np.array([7, 8, 9, 11]), correct=correct)
    answer = gather_paths.path(replace(result, series=(replace(series, train=known),)))
    assert answer.knowledge.train.correct == ["10?1", "00?1", "11?1"]
    assert answer.knowledge.train.rows == [7, 8, 9, 11]


def test_a_plane_answers_with_nulls_for_holes() -> None:
    answer = gather_paths.plane(synthetic_plane(holes=True))
    assert answer.losses[0][0] is None and answer.losses[1][1] is not None
    written = json.dumps(answer.model_dump(mode="json"), allow_nan=False)
    assert PlaneAnswer.model_validate_json(written) == answer
    assert "lowest point of the grid" in answer.summary[1]


def test_verdicts_say_their_numbers() -> None:
    (series,) = synthetic_path(height=0.6).series
    assert verdict_words(series) == (
        "not connected: loss barrier 0.587 (0.557 to 0.627) is above the threshold 0.034"
    )
    (series,) = synthetic_path(height=0.0, verdict="connected").series
    assert verdict_words(series).startswith("connected: loss barrier 0.0")
    (series,) = synthetic_path(verdict="cannot tell").series
    assert "is not clear of the threshold 0.034" in verdict_words(series)
    lost = verdict_words(replace(series, chance_ends=("imdb-s0", "imdb-s1")))
    assert lost == "cannot tell: imdb-s0 and imdb-s1 are not better than chance beyond noise"


def test_a_barrier_that_no_metric_shows_says_what_to_conclude() -> None:
    result = synthetic_path(height=0.6)
    (series,) = result.series
    assert metric_words(series, result) == (
        "accuracy falls 0.040 (0.010 to 0.070) below the worse end at t = 0.48"
    )
    level = MetricDrop("accuracy", 0.01, (0.0, 0.03), 0.5)
    said = metric_words(replace(series, metric_drop=level), result)
    assert said is not None and said.startswith("the verdict rests on the loss alone: accuracy")
    assert "at most by 0.030" in said and "--head probe" in said
    probed = metric_words(replace(series, metric_drop=level), replace(result, head="probe"))
    assert probed is not None and "--head probe" not in probed
    assert metric_words(replace(series, metric_drop=None), result) is None


@pytest.mark.parametrize(
    "height, low, rows", [(0.05, 0.0, 260), (0.15, 0.05, 260), (0.15, 0.0, 580)]
)
def test_a_verdict_that_is_open_says_how_many_rows_would_settle_it(
    height: float, low: float, rows: int
) -> None:
    barrier = Barrier(height, (low, height + 0.1), 0.5, 0.1, "given", "cannot tell")
    assert rows_wanted(barrier, 64) == rows  # half as wide wants four times the rows
    (series,) = synthetic_path().series
    series = replace(series, barrier=barrier, loss_rows=64, rows_there=1000)
    assert str(advice(series)).endswith(f"would settle it (--rows {rows})")
    assert str(advice(replace(series, rows_there=100))).endswith("the task has 100 (--rows all)")
    assert str(advice(replace(series, rows_there=64))).endswith("all of them were scored")
    level = replace(series, barrier=replace(barrier, height=0.1, threshold=0.1))
    assert "will hardly settle it" in str(advice(level))
    assert advice(replace(series, barrier=replace(barrier, verdict="connected"))) is None


def test_the_best_point_says_whether_it_beats_both_ends() -> None:
    (series,) = synthetic_path().series
    inside = replace(series.best, t=0.4, gain=0.02, gain_interval=(0.01, 0.03), beats_both=True)
    assert best_words(inside) == (
        "best point: t = 0.40 (chosen on train rows), loss 0.020 (0.010 to 0.030) below that of "
        "the better end: beats both ends beyond noise"
    )
    assert "but not than the other" in best_words(replace(inside, beats_both=False))
    worse = replace(inside, gain=-0.033, gain_interval=(-0.069, -0.004), beats_both=False)
    assert best_words(worse).endswith(
        "loss 0.033 (0.004 to 0.069) above that of the better end: worse than that end beyond noise"
    )
    unclear = replace(worse, gain_interval=(-0.069, 0.01))
    assert "(-0.010 to 0.069) above" in best_words(unclear)
    assert best_words(unclear).endswith("no difference beyond noise, as the interval holds 0")
    assert best_words(replace(inside, t=1.0)) == "best point: the second end itself"


def test_with_a_probe_words_are_about_rows_that_it_was_not_fitted_on() -> None:
    probed = replace(synthetic_path(), head="probe", head_reason="a has no head for the labels")
    (series,) = probed.series
    said = series_words(series, probed)
    (known,) = (it for it in said if "known all along" in it)
    assert known.startswith(f"of {len(series.held_out.rows)} held-out rows")
    assert known.endswith("the probe was fitted on the training rows")
    assert said[-1].endswith("refitted at every point on training rows, as a has no head for "
                             "the labels")  # fmt: skip
    own = series_words(series, synthetic_path())
    assert any(f"of {len(series.train.rows)} training rows" in it for it in own)


def test_a_plane_tells_what_was_done_with_the_heads() -> None:
    plane = replace(synthetic_plane(), head="probe", head_reason="c has no head for the labels")
    assert "as c has no head" in plane_words(plane)[-1]
    assert plane_words(replace(plane, head="own"))[-1] == "heads: interpolated with the rest"


def test_the_terminal_shows_the_verdict_first_and_the_points_that_matter(
    capsys: pytest.CaptureFixture[str],
) -> None:
    answer = gather_paths.path(synthetic_path(("a\x1b[2J", "b")), Path("/out"))
    path_words.print_path(answer, Path("/atlas/index.html"))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == answer.summary[0]
    assert lines[1].startswith("loss ▁") and len(lines[1]) == len("loss ") + 26
    head = next(place for place, line in enumerate(lines) if line.split()[:2] == ["t", "loss"])
    table = lines[head + 1 : lines.index("", head)]
    shown = [line.split()[0] for line in table]
    assert shown == ["0.00", "0.20", "0.40", "0.48", "0.60", "0.80", "1.00"]
    assert table[0].split()[-2:] == ["A,", "best"]
    assert any("barrier" in line for line in table)
    assert "files: /out" in lines
    assert not any("\x1b" in line for line in lines)


def test_a_line_of_bars_has_a_gap_where_nothing_is_known() -> None:
    assert path_words.sparkline([None, None]) == "  "
    assert path_words.sparkline([0.3, 0.3]) == "▁▁"


def test_questions_have_safe_and_different_names() -> None:
    ends = [path_work.End("../a b/$c", "../a b/$c", None), path_work.End("x" * 300, "x", "n/m")]
    one = path_work.question_key(ends, ["/d/t.yml"], "line", head="own")
    assert set(one) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")
    assert one.startswith("c--n-m--t--line--") and len(one) < 200
    assert one == path_work.question_key(ends, ["/d/t.yml"], "line", head="own")
    assert one != path_work.question_key(ends, ["/d/t.yml"], "line", head="probe")
    assert one != path_work.question_key(ends[::-1], ["/d/t.yml"], "line", head="own")


def test_an_answer_in_a_given_folder_is_replaced_by_the_same_question_only(tmp_path: Path) -> None:
    ends = [path_work.End("a", "a", None), path_work.End("b", "b", None)]

    def ask(points: int, out: Path | None) -> path_work.Question:
        return path_work.ask("path", ends, ["t"], "line", out=out, atlas=tmp_path, points=points)

    first, other = ask(26, None), ask(5, None)
    assert first.folder != other.folder and first.kept == other.kept
    out = tmp_path / "out"
    asked = ask(26, out)
    assert asked.folder == asked.kept == out
    path_work.write_answer({"verdict": "connected"}, out / "path.json")
    (out / "path.question").write_text(f"{asked.key}\n")
    assert ask(26, out) == asked
    with pytest.raises(BadInput, match="answers another question"):
        ask(5, out)


@pytest.mark.parametrize("text", ["0", "-1", "1.5", "", "many", "²"])
def test_rows_are_a_number_or_all(text: str) -> None:
    assert path_checks.parse_rows("--rows", "all") is None
    assert path_checks.parse_rows("--rows", "12") == 12
    with pytest.raises(BadInput, match="--rows is a number"):
        path_checks.parse_rows("--rows", text)


def test_without_an_atlas_a_slip_in_a_path_is_told(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no such file or folder"):
        path_work.find_models([str(tmp_path / "nothing")], None)
    for hub in ("someone/model", "model"):
        (found,) = path_work.find_models([hub], None)
        assert (found.source, found.name) == (hub, None)


def test_an_answer_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    path_work.write_answer({"a": 1}, tmp_path / "deep" / "path.json")
    with pytest.raises(ValueError, match="Out of range float"):
        path_work.write_answer({"a": float("nan")}, tmp_path / "deep" / "path.json")
    assert json.loads((tmp_path / "deep" / "path.json").read_text()) == {"a": 1}
    assert len(list((tmp_path / "deep").iterdir())) == 1
