import json
import shutil
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from tiny_text import TEXTS, tiny_bert
from weightscape.errors import BadInput
from weightscape.io import discover, open_checkpoint
from weightscape.zoo import probes
from weightscape.zoo.probes_classes import FineClass
from weightscape.zoo.probes_digits import train_digits_model
from weightscape.zoo.probes_features import features_of, load_features
from weightscape.zoo.probes_layer import LastLayer, build_layer, fill_layer, renumber
from weightscape.zoo.probes_plan import ProbeTraining
from weightscape.zoo.probes_text import Base, train_text_model
from weightscape.zoo.truth import read_truth

OPTIONS = {"models": 24, "adapters": 2, "root_steps": 20, "epochs": 0.4, "max_tokens": 12}


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return tiny_bert(tmp_path_factory.mktemp("bases") / "tiny")


@pytest.fixture(scope="module")
def make(base):
    """Make a probes zoo of eight classes that one word decides, on a tiny base."""
    words = TEXTS[:8]
    classes = tuple(
        FineClass(
            f"class {word}",
            "one" if number < 4 else "two",
            tuple(f"a {word} {other}" for other in TEXTS[8:20]),
            tuple(f"the {word} {other}" for other in TEXTS[8:14]),
        )
        for number, word in enumerate(words)
    )

    def made(folder, **changes):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(probes, "packaged_model", lambda name, progress: base)
            patch.setattr(probes, "fetch_wheel", lambda name, progress: None)
            patch.setattr(probes, "fine_classes", lambda sources, most, rows: classes)
            return probes.make_probes_zoo(folder, preset="small", workers=1, **OPTIONS | changes)

    return made


@pytest.fixture(scope="module")
def zoo(make, tmp_path_factory):
    folder = tmp_path_factory.mktemp("zoos") / "probes"
    before = torch.get_rng_state()
    truth = make(folder)
    assert torch.equal(torch.get_rng_state(), before)
    return folder, truth


def test_three_trees_and_adapters_and_nothing_else_are_found(zoo):
    folder, truth = zoo
    found, _ = discover([folder])
    assert sorted(model.name for model in found) == sorted(truth.models)
    assert read_truth(folder) == truth
    trees = [model.tree for model in truth.models.values()]
    assert {tree: trees.count(tree) for tree in trees} == {
        "text-a": 13,
        "digits": 7,
        "text-b": 7,
        "adapters": 16,
    }
    assert sorted(truth.roots) == ["digits", "text-a", "text-b"]


def test_each_model_knows_half_of_the_classes_and_an_adapter_one(zoo):
    _, truth = zoo
    for model in truth.models.values():
        if model.parents:
            known = {"adapters": 1, "digits": 5}.get(
                model.tree, 4 if model.split == "unseen" else 3
            )
            assert len(set(model.classes)) == known
    assert len({tuple(m.classes) for m in truth.models.values() if m.tree == "text-a"}) > 6


def test_only_models_of_the_unseen_split_know_held_out_classes(zoo):
    _, truth = zoo
    assert len(truth.unseen) == 2
    for model in truth.models.values():
        if model.split is not None:
            assert (model.split == "unseen") == bool(set(model.classes) & set(truth.unseen))
    for tree in ("text-a", "adapters"):
        splits = {m.split for m in truth.models.values() if m.tree == tree}
        assert splits >= {"train", "test", "unseen"}


def test_models_share_one_copy_of_what_is_frozen(zoo):
    folder, truth = zoo
    shards = [folder / n / "model-00001-of-00002.safetensors" for n in truth.models if "text" in n]
    assert len({shard.stat().st_ino for shard in shards}) == 1
    first, second = (open_checkpoint(folder / name) for name in ("text-a-0001", "text-b-0001"))
    assert set(first.tensors) == set(second.tensors)
    same = {name for name in first.tensors if torch.equal(first.tensor(name), second.tensor(name))}
    changed = set(first.tensors) - same
    assert all("layer.1." in n or "pooler" in n or "classifier" in n for n in changed)
    assert not any("query" in name or "key" in name for name in changed)


def test_text_models_compute_what_they_were_trained_to_compute(zoo, base):
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    folder, _ = zoo
    texts = ["a bird", "the stone is a house", "fish"]
    model = AutoModelForSequenceClassification.from_pretrained(folder / "text-b-0001").eval()
    tokens = AutoTokenizer.from_pretrained(folder / "text-b-0001")(
        texts, padding=True, return_tensors="pt"
    )
    with torch.no_grad():
        wanted = model(**tokens).logits
    read = features_of(base, texts, max_tokens=12)
    layer = build_layer(json.loads((base / "config.json").read_text()), wanted.shape[1])
    fill_layer(layer, folder / "text-b-0001", 2)
    layer.classifier.load_state_dict(model.classifier.state_dict())
    with torch.no_grad():
        got = layer(read["first"], read["mixed"].float())
    assert torch.allclose(got, wanted, atol=1e-4)  # the features are kept in half precision


@pytest.mark.parametrize(("rank", "known", "others"), [(0, [0, 2, 5], ()), (6, [4], [1, 2, 3])])
def test_a_text_model_learns_its_classes(zoo, base, rank, known, others):
    folder, _ = zoo
    shared = Base(base, folder / ".zoo" / "shared")
    features = load_features(folder / ".zoo" / "features.safetensors")
    training = ProbeTraining("text-a", "train", (), 60, 24, 1e-2, 0.0, 1, 2, 3, rank)
    _, scores = train_text_model(shared, base, features, training, known, others)
    assert scores["accuracy"] > 0.7


