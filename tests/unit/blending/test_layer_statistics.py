import json
import logging

import pytest
import torch

from weightscape.blending import layer_statistics
from weightscape.blending.fisher import fisher_average
from weightscape.blending.fisher_diagonals import fisher_diagonals
from weightscape.blending.input_grams import input_grams
from weightscape.blending.layer_statistics import (
    fisher_average_of_span,
    regmean_of_span,
    span_fishers,
    span_grams,
)
from weightscape.blending.regmean import regmean
from weightscape.errors import BadInput
from weightscape.io.discovery import discover
from weightscape.tasks.evaluate import evaluate
from weightscape.tasks.spanning import open_span


@pytest.fixture
def models(small_bert):
    return [small_bert(seed) for seed in range(3)]


@pytest.fixture
def spanned(models, reviews):
    return open_span(models, reviews, head="own")


@pytest.fixture
def counted(monkeypatch):
    """Count how often statistics are computed."""
    runs = []
    for name in ("input_grams", "fisher_diagonals"):
        real = getattr(layer_statistics, name)

        def counting(*given, real=real, name=name, **more):
            runs.append(name)
            return real(*given, **more)

        monkeypatch.setattr(layer_statistics, name, counting)
    return runs


def test_a_merge_of_a_span_is_that_of_its_models(models, spanned, reviews):
    states = [model.module.state_dict() for model in models]
    grams, fishers = span_grams(spanned, reviews), span_fishers(spanned, reviews)
    merges = [
        (
            regmean_of_span(spanned, grams),
            regmean(states, [input_grams(model, reviews) for model in models]),
        ),
        (
            fisher_average_of_span(spanned, fishers),
            fisher_average(states, [fisher_diagonals(model, reviews) for model in models]),
        ),
    ]
    for found, wanted in merges:
        for name, tensor in dict(wanted).items():
            if name in spanned.span.names:
                assert torch.allclose(found[name], tensor, atol=1e-5), name
    longer = spanned.with_model("RegMean", merges[0][0])
    longer.span.write(longer.span.vertex(3), longer.model.module)
    assert evaluate(longer.model, reviews).loss > 0
    assert longer.names[-1] == "RegMean"


def test_some_models_can_be_merged_with_tasks_of_their_own(models, spanned, reviews):
    turned = reviews.subset("train", rows=range(4))
    grams = span_grams(spanned, [reviews, turned], members=[0, 2])
    assert torch.equal(
        grams[1].grams["bert.pooler.dense.weight"],
        input_grams(models[2], turned).grams["bert.pooler.dense.weight"],
    )
    merged = regmean_of_span(spanned, grams, members=[0, 2], weights=[0, 1])
    pooler = "bert.pooler.dense.weight"
    assert torch.allclose(merged[pooler], models[2].module.state_dict()[pooler], atol=1e-4)


def test_statistics_are_computed_once_a_model_and_task(models, spanned, reviews, tmp_path, counted):
    first = span_grams(spanned, reviews, folder=tmp_path)
    fishers = span_fishers(spanned, reviews, folder=tmp_path)
    assert counted == ["input_grams"] * 3 + ["fisher_diagonals"] * 3
    # another span of other models that has one of them
    other = open_span([models[2], models[1]], reviews, head="own")
    again = span_grams(other, reviews, folder=tmp_path)
    assert len(counted) == 6
    for one, two in zip(first[1:], reversed(again), strict=True):
        assert one.inputs == two.inputs and one.grams.keys() == two.grams.keys()
        assert all(torch.equal(one.grams[name], two.grams[name]) for name in one.grams)
    kept = span_fishers(other, reviews, folder=tmp_path)[1]
    assert kept.answers == fishers[1].answers and kept.rows == fishers[1].rows
    assert all(torch.equal(it, kept.diagonals[name]) for name, it in fishers[1].diagonals.items())
    span_grams(other, reviews, folder=tmp_path, rows=4)
    span_fishers(other, reviews, folder=tmp_path, seed=1)
    span_grams(other, reviews.subset("train", rows=range(5)), folder=tmp_path)
    assert len(counted) == 12
    found, _ = discover([tmp_path])
    assert not found and not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("harm", ["cut", "other", "shape", "nan", "told", "lost"])
