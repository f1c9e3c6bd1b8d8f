import dataclasses
import json
import shutil

import pytest
import torch
from torch import nn

from weightscape.errors import BadInput, MismatchedModels
from weightscape.tasks.arrays import task_from_arrays
from weightscape.tasks.evaluate import evaluate
from weightscape.tasks.fine_tune import fine_tune
from weightscape.tasks.fine_tuning import FineTuning
from weightscape.tasks.live import LiveModel
from weightscape.tasks.models import load_model
from weightscape.tasks.objective import Objective, Scoring
from weightscape.tasks.processors import ArrayProcessor
from weightscape.tasks.spanning import open_span, tensors_fingerprint

HOW = FineTuning(lr=1e-2, steps=12, batch=8)
CPU = {"device": "cpu"}


@pytest.fixture(scope="module")
def tuned(tiny_base, sentiment, tmp_path_factory):
    """Two fully fine-tuned models and two LoRA adapters of one base."""
    folder = tiny_base.parent
    made = {}
    for method in ("full", "lora"):
        for seed in (1, 2):
            how = dataclasses.replace(HOW, method=method, init_seed=seed, data_seed=seed, rank=2)
            name = f"{method}-{seed}"
            made[name] = fine_tune(tiny_base, sentiment, folder / name, how).folder
    return made


def losses(spanned, task, *points):
    objective = Objective(spanned, task, Scoring(limit=None))
    return [objective.at(point).test.loss for point in points]


def alone(folder, task, **how):
    return evaluate(load_model(folder, task, device="cpu", **how), task).loss


def test_whole_models_answer_in_the_span_as_they_do_alone(tuned, sentiment):
    folders = [tuned["full-1"], tuned["full-2"]]
    spanned = open_span(folders, sentiment, **CPU)
    assert (spanned.head, spanned.space) == ("own", "product")
    assert spanned.names == ("full-1", "full-2")
    assert any("classifier" in name for name in spanned.span.names)
    ends = losses(spanned, sentiment, (0.0,), (1.0,))
    assert ends == [alone(folder, sentiment) for folder in folders]


def test_adapters_are_spanned_by_their_own_tensors_or_by_what_they_make(tuned, sentiment):
    folders = [tuned["lora-1"], tuned["lora-2"]]
    factor = open_span(folders, sentiment, **CPU)
    assert factor.space == "factor"
    assert all("lora" in name or "classifier" in name for name in factor.span.names)
    product = open_span(folders, sentiment, space="product", **CPU)
    assert product.space == "product"
    assert not any("lora" in name for name in product.span.names)
    ends = [alone(folder, sentiment) for folder in folders]
    for spanned in (factor, product):
        assert losses(spanned, sentiment, (0.0,), (1.0,)) == pytest.approx(ends, abs=1e-5)
    (half,), (other,) = losses(factor, sentiment, (0.5,)), losses(product, sentiment, (0.5,))
    assert half != pytest.approx(other, abs=1e-7)


def test_an_adapter_and_a_whole_model_meet_in_product_space_only(tuned, sentiment):
    folders = [tuned["full-1"], tuned["lora-1"]]
    with pytest.raises(MismatchedModels, match="take the space 'product'"):
        open_span(folders, sentiment, **CPU)
    spanned = open_span(folders, sentiment, space="product", **CPU)
    ends = [alone(folder, sentiment) for folder in folders]
    assert losses(spanned, sentiment, (0.0,), (1.0,)) == pytest.approx(ends, abs=1e-5)


def test_adapters_of_two_kinds_are_refused_by_their_kinds(tuned, sentiment, tmp_path):
    base = shutil.copytree(tuned["lora-1"].parent / "tiny", tmp_path / "tiny")
    houlsby = dataclasses.replace(HOW, method="adapter", bottleneck=2, steps=1)
    other = fine_tune(base, sentiment, tmp_path / "narrow", houlsby).folder
    said = "lora-1 is a LoRA adapter and narrow is a bottleneck adapter: nothing lies between them"
    with pytest.raises(MismatchedModels, match=said):
        open_span([tuned["lora-1"], other], sentiment, **CPU)
    with pytest.raises(BadInput, match="merged into its base; narrow is a bottleneck adapter"):
        open_span([tuned["lora-1"], other], sentiment, space="product", **CPU)


def test_a_live_adapter_is_taken_into_a_copy_of_its_base(tuned, sentiment):
    live = load_model(tuned["lora-1"], sentiment, device="cpu")
    spanned = open_span([live, tuned["lora-2"]], sentiment, space="product", **CPU)
    (end,) = losses(spanned, sentiment, (0.0,))
    assert end == pytest.approx(evaluate(live, sentiment).loss, abs=1e-5)
    assert live.adapted and any("lora" in name for name in live.module.state_dict())


def test_adapters_of_other_bases_are_refused(tuned, sentiment, tmp_path):
    base = tmp_path / "tiny"
    shutil.copytree(tuned["lora-1"].parent / "tiny", base)
    how = dataclasses.replace(HOW, steps=2)
    fine_tune(base, sentiment, tmp_path / "moved", how)
    other = dataclasses.replace(HOW, method="lora", rank=2, steps=2)
    fine_tune(tmp_path / "moved", sentiment, tmp_path / "adapter", other)
    with pytest.raises(MismatchedModels, match="adapters of different bases"):
        open_span([tuned["lora-1"], tmp_path / "adapter"], sentiment, **CPU)


