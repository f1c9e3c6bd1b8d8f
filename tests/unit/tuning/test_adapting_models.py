import json
import math
from dataclasses import replace

import pytest
import torch
from worded_tasks import QUICK, base_in, doubt, strength, tone, topic

from tiny_models import save_bert, save_t5
from weightscape.errors import BadInput, MismatchedModels
from weightscape.io import open_checkpoint
from weightscape.tasks.fine_tune import fine_tune
from weightscape.tasks.models import load_model
from weightscape.tasks.task import Example, Task
from weightscape.tuning.adapting import adapt
from weightscape.tuning.experts import make_experts

STILL = replace(QUICK, lr=1e-12, steps=1, weight_decay=0.0)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("experts")
    base = base_in(folder)
    found = make_experts(base, [tone(), topic(), doubt()], folder / "experts", QUICK)
    return base, [it.folder for it in found.experts]


def head_of(folder):
    with open_checkpoint(folder) as stored:
        return stored.tensor("classifier.weight").clone()


def test_all_models_begin_with_one_head_and_stay_themselves_below_it(made, tmp_path):
    base, experts = made
    found = adapt(experts, strength(), tmp_path, STILL, base=base, head="probe")
    heads = [head_of(it.folder) for it in found.models]
    for expert, one, head in zip(experts, found.models, heads, strict=True):
        assert torch.allclose(head, heads[0], atol=1e-9)
        assert one.parent == one.name == expert.name and one.made
        with open_checkpoint(expert) as before, open_checkpoint(one.folder) as after:
            name = "bert.encoder.layer.0.output.dense.weight"
            assert torch.allclose(before.tensor(name), after.tensor(name), atol=1e-9)
        assert one.head_drift == pytest.approx(0.0, abs=1e-6)
    assert found.head_spread == pytest.approx(0.0, abs=1e-6)
    assert "linear probe of 28 training rows, fitted at the mean of 3 models" in found.head
    assert (found.train_rows, found.dev_rows) == (28, 20)
    assert found.cosines[0][1] < 0.9 and "kept apart" in found.notes[0]


def test_heads_drift_apart_and_that_is_told(made, tmp_path):
    found = adapt(made[1], strength(), tmp_path, QUICK, head="drawn")
    assert all(it.head_drift > 0.01 for it in found.models) and found.head_spread > 0
    assert found.head_cosines[0][0] == pytest.approx(1.0) and found.cosines == ()
    assert found.head_cosines[0][1] < 0.99
    told = [json.loads((it.folder / "provenance.json").read_text()) for it in found.models]
    assert len({it["arguments"]["data_seed"] for it in told}) == 3
    assert len({it["arguments"]["init_seed"] for it in told}) == 1
    again = adapt(made[1], strength(), tmp_path, QUICK, head="drawn")
    assert [it.head_drift for it in again.models] == [it.head_drift for it in found.models]
    assert not any(it.made for it in again.models)


def test_a_model_that_comes_later_begins_with_the_head_that_was_kept(made, tmp_path):
    first = adapt(made[1][:2], strength(), tmp_path, STILL)
    more = adapt(made[1], strength(), tmp_path, STILL)
    assert [it.made for it in more.models] == [False, False, True]
    assert more.head == first.head
    assert torch.allclose(head_of(more.models[2].folder), head_of(first.models[0].folder))


def test_a_folder_of_other_models_rows_or_heads_is_refused(made, tmp_path):
    _, experts = made
    adapt(experts[:2], strength(), tmp_path / "out", STILL)
    other = save_bert(tmp_path / "tone", seed=3)
    with pytest.raises(BadInput, match="model tone"):
        adapt([other, experts[1]], strength(), tmp_path / "out", STILL)
    with pytest.raises(BadInput, match="task's rows"):
        adapt(experts, doubt(), tmp_path / "out", STILL)
    with pytest.raises(BadInput, match="another way than 'probe'"):
        adapt(experts[:2], strength(), tmp_path / "out", STILL, head="probe")
    with pytest.raises(BadInput, match="steps 1 against 2"):
        adapt(experts[:2], strength(), tmp_path / "out", replace(STILL, steps=2))


def test_adapters_of_different_ranks_are_merged(made, tmp_path):
    base = made[0]
    for rank, places in ((2, ("*query",)), (4, ("*value", "*query"))):
        how = replace(QUICK, method="lora", rank=rank, places=places)
        fine_tune(base, tone(), base.parent / f"rank-{rank}", how)
    adapters = [base.parent / "rank-2", base.parent / "rank-4"]
    found = adapt(adapters, strength(), tmp_path, STILL, base=base)
    assert any("rank-2, rank-4: adapters are merged" in note for note in found.notes)
    whole = load_model(adapters[1], tone(), merge_adapter=True, device="cpu").module.state_dict()
    name = "bert.encoder.layer.1.attention.self.value.weight"
    with open_checkpoint(found.models[1].folder) as stored:
        assert torch.allclose(stored.tensor(name), whole[name], atol=1e-7)
    assert (found.models[0].folder / "tokenizer.json").is_file()


def test_one_model_or_another_family_is_refused(made, tmp_path):
    with pytest.raises(BadInput, match="two models or more, got 1"):
        adapt(made[1][:1], strength(), tmp_path, STILL)
    with pytest.raises(BadInput, match="cannot be merged"):
        adapt(made[1], strength(), tmp_path, replace(STILL, method="adapter"))
    small = load_model(made[0], tone(), device="cpu")
    small.module.config.hidden_act = "relu"
    with pytest.raises(MismatchedModels, match="hidden_act"):
        adapt([made[1][0], small], strength(), tmp_path, STILL)


def test_models_that_write_texts_keep_their_heads(tmp_path):
    rows = [Example(f"the film was {word}", word, i) for i, word in enumerate(["good", "bad"] * 6)]
    task = Task(
        "copy", "texts", (), {"train": tuple(rows[:8]), "test": tuple(rows[8:])},
        kind="seq2seq", metrics=("exact_match",), max_tokens=8, target_tokens=3,
    )  # fmt: skip
    models = [save_t5(tmp_path / "one", seed=0), save_t5(tmp_path / "two", seed=1)]
    found = adapt(models, task, tmp_path / "out", replace(QUICK, steps=1))
    assert found.head == "" and math.isnan(found.head_spread)
    assert all(math.isnan(it.head_drift) for it in found.models)
    assert any("too few" in note for note in found.notes)
