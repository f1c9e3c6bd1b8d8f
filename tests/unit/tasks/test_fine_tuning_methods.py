"""What each method trains, what it leaves alone, and what it writes."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from weightscape.errors import BadInput
from weightscape.io import open_checkpoint
from weightscape.tasks.adapters import load_adapter, merge_adapter
from weightscape.tasks.arrays import task_from_arrays as made
from weightscape.tasks.evaluate import evaluate
from weightscape.tasks.fine_tune import FineTuning, fine_tune
from weightscape.tasks.live import LiveModel
from weightscape.tasks.methods import attach
from weightscape.tasks.models import load_model
from weightscape.tasks.processors import ArrayProcessor

ADAPTERS = ("lora", "adapter", "prefix")
METHODS = ("full", "bitfit", "head", *ADAPTERS)
HOW = FineTuning(steps=60, lr=1e-2, prefix_tokens=4, init_std=0.05)


@pytest.fixture(scope="module")
def swapped(sentiment):
    """The same reviews by other names of labels, so that every head is drawn anew."""
    return replace(sentiment, name="swapped", labels=("awful", "great"))


@pytest.fixture(scope="module")
def base(tiny_base, sentiment, tmp_path_factory):
    """A model whose features tell the reviews apart: a head can be learned on it in no time."""
    out = tmp_path_factory.mktemp("methods") / "base"
    return fine_tune(tiny_base, sentiment, out, FineTuning(steps=60, lr=3e-3)).folder


@pytest.fixture(scope="module")
def trained(base, swapped, tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    return {
        method: fine_tune(base, swapped, folder / method, replace(HOW, method=method))
        for method in METHODS
    }


def weights(folder):
    return load_file(folder / "model.safetensors")


@pytest.mark.parametrize("method", METHODS)
def test_every_method_learns_and_its_folder_gives_the_same_scores(trained, base, swapped, method):
    done = trained[method]
    assert done.scores.metrics["accuracy"] == 1
    model = load_model(done.folder, swapped)
    assert (model.adapted is not None) == (method in ADAPTERS)
    assert (model.adapted or set()) <= set(model.module.state_dict())
    assert evaluate(model, swapped).loss == pytest.approx(done.scores.loss, abs=1e-6)
    told = json.loads((done.folder / "provenance.json").read_text())
    where = str(base) if method in ADAPTERS else "base"  # not a sibling of what was made of it
    assert (told["parent"], told["method"]) == (where, method)


def test_bias_terms_alone_and_the_head_alone(trained, base):
    before = weights(base)
    for method in ("bitfit", "head"):
        for name, tensor in weights(trained[method].folder).items():
            moves = name.startswith("classifier") or (method == "bitfit" and name.endswith("bias"))
            assert torch.equal(tensor, before[name]) != moves, (method, name)


@pytest.mark.parametrize("method", ADAPTERS)
def test_what_is_added_leaves_the_base_as_it_is(base, swapped, method):
    model = attach(load_model(base, swapped), replace(HOW, method=method), swapped)
    trainable = {name for name, p in model.module.named_parameters() if p.requires_grad}
    assert trainable == model.adapted
    others = [
        tensor
        for name, tensor in model.module.state_dict().items()
        if name not in model.adapted and "original_module" not in name
    ]
    stored = {name: t for name, t in weights(base).items() if not name.startswith("classifier")}
    assert all(any(torch.equal(one, it) for it in stored.values()) for one in others)
    assert all(any(torch.equal(one, it) for it in others) for one in stored.values())
    with pytest.raises(BadInput, match="carries an adapter already"):
        attach(model, HOW, swapped)


@pytest.mark.parametrize("method", ADAPTERS)
def test_the_initialisation_follows_its_seed_only(base, swapped, method):
    def begun(seed):
        torch.manual_seed(int(torch.randint(99, ())))
        how = replace(HOW, method=method, init_seed=seed)
        model = attach(load_model(base, swapped, init_seed=3), how, swapped)
        state = model.module.state_dict()
        return {name: state[name] for name in model.adapted if "classifier" not in name}

    first, again, other = begun(1), begun(1), begun(2)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


def test_lora_can_be_merged_and_the_others_say_that_they_cannot(base, swapped, trained):
    model = load_model(base, swapped)
    module, _ = load_adapter(model.module, trained["lora"].folder)
    whole = replace(model, module=merge_adapter(module))
    assert evaluate(whole, swapped).loss == pytest.approx(trained["lora"].scores.loss, abs=1e-5)
    for method in ("adapter", "prefix"):
        module, _ = load_adapter(load_model(base, swapped).module, trained[method].folder)
        with pytest.raises(BadInput, match="only LoRA can be merged"):
            merge_adapter(module)
        with pytest.raises(BadInput, match="only LoRA can be merged"):
            replace(HOW, method=method, merge=True)


def test_a_prefix_needs_positions(tiny_base, sentiment):
    how = replace(HOW, method="prefix", prefix_tokens=8)
    with pytest.raises(
        BadInput, match="need 17 positions, but BertForSequenceClassification has 16"
    ):
        attach(load_model(tiny_base, sentiment), how, sentiment)


@pytest.mark.parametrize("method", ADAPTERS)
def test_adapters_beside_the_weights_open_as_what_they_are(trained, method):
    opened = open_checkpoint(trained[method].folder)
    assert opened.format == {"adapter": "bottleneck"}.get(method, method)
    assert Path(opened.config["base_model_name_or_path"]).name == "base"


class Plain(nn.Module):
    """A small network as somebody might have written it, with batch statistics."""

    def __init__(self):
        super().__init__()
        self.inside = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 8))
        self.head = nn.Linear(8, 2)

    def forward(self, given):
        return self.head(self.inside(given))


@pytest.fixture
def plain():
    rows = torch.randn(64, 4, generator=torch.Generator().manual_seed(0))
    sides = (rows.sum(1) > 0).long().tolist()
    task = made(
        "sides",
        {"train": (rows[:48].numpy(), sides[:48]), "test": (rows[48:].numpy(), sides[48:])},
        labels=("left", "right"),
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = LiveModel("plain", Plain(), ArrayProcessor(), head=("head.",))
    return model, task


def test_a_plain_module_is_trained_by_the_same_loop_and_left_as_it_was(plain, tmp_path):
    model, task = plain
    before = {name: tensor.clone() for name, tensor in model.module.state_dict().items()}
    how = FineTuning(steps=60, lr=2e-2)
    done = fine_tune(model, task, tmp_path / "out", how)
    assert done.scores.metrics["accuracy"] > 0.8
    assert all(torch.equal(before[n], t) for n, t in model.module.state_dict().items())
    moved = weights(done.folder)
    assert not torch.equal(moved["inside.1.running_mean"], before["inside.1.running_mean"])
    (done.folder / "provenance.json").unlink()
    assert fine_tune(model, task, done.folder, how, declare=False).scores == done.scores


@pytest.mark.parametrize("method", ["head", "lora", "adapter"])
def test_what_is_not_trained_of_a_plain_module_keeps_its_statistics(plain, tmp_path, method):
    model, task = plain
    how = FineTuning(method=method, steps=10, places=("inside.3",), merge=method == "lora")
    done = fine_tune(model, task, tmp_path / "out", how)
    stored = open_checkpoint(done.folder)
    for name, tensor in model.module.state_dict().items():
        if name in stored.tensors and not name.startswith(("head.", "inside.3")):
            assert torch.equal(stored.tensor(name), tensor), name
    (done.folder / "provenance.json").unlink()
    again = fine_tune(model, task, done.folder, how, declare=False)
    assert again.scores.loss == pytest.approx(done.scores.loss, abs=1e-6)


def test_places_that_are_nowhere(plain, tmp_path):
    model, task = plain
    for method, places, said in [
        ("lora", (), "are called query"),
        ("lora", ("nowhere*",), "match"),
        ("adapter", (), "known projection"),
        ("adapter", ("inside.2",), "matches"),
    ]:
        with pytest.raises(BadInput, match=said):
            fine_tune(model, task, tmp_path / "o", FineTuning(method=method, places=places))
    assert not (tmp_path / "o").exists()
