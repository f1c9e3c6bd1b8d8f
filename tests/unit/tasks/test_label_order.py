"""Two runs that number the same labels differently."""

import dataclasses
import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from weightscape.errors import BadInput
from weightscape.tasks.evaluate import evaluate
from weightscape.tasks.fine_tune import fine_tune
from weightscape.tasks.fine_tuning import FineTuning
from weightscape.tasks.models import load_model
from weightscape.tasks.objective import Objective, Scoring
from weightscape.tasks.spanning import open_span

CPU = {"device": "cpu"}
HOW = FineTuning(lr=1e-2, steps=12, batch=8)


def alone(folder, task):
    return evaluate(load_model(folder, task, **CPU), task).loss


@pytest.fixture(scope="module")
def one(tiny_base, sentiment):
    return fine_tune(tiny_base, sentiment, tiny_base.parent / "ordered", HOW).folder


@pytest.fixture(scope="module")
def turned(one):
    """The same model, its labels numbered the other way round."""
    folder = one.parent / "turned"
    shutil.copytree(one, folder)
    tensors = load_file(folder / "model.safetensors")
    for name in ("classifier.weight", "classifier.bias"):
        tensors[name] = tensors[name].flip(0).contiguous()
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((folder / "config.json").read_text())
    names = list(reversed(list(config["id2label"].values())))
    config |= {
        "id2label": dict(enumerate(names)),
        "label2id": {name: i for i, name in enumerate(names)},
    }
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def test_heads_are_put_in_the_order_of_the_task(one, turned, sentiment):
    for sources in ([one, turned], [turned, one]):
        spanned = open_span(sources, sentiment, **CPU)
        assert spanned.head == "own"
        assert spanned.names == tuple(it.name for it in sources)
        # all that was told apart is equal now: no tensor moves
        assert spanned.span.names == () and spanned.fingerprints[0] == spanned.fingerprints[1]
        assert list(spanned.model.module.config.id2label.values()) == list(sentiment.labels)
        known = Objective(spanned, sentiment, Scoring(limit=None)).at((0.5,)).test
        assert known.loss == alone(one, sentiment)


def test_a_live_model_in_another_order_is_left_as_it_is(one, turned, sentiment):
    other = dataclasses.replace(sentiment, labels=sentiment.labels[::-1])
    live = load_model(turned, other, **CPU)
    assert live.labels == other.labels
    before = {name: tensor.clone() for name, tensor in live.module.state_dict().items()}
    for sources in ([live, one], [one, live]):
        spanned = open_span(sources, sentiment, head="own", **CPU)
        assert spanned.span.names == ()
    for name, tensor in live.module.state_dict().items():
        assert torch.equal(tensor, before[name])


def test_a_lent_head_is_put_in_order_too(one, turned, sentiment):
    spanned = open_span([one, one], sentiment, head=turned, **CPU)
    found = Objective(spanned, sentiment, Scoring(limit=None)).at((0.0,)).test
    assert found.loss == alone(one, sentiment)


def test_adapters_heads_are_put_in_order(tiny_base, sentiment):
    how = dataclasses.replace(HOW, method="lora", rank=2, steps=4)
    folder = fine_tune(tiny_base, sentiment, tiny_base.parent / "ordered-lora", how).folder
    other = folder.parent / "turned-lora"
    shutil.copytree(folder, other)
    tensors = load_file(other / "adapter_model.safetensors")
    heads = [name for name in tensors if "classifier" in name]
    assert heads
    for name in heads:
        tensors[name] = tensors[name].flip(0).contiguous()
    save_file(tensors, other / "adapter_model.safetensors")
    for file in ("provenance.json", "adapter_config.json"):
        told = json.loads((other / file).read_text())
        if "labels" in told:
            (other / file).write_text(json.dumps(told | {"labels": told["labels"][::-1]}))
    for space in ("factor", "product"):
        spanned = open_span([folder, other], sentiment, space=space, **CPU)
        assert (spanned.head, spanned.span.names) == ("own", ())


def test_heads_made_for_other_labels_are_no_own_heads(one, sentiment):
    renamed = dataclasses.replace(sentiment, labels=("nay", "yea"))
    with pytest.raises(BadInput, match="ordered has no head of its own for the labels"):
        open_span([one, one], renamed, head="own", **CPU)
    live = load_model(one, sentiment, **CPU)
    with pytest.raises(BadInput, match="its head answers"):
        open_span([live, one], renamed, head="own", **CPU)
