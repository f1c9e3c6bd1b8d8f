import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from weightscape.errors import BadCheckpoint, BadInput, MismatchedModels, NotFound
from weightscape.probing.origin import origin_of
from weightscape.probing.saving import load_expert, save_expert
from weightscape.probing.stacks import DenseStack
from weightscape.probing.training import train_expert


@pytest.fixture(scope="module")
def expert(planted, small):
    return train_expert(
        planted.set, planted.labels, planted.vectors, encoder="words", tree="oak", how=small
    )


def test_a_saved_expert_reads_models_as_before(expert, planted, tmp_path):
    save_expert(expert, tmp_path / "oak")
    again = load_expert(tmp_path / "oak")
    texts = torch.stack(list(planted.vectors.values()))
    assert np.array_equal(again.embed(planted.set.stack), expert.embed(planted.set.stack))
    assert np.array_equal(
        again.text_scores(planted.set.stack, texts), expert.text_scores(planted.set.stack, texts)
    )
    assert again.labels == expert.labels == tuple(planted.classes)
    assert (again.tree, again.layer, again.encoder) == ("oak", "layer.weight", "words")
    assert again.metrics == expert.metrics
    assert again.how == expert.how
    assert np.array_equal(again.known.held_out, expert.known.held_out)
    assert np.array_equal(again.known.vectors, expert.known.vectors)


def test_scores_of_stored_vectors_are_those_of_the_layers(expert, planted):
    vectors = expert.embed(planted.set.stack)
    texts = np.stack([it.numpy() for it in planted.vectors.values()])
    assert np.array_equal(
        expert.text_scores_of(vectors, texts), expert.text_scores(planted.set.stack, texts)
    )
    assert expert.text_scores_of(vectors[0], texts[0]).shape == (1, 1)


def test_what_does_not_fit_the_expert_is_refused(expert):
    with pytest.raises(MismatchedModels, match="shape"):
        expert.embed(DenseStack(torch.zeros(1, 20, 23)))
    with pytest.raises(MismatchedModels, match="2 layers were given"):
        expert.embed([DenseStack(torch.zeros(1, 20, 24))] * 2)
    with pytest.raises(BadInput, match="of another expert"):
        expert.label_scores_of(np.zeros((1, 23), np.float32))
    with pytest.raises(BadInput, match="use its encoder, words"):
        expert.text_scores_of(np.zeros((1, 24), np.float32), np.zeros((1, 9), np.float32))
    with pytest.raises(BadInput, match="encoder words, not letters"):
        expert.check_encoder("letters")
    expert.check_encoder("words")


def test_a_folder_without_an_expert_is_said_to_be_so(tmp_path):
    with pytest.raises(NotFound, match="no expert"):
        load_expert(tmp_path)


def change(folder, **values):
    file = folder / "expert.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | values))


def test_an_expert_of_another_format_is_refused_with_what_to_do(expert, tmp_path):
    save_expert(expert, tmp_path)
    change(tmp_path, format=99, made_with="9.9")
    with pytest.raises(BadInput, match="format 99.*use weightscape 9.9"):
        load_expert(tmp_path)


def test_an_expert_whose_training_vectors_were_in_sample_is_refused(expert, tmp_path):
    save_expert(expert, tmp_path)
    change(tmp_path, format=1)
    with pytest.raises(BadInput, match="format 1, but this version reads 2; train it again"):
        load_expert(tmp_path)


def test_what_its_models_began_with_is_kept(expert, planted, tmp_path):
    origin = origin_of("acorn", [planted.base], [planted.set.stack])
    save_expert(replace(expert, origin=origin), tmp_path)
    again = load_expert(tmp_path).origin
    assert (again.name, again.moved) == ("acorn", origin.moved)
    assert torch.equal(again.layers[0], planted.base)
    told = json.loads((tmp_path / "expert.json").read_text())
    assert told["training_vectors"] == "left-out"


def test_an_expert_trained_by_other_settings_is_refused_with_what_to_do(expert, tmp_path):
    save_expert(expert, tmp_path)
    how = json.loads((tmp_path / "expert.json").read_text())["how"]
    del how["way"]
    change(tmp_path, how=how | {"momentum": 0.9})
    with pytest.raises(BadInput, match=r"another version.*\(momentum, way\); train it again"):
        load_expert(tmp_path)


def test_files_that_do_not_belong_together_are_refused(expert, tmp_path):
    save_expert(expert, tmp_path)
    change(tmp_path, tensors="0" * 32)
    with pytest.raises(BadCheckpoint, match="cut short"):
        load_expert(tmp_path)


def test_a_writing_that_fails_leaves_the_expert_of_before(expert, tmp_path, monkeypatch):
    save_expert(expert, tmp_path)
    before = sorted(it.name for it in tmp_path.iterdir())

    def full(*given):
        raise OSError("no space left")

    monkeypatch.setattr("weightscape.probing.files.os.fsync", full)
    with pytest.raises(OSError, match="no space"):
        save_expert(expert, tmp_path)
    assert sorted(it.name for it in tmp_path.iterdir()) == before
    assert load_expert(tmp_path).tree == "oak"


@pytest.mark.parametrize(
    "damage",
    [
        {"labels": "all of them"},
        {"labels": [f"class {n}" for n in range(9)]},
        {"labels": ["class 0"] * 8},
        {"labels": [7] * 8},
        {"layers": []},
        {"text_size": 0},
        {"text_size": 10**9},
        {"encoder": None},
        {"models": ["one"]},
        {"held_out": [10**6]},
        {"held_out": ["a"]},
        {"held_out": [2**70]},
        {"held_out": [-1]},
        {"held_out": [3, 3]},
        {"held_out": [True]},
        {"held_out": []},
        {"held_out": list(range(160))},
        {"origin": {"name": "acorn", "moved": [1.0]}},
        {"origin": {"name": "acorn", "moved": []}},
        {"normalisings": [{"centred": True, "sized": True, "scale": 10**400, "kept": 1.0}]},
        {"metrics": {"label_auc": 10**400}},
        {"metrics": {"label_auc": float("nan")}},
        {"normalisings": [{"centred": True, "scale": 0.0, "kept": 1.0}]},
        {"normalisings": [{"centred": True, "scale": float("nan"), "kept": 1.0}]},
        {"label_calibration": {"slope": -1.0, "shift": 0.0}},
        {"how": {}},
        {"how": {"width": 10**12}},
        {"how": {"width": 23}},
        {"how": {"way": "guessing"}},
        {"metrics": {"accuracy": "high"}},
        {"tree": None},
        {"made_with": 3},
    ],
    ids=lambda it: next(iter(it)),
)
def test_no_word_of_a_stranger_s_expert_is_believed(expert, tmp_path, damage):
    save_expert(expert, tmp_path)
    if "how" in damage:
        told = json.loads((tmp_path / "expert.json").read_text())["how"]
        damage = {"how": (told | damage["how"]) if damage["how"] else {}}
    change(tmp_path, **damage)
    with pytest.raises((BadCheckpoint, BadInput)):
        load_expert(tmp_path)
