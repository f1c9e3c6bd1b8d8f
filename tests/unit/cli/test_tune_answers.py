"""Answers about blends: every key, no NaN, sentences and tables that agree with the numbers."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from synthetic_tuning import synthetic_adaptation, synthetic_experts, synthetic_tune
from weightscape.answers_tasks import AdaptAnswer, ExpertsAnswer, TuneAnswer
from weightscape.cli import gather_tune, tune_wanted, tune_words, tune_work
from weightscape.errors import BadInput, UnknownName
from weightscape.report import tune_words as said
from weightscape.tuning.records import TuneResult

LAYERS = ("bert.embeddings", "bert.encoder.layer.0", "classifier")
PLAIN = tune_wanted.Wanted(
    space="simplex", low=-1.5, high=1.5, l1=0.0, per_layer=False, sampler=None, race_error=0.05,
    surrogate=True, choice=True, apart=True, baselines=None, rows=None, test_rows=1000,
    head="probe", target=tune_wanted.Training("full", None, None),
    expert=tune_wanted.Training("full", 100, None), metric=None, seed=0, batch=64, bf16=False,
    chosen=False,
)  # fmt: skip
BUDGET = tune_wanted.Budget(150, None)


def test_a_blend_answers_with_the_promised_keys_and_no_nan() -> None:
    result = replace(
        synthetic_tune(), experts=synthetic_experts(), adaptation=synthetic_adaptation()
    )
    answer = gather_tune.tune(result, Path("/out"), "a study")
    told = answer.model_dump(mode="json")
    assert told.keys() >= {"best", "baselines", "trials", "seconds", "output", "sampler", "space"}
    assert TuneAnswer.model_validate_json(json.dumps(told, allow_nan=False)) == answer
    assert sum(answer.best.coefficients.values()) == pytest.approx(1, abs=1e-5)
    assert answer.best.layers == {} and answer.study == "a study"
    failed = [it for it in answer.trials if it.state == "failed"]
    assert failed and all(it.loss is None and it.error for it in failed)
    assert answer.adaptation is not None and answer.adaptation.models[0].head_drift is None
    assert answer.experts is not None and answer.experts.output == "/out"


def test_layers_are_told_one_by_one_and_on_average() -> None:
    answer = gather_tune.tune(synthetic_tune(groups=LAYERS))
    assert list(answer.best.layers) == list(LAYERS)
    for name in answer.models:
        each = [row[name] for row in answer.best.layers.values()]
        assert answer.best.coefficients[name] == pytest.approx(sum(each) / len(each), abs=1e-5)
    assert len(answer.trials[0].weights) == len(LAYERS)


@pytest.mark.parametrize(
    ("result", "ending"),
    [
        (synthetic_tune(), "ahead of the 5 other ways (next: fine-tuned base 82.0; their intervals "
                           "overlap)"),
        (synthetic_tune(best=False), "; fine-tuned base is better: 82.0"),
        (synthetic_tune(rivals=0), "accuracy 84.0 (81.0 to 87.0) on the test split"),
        (synthetic_tune(rivals=0, test=False), "accuracy 86.0 (83.0 to 89.0) on the development "
                                               "rows"),
    ],
    ids=["ahead", "behind", "alone", "no test"],
)  # fmt: skip
def test_the_verdict_says_whether_another_way_is_as_good(result: TuneResult, ending: str) -> None:
    assert said.verdict_words(result).endswith(ending)


def test_a_tie_is_no_lead() -> None:
    result = synthetic_tune(rivals=1)
    equal = replace(result.baselines[0], held_out=dict(result.held_out))
    words = said.verdict_words(replace(result, baselines=(equal,)))
    assert words.endswith("fine-tuned base is as good: 84.0")


def test_losses_are_better_when_they_are_smaller() -> None:
    result = replace(synthetic_tune(rivals=1), metric="loss", held_out={"loss": 0.3})
    rival = replace(result.baselines[0], held_out={"loss": 0.4})
    words = said.verdict_words(replace(result, baselines=(rival,)))
    assert "loss 0.3" in words and "ahead of the other way" in words


def test_layer_groups_have_short_names() -> None:
    named = [said.group_title(it) for it in (*LAYERS, "bert.pooler.dense", "h.3")]
    assert named == ["embeddings", "layer 0", "classifier", "pooler.dense", "h 3"]


def test_the_terminal_shows_a_blend_s_verdict_first(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "140")
    names = ("a\x1b[2J", *(f"m{i}" for i in range(24)))
    answer = gather_tune.tune(synthetic_tune(names, groups=LAYERS), Path("/out"))
    tune_words.print_tune(answer, Path("/atlas/index.html"))
    out = capsys.readouterr().out
    lines = out.splitlines()
    assert lines[0] == answer.summary[0] and "\x1b" not in out
    assert "layer 0" in out and "and 5 more" in lines
    assert any(line.startswith("the blend") and "84.0" in line for line in lines)
    assert any(line.startswith("greedy soup") and "all rows" in line for line in lines)
    assert "written: /out/blend" in lines
    assert lines[-2:] == ["files: /out", "page: /atlas/index.html#blends-card"]


def test_the_terminal_tells_how_alike_experts_are(capsys: pytest.CaptureFixture[str]) -> None:
    answer = gather_tune.experts(synthetic_experts(), Path("/out"))
    assert ExpertsAnswer.model_validate_json(answer.model_dump_json()) == answer
    tune_words.print_experts(answer)
    out = capsys.readouterr().out
    assert "0.97" in out and "sst2 and imdb are alike" in out and "nan" not in out
    assert out.splitlines()[-1] == "written: /out"


def test_the_terminal_tells_how_far_heads_drifted(capsys: pytest.CaptureFixture[str]) -> None:
    answer = gather_tune.adaptation(synthetic_adaptation(), Path("/out"))
    assert AdaptAnswer.model_validate_json(answer.model_dump_json()) == answer
    tune_words.print_adaptation(answer)
    out = capsys.readouterr().out
    assert "60 rows trained on, 30 kept to search weights on" in out
    assert "all heads began as a linear probe of the mean" in out and "0.30 of its length" in out
    assert "was there" in out and "nan" not in out


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"space": "ball"}, "--space is simplex or box"),
        ({"head": "own"}, "--head is probe or drawn"),
        ({"race_error": 0.7}, "--race-error is 0"),
        ({"l1": -1.0}, "L1 penalty"),
        ({"space": "box", "low": 0.5}, "zero in it"),
        ({"target": tune_wanted.Training("prefix", None, None)}, "--method is full"),
        ({"expert": tune_wanted.Training("full", 0, None)}, "--expert-steps is 1 or more"),
    ],
)
def test_searches_that_make_no_sense_are_refused_at_once(changes, told) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(BadInput, match=told):
        tune_wanted.check(replace(PLAIN, **changes), BUDGET)


def test_budgets_and_names_are_checked_at_once() -> None:
    tune_wanted.check(replace(PLAIN, sampler="random"), BUDGET)
    with pytest.raises(BadInput, match="--evaluations is 1 or more"):
        tune_wanted.check(PLAIN, tune_wanted.Budget(0, None))
    with pytest.raises(BadInput, match="--minutes is more than 0"):
        tune_wanted.check(PLAIN, tune_wanted.Budget(1, 0.0))
    with pytest.raises(UnknownName, match="random"):
        tune_wanted.check(replace(PLAIN, sampler="randon"), BUDGET)
    with pytest.raises(UnknownName, match="uniform soup"):
        tune_wanted.parse_baselines("uniform soap")
    assert tune_wanted.parse_baselines("uniform soup, lorahub") == ("uniform soup", "lorahub")


def test_questions_that_leave_something_out_say_what() -> None:
    for check, told in (
        (lambda: tune_wanted.check_models([]), "which models"),
        (lambda: tune_wanted.check_target(None), "--target"),
        (lambda: tune_wanted.check_base(None), "--base"),
        (lambda: tune_wanted.check_sources([]), "--sources"),
        (lambda: tune_wanted.check_folder(None), "-o DIR"),
    ):
        with pytest.raises(BadInput, match=told):
            check()


def test_a_larger_budget_is_the_same_question(tmp_path: Path) -> None:
    asked = [
        tune_work.ask("m", [], ["t"], wanted, None, tmp_path)
        for wanted in (PLAIN, PLAIN, replace(PLAIN, seed=1), replace(PLAIN, per_layer=True))
    ]
    assert asked[0] == asked[1] and len({it.key for it in asked}) == 3
