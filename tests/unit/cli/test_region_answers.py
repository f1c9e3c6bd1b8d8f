"""Answers about regions and starts: every key, no NaN, sentences that agree with the numbers."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from synthetic_regions import synthetic_region, synthetic_start, without_finite_losses
from weightscape.answers_tasks import RegionResultAnswer, StartAnswer
from weightscape.catalog.records import Region
from weightscape.cli import (
    gather_regions,
    gather_starts,
    region_words,
    result_work,
    start_words,
    start_work,
)
from weightscape.cli.path_work import End
from weightscape.errors import BadInput, NotFound, UnknownName
from weightscape.report import region_words as words
from weightscape.report import start_words as said


def test_a_region_answers_with_the_promised_keys_and_no_nan() -> None:
    result = synthetic_region(tasks=("a", "b"))
    answer = gather_regions.region(result, Path("/out"))
    told = answer.model_dump(mode="json")
    assert told.keys() >= {"groups", "p_b", "radii", "pairs", "places", "centroid", "summary"}
    assert RegionResultAnswer.model_validate_json(json.dumps(told, allow_nan=False)) == answer
    assert [it.name for it in answer.groups] == ["in", "hull", "ex"]
    hull = answer.groups[1]
    mean = sum(it.scores["a"].loss or 0 for it in hull.points) / len(hull.points)
    assert hull.losses["a"] == pytest.approx(mean)
    radius = answer.radii[0]
    assert radius.times is not None and radius.value == pytest.approx(radius.times * radius.unit)
    broken = gather_regions.region(without_finite_losses(result))
    json.dumps(broken.model_dump(mode="json"), allow_nan=False)
    assert broken.groups[0].losses == {"a": None, "b": None}


def test_a_start_answers_with_the_promised_keys_and_no_nan() -> None:
    answer = gather_starts.start(synthetic_start(), ["imdb-s0", "trec-s0"], "base", Path("/out"))
    told = answer.model_dump(mode="json")
    assert told.keys() >= {"ranked", "recommended", "why", "output", "beats_base", "runs"}
    assert StartAnswer.model_validate_json(json.dumps(told, allow_nan=False)) == answer
    best, *_ = answer.ranked
    assert best.name == answer.recommended and best.gain_interval is not None
    assert answer.ranked[-1].score is None and answer.ranked[-1].score_interval is None


@pytest.mark.parametrize(
    ("result", "head", "ending"),
    [
        (synthetic_region(), "a region of good models: ", "own distance from their centre (1."),
        (synthetic_region(good=False), "no region of good models: ", "their centre"),
        (synthetic_region(radius=None), "a region of good models: ", "no end of it was found"),
        (synthetic_region(rays=0), "a region of good models: ", "P_B 1.00 (0.92 to 1.00)"),
        (
            synthetic_region(outside="noise around the base"),
            "a region of good models: ",
            "beats the base with noise added",
        ),
    ],
    ids=["good", "not good", "no end", "no rays", "noise"],
)
def test_the_verdict_says_its_numbers(result, head, ending) -> None:  # type: ignore[no-untyped-def]
    verdict = words.verdict_words(result)
    assert verdict.startswith(head) and ending in verdict


def test_few_points_that_stand_apart_by_chance_make_no_region() -> None:
    result = synthetic_region(samples=10)
    inside = [it for it in result.points if it.group != "ex"]
    outside = [it for it in result.points if it.group == "ex"]
    two, one = (replace(result, points=(*inside, *outside[:n])) for n in (2, 1))
    assert words.verdict_words(two).startswith("a region of good models: ")
    assert words.verdict_words(one).startswith("cannot tell")
    assert "10 points between and 1 point outside are too few" in words.verdict_words(one)


def test_a_region_is_open_where_the_interval_holds_one_half() -> None:
    result = synthetic_region()
    unsure = tuple(replace(it, value=0.6, interval=(0.4, 0.8)) for it in result.dominances)
    assert words.verdict_words(replace(result, dominances=unsure)).startswith("cannot tell")
    nan = float("nan")
    unknown = tuple(replace(it, interval=(nan, nan)) for it in result.dominances)
    verdict = words.verdict_words(replace(result, dominances=unknown))
    assert verdict.startswith("cannot tell") and "nan" not in verdict
    assert words.verdict_words(replace(result, dominances=())).startswith("cannot tell")


def test_the_end_is_that_of_the_task_where_it_ends_first() -> None:
    result = synthetic_region(tasks=("a", "b"))
    wide, narrow = result.radii
    wide, narrow = replace(wide, value=5 * wide.unit), replace(narrow, value=1.5 * narrow.unit)
    verdict = words.verdict_words(replace(result, radii=(wide, narrow)))
    assert "it ends at 1.5x" in verdict and verdict.endswith("on b")
    half = replace(narrow, interval=(narrow.unit, None))
    assert words.radius_spread(half) == "above 1.0x"


def test_places_are_said_by_weights_or_by_distances() -> None:
    near, inside = synthetic_region().places
    assert words.place_words(near).startswith("imdb-s9 lies near the hull: 1.9 from it")
    assert words.place_words(inside) == (
        "soup lies in the hull (0.25 imdb-s0, 0.25 imdb-s1, 0.25 imdb-s2 and 1 more)"
    )


def test_scores_are_read_in_points_where_they_are_shares() -> None:
    assert said.score_words(0.831, (0.8, 0.85), "accuracy") == "83.1 (80.0 to 85.0)"
    assert said.score_words(0.831, None, "mse") == "0.831"
    (first, *_) = synthetic_start().ranked
    assert said.gain_words(first, "accuracy").startswith("+")
    assert said.gain_words(replace(first, gain=None), "accuracy") == ""


def test_the_terminal_shows_a_region_s_verdict_first(capsys: pytest.CaptureFixture[str]) -> None:
    result = synthetic_region(("a\x1b[2J", "b", "c"), tasks=("t", "u"))
    answer = gather_regions.region(result, Path("/out"))
    region_words.print_region(answer, Path("/atlas/index.html"))
    out = capsys.readouterr().out
    lines = out.splitlines()
    assert lines[0] == answer.summary[0] and "\x1b" not in out
    for shown in ("the models", "points between them", "outside models", "their centre"):
        assert any(line.startswith(shown) for line in lines), shown
    assert "rays that cross" in out and "6 of 6" in out
    assert any(line.startswith("soup") and "in the hull" in line for line in lines)
    assert lines[-2:] == ["files: /out", "page: /atlas/index.html#regions-card"]


def test_the_terminal_shows_the_recommendation_first(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    answer = gather_starts.start(synthetic_start(models=40), ["a", "b"], "base", Path("/out"))
    start_words.print_start(answer, None)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == answer.why
    assert any("recommended" in line and "+6" in line for line in lines)
    assert any(line.startswith("base") for line in lines) and "and 24 more" in "\n".join(lines)
    assert "written: /out/start" in lines


def test_questions_of_many_models_have_short_and_different_names(tmp_path: Path) -> None:
    ends = [End(f"m{i}", f"m{i}", None) for i in range(200)]

    def key(tasks: list[str], out: Path | None = None, **options: object) -> result_work.Asked:
        return result_work.ask(
            "region", "m0-and-more", ends, tasks, out=out, atlas=Path("atlas"), **options
        )

    one = key(["t.yml"], samples=10)
    assert len(one.key) < 120 and one.folder.parent == Path("atlas/regions")
    assert one == key(["t.yml"], samples=10)
    assert len({one.key, key(["t.yml"], samples=11).key, key(["u.yml"], samples=10).key}) == 3
    (tmp_path / "region.json").write_text("{}")
    with pytest.raises(BadInput, match="answers another question"):
        key(["t.yml"], tmp_path)


def test_models_that_are_not_there_are_told(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no such file or folder"):
        result_work.find_group([str(tmp_path / "nothing")], None)
    with pytest.raises(BadInput, match="no atlas to look the region up in"):
        result_work.find_group(["region:x"], None)
    with pytest.raises(UnknownName, match="no start named 'sop'"):
        start_work.check_kinds("base,sop")
    with pytest.raises(BadInput, match="--kinds is one or more of base"):
        start_work.check_kinds(" , ")


def test_starts_are_made_of_the_atlas_s_regions_under_its_names() -> None:
    regions = (
        Region("region:zoo/a", ("zoo/a", "zoo/b", "zoo/c"), "zoo/a"),
        Region("region:zoo/d", ("zoo/d", "zoo/e"), "zoo/d"),
    )
    names = tuple(name for it in regions for name in it.members)
    charted = SimpleNamespace(models=names, base=None, regions=regions)
    atlas = cast(Any, SimpleNamespace(findings=lambda: [(None, None, charted)]))
    ends = [End(name, f"/models/{name[-1]}", name) for name in names]
    asked = [it for it in ends if it.name not in ("zoo/c", "zoo/e")]
    assert start_work._regions(asked, atlas) == {"region:zoo/a": ("zoo/a", "zoo/b")}
    assert result_work.names_of(asked)["/models/d"] == "zoo/d"
    stranger = End("x", "x", None)
    assert start_work._regions([*asked, stranger], atlas) is None
    assert start_work._regions(asked, None) is None
    assert "x" not in result_work.names_of([stranger])


@pytest.mark.parametrize("fast", [True, False])
def test_bfloat16_is_what_was_asked_for_or_what_the_device_is_fast_at(
    monkeypatch: pytest.MonkeyPatch, fast: bool
) -> None:
    monkeypatch.setattr("weightscape.tasks.precision.multiplies_bfloat16", lambda device: fast)
    assert start_work.in_bfloat16(None, "cpu") is fast
    assert start_work.in_bfloat16(True, "cpu") and not start_work.in_bfloat16(False, "cpu")