def test_damaged_statistics_are_computed_anew(spanned, reviews, tmp_path, counted, harm, caplog):
    span_grams(spanned, reviews, folder=tmp_path, members=[0])
    (place,) = tmp_path.iterdir()
    weights, told = place / "model.safetensors", place / "statistics.json"
    said = json.loads(told.read_text())
    if harm == "cut":
        weights.write_bytes(weights.read_bytes()[:-9])
    elif harm == "other":
        told.write_text(json.dumps(said | {"identity": {**said["identity"], "rows": 3}}))
    elif harm == "told":
        told.write_text(json.dumps(said | {"told": {"inputs": 3}}))
    elif harm == "lost":
        told.unlink()
    else:
        from safetensors.torch import load_file, save_file

        tensors = load_file(weights)
        name = next(iter(tensors))
        wrong = torch.eye(3) if harm == "shape" else torch.full_like(tensors[name], torch.nan)
        save_file({**tensors, name: wrong}, weights)
    with caplog.at_level(logging.WARNING):
        found = span_grams(spanned, reviews, folder=tmp_path, members=[0])
    assert "computed anew" in caplog.text
    assert counted == ["input_grams"] * 2
    assert torch.isfinite(found[0].grams["bert.pooler.dense.weight"]).all()
    span_grams(spanned, reviews, folder=tmp_path, members=[0])
    assert len(counted) == 2 and len(list(tmp_path.iterdir())) == 1


def test_a_probe_answers_where_heads_are_left_out(models, reviews, tmp_path, counted):
    probed = open_span(models[:2], reviews, head="probe")
    assert not any(name.startswith("classifier") for name in probed.span.names)
    fishers = span_fishers(probed, reviews, folder=tmp_path)
    grams = span_grams(probed, reviews, folder=tmp_path)
    for statistics in (fishers[0].diagonals, grams[0].grams):
        assert not any(name.startswith("classifier") for name in statistics)
    query = "bert.encoder.layer.0.attention.self.query.weight"
    assert fishers[0].diagonals[query].any()
    # its head has no say: the same model with another is the same model
    models[0].module.classifier.weight.data.add_(1.0)
    again = open_span([models[0], models[1]], reviews, head="probe")
    span_grams(again, reviews, folder=tmp_path)
    span_fishers(again, reviews, folder=tmp_path)
    assert len(counted) == 4
    merged = fisher_average_of_span(probed, fishers)
    assert merged.keys() == set(probed.span.names)


def test_members_and_tasks_must_fit(spanned, reviews):
    with pytest.raises(BadInput, match="one for each of 3 models, not 2"):
        span_grams(spanned, [reviews, reviews])
    with pytest.raises(BadInput, match="each of them once"):
        span_grams(spanned, reviews, members=[1, 1])
    with pytest.raises(BadInput, match="term 7"):
        regmean_of_span(spanned, [], members=[7])


def test_names_that_are_one_tensor_in_the_module_get_one_average(spanned, reviews):
    grams, fishers = span_grams(spanned, reviews), span_fishers(spanned, reviews)
    names = dict(spanned.model.module.named_parameters())
    one = next(name for name in names if name.endswith("query.weight"))
    other = one.replace("query", "key")
    assert not torch.equal(*(fisher_average_of_span(spanned, fishers)[it] for it in (one, other)))
    owner = spanned.model.module.get_submodule(other.removesuffix(".weight"))
    owner.weight = names[one]
    for merged in (regmean_of_span(spanned, grams), fisher_average_of_span(spanned, fishers)):
        assert torch.equal(merged[one], merged[other])
        assert len(merged) == len(spanned.span.names)
