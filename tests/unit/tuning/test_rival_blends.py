"""Baselines of plain models: what each one is, and that it is scored as what it is."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from blended_lookers import largest, looker

from weightscape.errors import BadInput, UnknownName
from weightscape.tasks.evaluate import evaluate
from weightscape.tuning.baselines import BASELINES
from weightscape.tuning.finding import find_blend
from weightscape.tuning.opening import open_models
from weightscape.tuning.search import Searching
from weightscape.tuning.space_choice import SpaceChoice

TASK = largest(90)
MODELS = (looker("first", 0), looker("second", 1), looker("third", 0, 2))
BASE = looker("root", strength=0.0)
COMPUTED = ("best expert", "uniform soup", "greedy soup", "lorahub", "regmean", "fisher")


@pytest.fixture(scope="module")
def found():
    how = Searching(evaluations=40)
    return find_blend(MODELS, TASK, None, how, base=BASE, baselines=(*COMPUTED, "model stock"))


def named(found, name):
    return next(it for it in found.baselines if it.name == name)


def test_every_baseline_that_is_asked_for_is_there_with_scores_and_intervals(found):
    assert [it.name for it in found.baselines] == [*COMPUTED, "model stock"]
    for one in found.baselines:
        low, high = one.held_out_intervals["accuracy"]
        assert low <= one.held_out["accuracy"] <= high
        assert one.intervals["loss"][0] <= one.loss <= one.intervals["loss"][1]
        assert one.why and one.seconds > 0


def test_baselines_are_what_their_names_say(found):
    alone = [
        evaluate(it, replace(TASK, splits={"dev": dev_of(TASK)}), split="dev").loss for it in MODELS
    ]
    best = named(found, "best expert")
    assert best.loss == pytest.approx(min(alone), abs=1e-5)
    assert best.weights == {
        **dict.fromkeys(("first", "second", "third", "root"), 0.0),
        MODELS[int(np.argmin(alone))].name: 1.0,
    }
    soup = named(found, "uniform soup").weights
    assert soup["root"] == 0.0 and soup["first"] == pytest.approx(1 / 3)
    assert named(found, "greedy soup").loss <= best.loss + 1e-9
    assert -1.5 <= named(found, "lorahub").weights["second"] <= 1.5
    assert sum(named(found, "lorahub").weights.values()) == pytest.approx(1.0)


def dev_of(task):
    from weightscape.tuning.few_rows import hold_out

    return hold_out(task)[0].rows("validation")


def test_scores_are_those_of_the_weights_that_are_told(found):
    opened = open_models(MODELS, TASK, base=BASE).with_base
    for one in found.baselines:
        if one.weights is None:
            continue
        point = np.array(list(one.weights.values()))[1:]
        opened.span.write(point, opened.model.module)
        assert one.held_out["accuracy"] == evaluate(opened.model, TASK).metrics["accuracy"]
    opened.span.write([*found.best.weights[1:], 0.0], opened.model.module)
    assert found.held_out["accuracy"] == evaluate(opened.model, TASK).metrics["accuracy"]


def test_models_that_are_all_but_equal_have_equal_averages():
    near = [looker("first", 0) for _ in range(3)]
    for place, model in enumerate(near):
        with torch.no_grad():
            model.module.head.bias[0] += 1e-5 * place
    near = [replace(model, name=name) for model, name in zip(near, "abc", strict=True)]
    how = Searching(evaluations=5, surrogate=None, sampler="random")
    found = find_blend(near, TASK, how=how, baselines=("uniform soup", "regmean", "fisher"))
    expected = evaluate(near[0], TASK).loss
    assert [it.held_out["loss"] for it in found.baselines] == pytest.approx(
        [expected] * 3, abs=1e-4
    )


def test_what_cannot_be_had_is_said():
    how = Searching(evaluations=5, surrogate=None, sampler="random")
    found = find_blend(MODELS, TASK, how=how, baselines=("model stock", "lorahub", "multi-task"))
    assert found.baselines == ()
    told = [note for note in found.notes if note.startswith("no baseline")]
    assert told == [
        "no baseline 'model stock', 'lorahub', 'multi-task': it needs the base that the models "
        "came from"
    ]
    with pytest.raises(UnknownName, match="uniform soup"):
        find_blend(MODELS, TASK, how=how, baselines=("uniform soop",))
    assert find_blend(MODELS, TASK, how=how, baselines=()).baselines == ()


def test_searches_that_make_no_sense_are_refused_before_anything_is_done(tmp_path):
    with pytest.raises(BadInput, match="two models or more, got 1"):
        find_blend(MODELS[:1], TASK)
    with pytest.raises(BadInput, match="give the base"):
        find_blend(MODELS, TASK, space=SpaceChoice("box"))
    with pytest.raises(BadInput, match="no rows"):
        find_blend(MODELS, replace(TASK, splits={"train": (), "test": TASK.splits["test"]}))
    with pytest.raises(BadInput, match="zero in it"):
        SpaceChoice("box", low=0.5)
    same = [replace(MODELS[0], name=name) for name in "ab"]
    with pytest.raises(BadInput, match="bit for bit"):
        find_blend(same, TASK)
    headless = replace(looker("headless", 0), labels=("x", "y", "z"))
    with pytest.raises(BadInput, match="headless has no head for the labels.*fine-tune them"):
        find_blend((MODELS[0], headless), TASK)


def test_a_box_and_layers_are_searched_from_the_base():
    how = Searching(evaluations=40, choice=False)
    box = find_blend(MODELS, TASK, how=how, base=BASE, space=SpaceChoice("box"), baselines=())
    assert box.names == ("first", "second", "third", "root") and box.space == "box"
    assert box.best.weights.sum() == pytest.approx(1.0)
    grouped = SpaceChoice(layers=True)
    layered = find_blend(MODELS, TASK, how=how, space=grouped, baselines=("uniform soup",))
    assert layered.groups == ("body", "head") and layered.best.weights.shape == (2, 3)


def test_a_caller_keeps_its_own_models():
    before = [it.module.body.weight.clone() for it in (*MODELS, BASE)]
    rivals = ("model stock", "fine-tuned base")
    found = find_blend(MODELS, TASK, how=Searching(evaluations=10), base=BASE, baselines=rivals)
    assert len(found.baselines) == 2
    for model, weight in zip((*MODELS, BASE), before, strict=True):
        assert torch.equal(model.module.body.weight, weight)


def test_all_names_of_the_question_are_registered():
    assert set(BASELINES.names()) == {
        *COMPUTED, "model stock", "fine-tuned base", "fine-tuned base, all rows", "multi-task",
        "factor average", "blend, refitted",
    }  # fmt: skip
