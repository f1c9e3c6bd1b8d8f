"""The whole on a tiny transformer: experts, adaptation, search, rivals, and the blend's folder."""

import json
import sys
from dataclasses import replace

import pytest
from worded_tasks import QUICK, base_in, doubt, strength, tone, topic

from tiny_models import save_t5
from weightscape.errors import BadInput, MissingExtra, UnknownName
from weightscape.tasks.evaluate import evaluate
from weightscape.tasks.models import load_model
from weightscape.tasks.task import Example, Task
from weightscape.tuning.baselines import BASELINES
from weightscape.tuning.baselines.fine_tuned import join_tasks
from weightscape.tuning.finding import find_blend
from weightscape.tuning.searching import Searching
from weightscape.tuning.seen_rows import seen_words
from weightscape.tuning.space_choice import SpaceChoice
from weightscape.tuning.whole import tune

SHORT = Searching(evaluations=8)
RECIPES = {"expert": QUICK, "adapting": replace(QUICK, steps=4)}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    base, out = base_in(folder), folder / "blend"
    return base, out, tune(base, [tone(), topic()], strength(), out, SHORT, **RECIPES)


def test_the_blend_is_a_model_that_does_what_is_reported(run):
    _, out, found = run
    model = load_model(out, strength(), device="cpu")
    assert not model.drawn and found.output == out
    scores = evaluate(model, strength())
    assert found.held_out["accuracy"] == scores.metrics["accuracy"]
    assert found.held_out["loss"] == pytest.approx(scores.loss, abs=1e-4)
    low, high = found.held_out_intervals["accuracy"]
    assert low <= found.held_out["accuracy"] <= high
    told = json.loads((out / "provenance.json").read_text())
    assert set(told["parents"]) == {"tone", "topic"} == set(found.names)
    assert told["scores"]["dev"] == dict(found.dev)


def test_all_rivals_are_beside_it_or_said_to_be_missing(run):
    found = run[2]
    of_whole_models = set(BASELINES.names()) - {"factor average"}
    assert {it.name for it in found.baselines} == of_whole_models, found.notes
    for one in found.baselines:
        assert set(one.held_out) == {"accuracy", "loss"}
    saw_all = next(it for it in found.baselines if it.name == "fine-tuned base, all rows")
    assert saw_all.loss is None and "all 48 training rows" in saw_all.why
    refitted = next(it for it in found.baselines if it.name == "blend, refitted")
    assert refitted.loss is None and refitted.held_out["loss"] != found.held_out["loss"]
    assert found.experts.experts[0].made and found.adaptation.models[0].parent == "tone"


def test_a_refitted_blend_is_written_in_place_of_the_blend(run, tmp_path):
    base, _, found = run
    again = {"base": base, "baselines": ["uniform soup"], "work": tmp_path, "refit": True}
    quick = {"adapting": RECIPES["adapting"]}
    models = [it.folder for it in found.adaptation.models]
    told = find_blend(models, strength(), tmp_path / "best", SHORT, **again, **quick)
    written = load_model(tmp_path / "best", strength(), device="cpu")
    (refitted,) = [it for it in told.baselines if it.name == "blend, refitted"]
    assert evaluate(written, strength()).loss == pytest.approx(refitted.held_out["loss"], abs=1e-4)
    said = json.loads((tmp_path / "best" / "provenance.json").read_text())
    assert said["kind"] == "refitted blend" and "the mean of 3 times" in said["refitted"]
    assert set(said["parents"]) == set(told.names)
    assert any("is the blend, refitted" in note for note in told.notes)
    # from other weights comes another blend: what was made of the first is not taken for its own
    box = SpaceChoice("box")
    other = find_blend(models, strength(), tmp_path / "best", SHORT, **again, space=box, **quick)
    (second,) = [it for it in other.baselines if it.name == "blend, refitted"]
    assert second.held_out["loss"] != refitted.held_out["loss"]


def test_a_blend_without_rows_kept_apart_stays_as_it_is(run, tmp_path):
    _, _, found = run
    models = [it.folder for it in found.adaptation.models]
    told = find_blend(
        models, strength(), tmp_path / "best", SHORT, baselines=[], apart=False, refit=True
    )
    assert any("not refitted: no training rows were kept apart" in it for it in told.notes)
    said = json.loads((tmp_path / "best" / "provenance.json").read_text())
    assert said["kind"] == "blend"


def test_run_again_it_makes_nothing_anew_and_ends_the_same(run):
    base, out, found = run
    parts = out.with_name("blend.parts")
    before = {it: it.stat().st_mtime_ns for it in parts.rglob("*.safetensors")}
    rivals = ("uniform soup", "fine-tuned base", "multi-task", "fisher")
    again = tune(base, [tone(), topic()], strength(), out, SHORT, baselines=rivals, **RECIPES)
    assert {it: it.stat().st_mtime_ns for it in parts.rglob("*.safetensors")} == before
    assert again.best.weights.tolist() == found.best.weights.tolist()
    before = {it.name: it.held_out for it in found.baselines}
    assert {it.name: it.held_out for it in again.baselines}.items() <= before.items()
    assert not any(it.made for it in (*again.experts.experts, *again.adaptation.models))


