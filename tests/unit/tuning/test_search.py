import dataclasses
from contextlib import nullcontext

import numpy as np
import pytest
import torch
from blended_lookers import largest, looker, reviews, spanned_lookers, tuned_readers

from weightscape.catalog.store import Store
from weightscape.errors import BadInput
from weightscape.tasks.evaluate import evaluate
from weightscape.tasks.spanning import open_span
from weightscape.tuning.cross_validation import SHARES
from weightscape.tuning.search import Searching, search
from weightscape.tuning.search_space import SearchSpace
from weightscape.tuning.trust_region import TrustRegion

TASK = largest(90)
PLAIN = Searching(surrogate=None, evaluations=30)


class Notes:
    def __init__(self):
        self.told = []

    def stage(self, label, *, total=None, unit=""):
        return nullcontext(lambda amount: None)

    def note(self, message):
        self.told.append(message)


@pytest.fixture
def spanned():
    return spanned_lookers(TASK)


@pytest.mark.parametrize("how", [Searching(), PLAIN, Searching(surrogate=None, racing=None)])
def test_a_search_finds_weights_that_do_better_than_any_model_alone(spanned, how):
    found = search(spanned, TASK, how)
    alone = []
    for place in range(3):
        spanned.span.write(spanned.span.vertex(place), spanned.model.module)
        alone.append(evaluate(spanned.model, TASK).metrics["accuracy"])
    assert found.held_out["accuracy"] > max(alone) + 0.05
    assert found.best.weights.sum() == pytest.approx(1.0)
    assert found.names == ("first", "second", "third")
    crossed = found.evaluations - len(found.trials)
    assert crossed > 0 if how.surrogate else crossed == 0
    assert [trial.number for trial in found.trials] == list(range(len(found.trials)))
    assert found.best.number < len(found.trials)


def test_what_is_reported_is_what_the_weights_do(spanned):
    found = search(spanned, TASK)
    spanned.span.write(found.best.weights[1:], spanned.model.module)
    assert found.held_out == evaluate(spanned.model, TASK).metrics
    assert found.dev == evaluate(spanned.model, TASK, split="train").metrics


def test_the_test_split_decides_nothing(spanned):
    other = largest(90, seed=5)
    swapped = dataclasses.replace(
        TASK, splits={"train": TASK.splits["train"], "test": other.splits["test"]}
    )
    one, two = search(spanned, TASK), search(spanned, swapped)
    assert np.array_equal(one.best.weights, two.best.weights)
    without = dataclasses.replace(TASK, splits={"train": TASK.splits["train"]})
    assert search(spanned, without).held_out == {}


def test_the_surrogate_takes_fewer_candidates_than_the_sampler(spanned):
    quick = search(spanned, TASK, Searching(choice=False))
    slow = search(spanned, TASK, dataclasses.replace(PLAIN, choice=False))
    assert quick.best.loss <= slow.best.loss + 1e-3
    assert len(quick.trials) < len(slow.trials)


def test_training_rows_and_rows_that_are_too_few_are_told(spanned):
    notes = Notes()
    found = search(spanned, largest(24), progress=notes)
    assert "keep a validation split apart" in found.notes[0]
    assert [it for it in notes.told if "best so far" not in it] == list(found.notes)


def test_of_few_rows_all_are_searched_on_and_cross_validation_tells_how_far_to_go(spanned):
    found = search(spanned, TASK)
    whole = search(spanned, TASK, Searching(choice=False))
    assert found.trials[0].rows == len(TASK.splits["train"])
    way = whole.best.weights - 1 / 3
    share = (found.best.weights - 1 / 3) @ way / (way @ way)
    assert min(abs(share - it) for it in SHARES) < 1e-9
    assert np.allclose(found.best.weights, 1 / 3 + share * way)
    kept = search(spanned, largest(200))
    assert kept.trials[0].rows == 200 - 200 // 3 - 1


def test_where_the_surrogate_does_not_hold_the_sampler_goes_on(monkeypatch):
    from weightscape.tuning import proposing as module

    true = module.descend

    def doubting(*args, **more):
        return dataclasses.replace(true(*args, **more), held=False)

    monkeypatch.setattr(module, "descend", doubting)
    spanned = spanned_lookers(TASK)
    found = search(spanned, TASK, Searching(evaluations=40))
    assert any("did not hold" in note for note in found.notes)
    assert len(found.trials) > 10


def test_a_box_goes_beyond_the_models_and_groups_have_weights_of_their_own(spanned):
    models = (looker("base"), looker("first", 0), looker("second", 1), looker("third", 2))
    box = SearchSpace("box", 4, base=0)
    how = Searching(space=box, evaluations=60, choice=False)
    beyond = search(spanned_lookers(TASK, *models), TASK, how)
    assert beyond.best.weights[0] < -0.5 and beyond.best.weights[1:].sum() > 1.5
    layers = {name: int(name.startswith("head")) for name in spanned.span.names}
    grouped = search(spanned, TASK, Searching(layers=layers, evaluations=60))
    assert grouped.best.weights.shape == (2, 3)
    with pytest.raises(BadInput, match="1 layer groups"):
        search(spanned, TASK, Searching(space=SearchSpace("simplex", 3), layers=layers))


def test_a_search_goes_on_where_it_was_stopped(spanned, tmp_path):
    with Store.open(tmp_path) as store:
        short = dataclasses.replace(PLAIN, evaluations=10)
        first = search(spanned, TASK, short, study=(store, "mine"))
        more = search(
            spanned, TASK, dataclasses.replace(PLAIN, evaluations=20), study=(store, "mine")
        )
        assert [it.loss for it in more.trials[:10]] == [it.loss for it in first.trials]
        assert len(more.trials) == 20
        with pytest.raises(BadInput, match="racing"):
            search(spanned, TASK, dataclasses.replace(short, racing=None), study=(store, "mine"))


def test_a_model_that_breaks_every_blend_is_named():
    broken = looker("broken", 1)
    with torch.no_grad():
        broken.module.body.weight[0, 0] = torch.nan
    spanned = spanned_lookers(TASK, looker("first", 0), broken, looker("third", 2))
    with pytest.raises(BadInput, match="leave out broken: .*body.weight"):
        search(spanned, TASK, dataclasses.replace(PLAIN, evaluations=6, sampler="random"))


def test_exact_gradients_are_a_sampler_too(spanned):
    how = Searching(surrogate=None, sampler="gradient", evaluations=30, racing=None, choice=False)
    found = search(spanned, TASK, how)
    best = search(spanned, TASK, Searching(choice=False))
    assert found.best.loss == pytest.approx(best.best.loss, abs=2e-3)


def test_texts_are_searched_end_to_end(tmp_path):
    task = reviews()
    spanned = open_span(tuned_readers(tmp_path, 3), task, device="cpu", head="own")
    found = search(spanned, task, Searching(surrogate=TrustRegion(derivative="jvp")))
    assert found.held_out["accuracy"] >= 0.5
    assert np.isfinite(found.best.loss)
    # the module is whole again, and is the best blend
    table = spanned.model.module.get_input_embeddings().weight
    assert not torch.isnan(table).any()


def test_a_budget_is_needed_and_one_of_minutes_ends_a_search(spanned):
    with pytest.raises(BadInput, match="budget"):
        search(spanned, TASK, Searching(evaluations=None))
    found = search(
        spanned, TASK, Searching(evaluations=None, minutes=1e-6, surrogate=None, sampler="random")
    )
    assert 1 <= len(found.trials) <= 2