def test_heads_of_other_tasks_are_left_out(tuned, sentiment):
    renamed = dataclasses.replace(sentiment, labels=("nay", "yea"))
    spanned = open_span([tuned["full-1"], tuned["full-2"]], renamed, **CPU)
    assert spanned.head == "probe"
    assert spanned.head_reason == (
        "full-1 has no head for the labels of sentiment (its head answers 'neg', 'pos')"
    )
    assert open_span([tuned["full-1"]] * 2, sentiment, **CPU).head_reason == ""
    assert not any("classifier" in name for name in (*spanned.span.names, *spanned.span.constants))
    found = Objective(spanned, renamed, Scoring()).at((0.5,))
    assert found.train.metrics["accuracy"] > 0.5
    texts = dataclasses.replace(sentiment, kind="causal", labels=(), metrics=("loss",))
    with pytest.raises(BadInput, match="take the head 'own'"):
        open_span([tuned["full-1"], tuned["full-2"]], [renamed, texts], head="probe", **CPU)


def test_other_tokenizers_are_refused(tuned, sentiment, tmp_path):
    shutil.copytree(tuned["full-2"], tmp_path / "other")
    file = tmp_path / "other" / "tokenizer.json"
    text = file.read_text()
    assert '"good": 4' in text and '"bad": 5' in text
    text = text.replace('"good": 4', '"good": 99').replace('"bad": 5', '"bad": 4')
    file.write_text(text.replace('"good": 99', '"good": 5'))
    with pytest.raises(MismatchedModels, match="tokenizers of different vocabularies"):
        open_span([tuned["full-1"], tmp_path / "other"], sentiment, **CPU)


def test_many_models_make_one_span_and_share_what_is_equal(tuned, sentiment):
    whole = [tuned["full-1"], tuned["full-2"], tuned["full-1"]]
    spanned = open_span(whole, sentiment, **CPU)
    assert spanned.span.size == 2
    assert spanned.fingerprints[0] == spanned.fingerprints[2] != spanned.fingerprints[1]
    assert len(set(spanned.names)) == 3
    with pytest.raises(BadInput, match="at least two"):
        open_span(whole[:1], sentiment)
    with pytest.raises(BadInput, match="no space"):
        open_span(whole, sentiment, space="both")


def test_a_fingerprint_is_of_the_content_alone():
    one = {"a": torch.ones(2, 3), "b": torch.zeros(0)}
    assert tensors_fingerprint(one) == tensors_fingerprint(dict(reversed(one.items())))
    assert tensors_fingerprint(one) == tensors_fingerprint({"a": torch.ones(3, 2).T, "b": one["b"]})
    for other in (torch.ones(3, 2), torch.ones(2, 3).double(), torch.full((2, 3), -1.0)):
        assert tensors_fingerprint(one) != tensors_fingerprint({**one, "a": other})


class Normed(nn.Module):
    def __init__(self, seed):
        super().__init__()
        torch.manual_seed(seed)
        self.body = nn.Linear(2, 4)
        self.norm = nn.BatchNorm1d(4)
        self.head = nn.Linear(4, 2)

    def forward(self, x):
        return self.head(torch.relu(self.norm(self.body(x))))


def test_batch_statistics_are_those_of_the_network_at_the_point():
    with torch.random.fork_rng(devices=[]):
        models = [
            LiveModel(f"m{seed}", Normed(seed), ArrayProcessor(), ("a", "b"), ("head.",))
            for seed in (0, 1)
        ]
    inputs = torch.arange(64.0).reshape(32, 2) / 10
    targets = [i % 2 for i in range(32)]
    task = task_from_arrays(
        "rows", {"train": (inputs, targets), "test": (inputs + 0.01, targets)}, ("a", "b")
    )
    spanned = open_span(models, task)
    objective = Objective(spanned, task, Scoring(batch=32))
    objective.at((0.5,))
    module = spanned.model.module
    mean = nn.functional.linear(inputs, module.body.weight, module.body.bias).mean(0)
    assert torch.allclose(module.norm.running_mean, mean, atol=1e-5)
    first = objective.at((0.25,)).test.loss
    objective.at((1.0,))
    assert Objective(spanned, task, Scoring(batch=32)).at((0.25,)).test.loss == first


def test_adapters_that_scale_a_layer_otherwise_meet_in_product_space_only(
    tuned, sentiment, tmp_path
):
    other = tuned["lora-2"].parent / "lora-scaled"
    shutil.copytree(tuned["lora-2"], other)
    config = json.loads((other / "adapter_config.json").read_text())
    layer = "encoder.layer.0.attention.self.query"
    (other / "adapter_config.json").write_text(json.dumps(config | {"alpha_pattern": {layer: 64}}))
    with pytest.raises(MismatchedModels, match=r"scale their factors differently \(layer"):
        open_span([tuned["lora-1"], other], sentiment, **CPU)
    spanned = open_span([tuned["lora-1"], other], sentiment, space="product", **CPU)
    assert losses(spanned, sentiment, (1.0,)) == pytest.approx([alone(other, sentiment)], abs=1e-5)