def test_other_targets_share_the_experts(run, tmp_path):
    base, out, _ = run
    parts = out.with_name("blend.parts")
    how = Searching(evaluations=4, surrogate=None, sampler="random")
    more = {**RECIPES, "work": parts, "baselines": (), "with_base": True}
    found = tune(base, [tone(), topic()], doubt(), tmp_path / "other", how, **more)
    assert not any(it.made for it in found.experts.experts)
    assert found.names == ("tone", "topic", "base")
    assert (parts / "doubt" / "adapted" / "base").is_dir()


def test_a_blend_of_another_task_or_anything_else_is_not_replaced(run):
    base, out, _ = run
    with pytest.raises(BadInput, match="another task"):
        tune(base, [tone(), topic()], doubt(), out, SHORT, **RECIPES)
    with pytest.raises(BadInput, match="is there already"):
        tune(base, [tone(), topic()], strength(), base, SHORT, **RECIPES)


@pytest.mark.parametrize(
    ("given", "error", "told"),
    [
        ({"how": Searching(sampler="cma-es")}, MissingExtra, "cmaes.*pip install"),
        ({"how": Searching(sampler="cma")}, UnknownName, "cma-es"),
        ({"how": Searching(evaluations=None)}, BadInput, "budget"),
        ({"baselines": ("uniform soop",)}, UnknownName, "uniform soup"),
        ({"sources": (tone(),)}, BadInput, "two experts or more"),
        ({"target": replace(strength(), splits={"train": ()})}, BadInput, "no rows"),
    ],
    ids=["no package", "a sampler", "no budget", "a baseline", "one source", "no rows"],
)
def test_what_cannot_be_is_refused_before_an_expert_is_trained(
    run, tmp_path, monkeypatch, given, error, told
):
    if error is MissingExtra:
        monkeypatch.setitem(sys.modules, "cmaes", None)
    asked = {"sources": (tone(), topic()), "target": strength(), "how": SHORT, **given}
    with pytest.raises(error, match=told):
        tune(run[0], out=tmp_path / "out", **asked)
    assert list(tmp_path.iterdir()) == []


def test_rows_of_the_target_among_those_of_a_source_are_told():
    target = strength()
    assert seen_words(target, [tone(), topic()]) == ()
    spied = replace(target, name="spied", splits={"train": target.rows("test")[:3]})
    (said,) = seen_words(target, [tone(), spied])
    assert "'spied' has 3 of the 16 test rows" in said and "test split cannot be trusted" in said
    (said,) = seen_words(target, [replace(target, name="same")])
    assert "48 of the 48 train rows" in said and "what weights it gets" in said


def test_models_that_saw_the_rows_are_told(run):
    found = run[2]
    folders = [it.folder for it in found.adaptation.models]
    told = find_blend(folders, strength(), how=SHORT, apart=False, baselines=()).notes
    assert any("may have seen rows" in note for note in told)


def test_one_head_answers_for_all_joined_tasks():
    joined = join_tasks([tone(), topic()], rows=10)
    assert joined.labels == ("tone: down", "tone: up", "topic: book", "topic: film")
    assert len(joined.rows("train")) == 20
    for row in joined.rows("train"):
        task, _, label = joined.labels[row.target].partition(": ")
        assert label == ("film" if "film" in row.inputs else "book") or task == "tone"


def test_texts_are_blended_end_to_end(tmp_path):
    texts = [f"{start} film was {'very ' * very}" for start in ("a", "the") for very in range(8)]
    rows = [
        Example(f"{text}{word}", word, i)
        for i, (text, word) in enumerate((t, w) for t in texts for w in ("good", "bad", "fine"))
    ]
    splits = {"train": tuple(rows[:40]), "test": tuple(rows[40:])}
    copy = Task(
        "copy", "texts", (), splits, kind="seq2seq", metrics=("exact_match",), max_tokens=12,
        target_tokens=3,
    )  # fmt: skip
    other = replace(copy, name="echo", splits={"train": tuple(rows[8:]), "test": tuple(rows[:8])})
    base = save_t5(tmp_path / "base")
    sources = [other, replace(copy, name="again")]
    rivals = ("multi-task", "best expert", "uniform soup", "fisher", "model stock")
    found = tune(base, sources, copy, tmp_path / "out", SHORT, baselines=rivals, **RECIPES)
    assert (tmp_path / "out" / "config.json").is_file() and "exact_match" in found.held_out
    assert any("multi-task" in note for note in found.notes)
    assert {it.name for it in found.baselines} == {*rivals} - {"multi-task"}
