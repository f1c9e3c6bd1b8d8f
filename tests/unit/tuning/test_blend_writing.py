import json

import numpy as np
import pytest
import torch
from blended_lookers import reviews, tuned_readers

from weightscape.errors import BadInput
from weightscape.io import open_checkpoint
from weightscape.tasks.evaluate import evaluate
from weightscape.tasks.models import load_model
from weightscape.tasks.spanning import open_span
from weightscape.tuning.blend_writing import write_blend
from weightscape.tuning.space_choice import layer_groups

WEIGHTS = np.array([0.2, 0.5, 0.3])


@pytest.fixture(scope="module")
def spanned(tmp_path_factory):
    folder = tmp_path_factory.mktemp("readers")
    return open_span(tuned_readers(folder, 3), reviews(), device="cpu", head="own")


def test_a_blend_is_the_exact_sum_head_and_all(spanned, tmp_path):
    out = write_blend(spanned, WEIGHTS, reviews(), tmp_path / "blend", {"sampler": "cma-es"})
    with open_checkpoint(out) as stored:
        for name in ("classifier.weight", "bert.encoder.layer.0.output.dense.weight"):
            each = [spanned.span.held(place)[name].double() for place in range(3)]
            exact = sum(w * it for w, it in zip(WEIGHTS.tolist(), each, strict=True))
            assert torch.allclose(stored.tensor(name).double(), exact, rtol=1e-7, atol=1e-9)
    told = json.loads((out / "provenance.json").read_text())
    assert told["parents"] == {"0": 0.2, "1": 0.5, "2": 0.3}
    assert told["kind"] == "blend" and told["sampler"] == "cma-es" and told["task"] == "reviews"


def test_a_blend_is_an_ordinary_model(spanned, tmp_path):
    out = write_blend(spanned, WEIGHTS, reviews(), tmp_path / "blend", {})
    model = load_model(out, reviews(), device="cpu")
    assert model.labels == reviews().labels and not model.drawn
    spanned.span.write(WEIGHTS[1:], spanned.model.module)
    assert evaluate(model, reviews()).loss == pytest.approx(evaluate(spanned.model, reviews()).loss)


def test_layers_have_weights_of_their_own(spanned, tmp_path):
    layers, groups = layer_groups(spanned.span.names, spanned.model.head)
    assert groups[-1] == "classifier" and len(set(groups)) == len(groups)
    rows = np.eye(3)[np.arange(len(groups)) % 3]
    out = write_blend(
        spanned, rows, reviews(), tmp_path / "blend", {}, layers=layers, groups=groups
    )
    with open_checkpoint(out) as stored:
        for name in spanned.span.names:
            source = spanned.span.held(layers[name] % 3)[name]
            assert torch.equal(stored.tensor(name), source)
    told = json.loads((out / "provenance.json").read_text())
    assert [it["group"] for it in told["layers"]] == list(groups)
    assert told["layers"][1]["weights"] == {"0": 0.0, "1": 1.0, "2": 0.0}


def test_only_a_blend_for_the_same_task_is_replaced(spanned, tmp_path):
    out = write_blend(spanned, WEIGHTS, reviews(), tmp_path / "blend", {})
    write_blend(spanned, WEIGHTS[::-1], reviews(), out, {})
    assert json.loads((out / "provenance.json").read_text())["parents"]["0"] == 0.3
    (out / "notes.txt").write_text("mine")
    with pytest.raises(BadInput, match="worked on since"):
        write_blend(spanned, WEIGHTS, reviews(), out, {})
    taken = tmp_path / "taken"
    taken.mkdir()
    (taken / "model.safetensors").write_text("another")
    with pytest.raises(BadInput, match="is there already"):
        write_blend(spanned, WEIGHTS, reviews(), taken, {})