def test_a_digits_model_learns_its_digits():
    training = ProbeTraining(
        "digits", "train", ("digit 1", "digit 4", "digit 0"), 60, 48, 5e-3, 0.0, 1, 2, 3
    )
    _, scores = train_digits_model(training, None)
    assert scores["accuracy"] > 0.6


def test_adapters_change_one_matrix_of_the_first_root(zoo):
    folder, truth = zoo
    for name, model in truth.models.items():
        if model.tree != "adapters":
            continue
        tensors = load_file(folder / name / "adapter_model.safetensors")
        config = json.loads((folder / name / "adapter_config.json").read_text())
        assert config["base_model_name_or_path"] == "text-a" == model.parents[0]
        stem = "base_model.model.bert.encoder.layer.1.output.dense"
        rank = model.recipe["rank"]
        assert tensors[f"{stem}.lora_A.weight"].shape == (rank, 32)
        assert tensors[f"{stem}.lora_B.weight"].shape == (16, rank)
        assert 4 <= config["r"] == rank <= 8
        assert len(tensors) == 4


def test_nothing_tells_what_a_model_knows_unless_it_may(zoo, make, tmp_path):
    folder, _ = zoo
    for file in folder.rglob("*.json"):
        if ".zoo" not in file.parts and file.name not in ("truth.json", "tokenizer.json"):
            assert "class " not in file.read_text() and "digit " not in file.read_text()
    assert not list(folder.rglob("provenance.json"))
    truth = make(tmp_path / "zoo", declare=True, adapters=1)
    for name in ("text-a-0001", "digits-0001", "adapter-0001"):
        known = truth.models[name].classes
        told = json.loads((tmp_path / "zoo" / name / "provenance.json").read_text())
        assert told["classes"] == known and told["parent"] == truth.models[name].parents[0]
    config = json.loads((tmp_path / "zoo" / "text-a-0001" / "config.json").read_text())
    assert list(config["id2label"].values()) == truth.models["text-a-0001"].classes
    stored = open_checkpoint(tmp_path / "zoo" / "text-a-0001")
    assert json.loads(stored.metadata["classes"]) == truth.models["text-a-0001"].classes


def test_the_control_has_no_roots_and_starts_that_are_not_alike(zoo, make, tmp_path):
    folder, truth = zoo
    control = make(tmp_path / "zoo", random_init=True)
    assert not control.edges and len(control.models) == 24
    for name, model in control.models.items():
        # the same models but for their starts
        assert model.classes == truth.models[name].classes
        assert model.recipe == truth.models[name].recipe
    for matrix in ("bert.encoder.layer.1.output.dense.weight", "bert.pooler.dense.weight"):
        one, two = (
            open_checkpoint(tmp_path / "zoo" / name).tensor(matrix).flatten()
            for name in ("text-a-0001", "text-a-0002")
        )
        assert abs(torch.cosine_similarity(one, two, dim=0)) < 0.3
        one, two = (
            open_checkpoint(folder / name).tensor(matrix).flatten()
            for name in ("text-a-0001", "text-a-0002")
        )
        assert torch.cosine_similarity(one, two, dim=0) > 0.8


def test_renumbered_neurons_compute_the_same_from_renumbered_inputs():
    layer = LastLayer(8, 12, 2, 3, 1e-12)
    noise = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in layer.parameters():  # biases and norms as well
            parameter.normal_(std=0.5, generator=noise)
    first, mixed = torch.randn(5, 8, generator=noise), torch.randn(5, 2, 8, generator=noise)
    before = layer(first, mixed)
    order, heads = renumber(layer, 1)
    assert torch.allclose(layer(first[:, order], mixed[:, heads][:, :, order]), before, atol=1e-5)
    assert not torch.allclose(layer(first, mixed), before, atol=1e-2)


def test_a_zoo_that_was_interrupted_comes_out_the_same(zoo, make, tmp_path):
    folder, truth = zoo
    again = tmp_path / "zoo"
    shutil.copytree(folder, again)
    (again / "truth.json").unlink()
    for name in ("text-a-0002", "text-b-0001", "digits-0003", "adapter-0003"):
        (again / ".zoo" / f"{name}.json").unlink()  # killed before the scores were noted
    shutil.rmtree(again / "digits-0003")
    assert make(again) == truth
    for name in ("text-a-0002", "text-b-0001", "digits-0003", "adapter-0003"):
        for file in (again / name).glob("*.safetensors"):
            assert file.read_bytes() == (folder / name / file.name).read_bytes()
    with pytest.raises(BadInput, match="other options"):
        make(again, seed=1)


@pytest.mark.parametrize("options", [{"models": 5}, {"adapters": -1}, {"epochs": 0}])
def test_probes_zoos_that_make_no_sense(tmp_path, options):
    with pytest.raises(BadInput, match="24 models or more"):
        probes.make_probes_zoo(tmp_path / "zoo", **options)
    assert not (tmp_path / "zoo").exists()


def test_the_estimate_grows_with_the_zoo():
    full, small = probes.estimate(), probes.estimate("small")
    assert full.models == 643 + 5 * 91 and full.seconds > 10 * small.seconds
    assert full.disk < 5e9 < 90_000_000 * full.models  # what hard links save
    alone = replace(full, seconds=probes.estimate(workers=1).seconds)
    assert alone.seconds > 1.5 * full.seconds
