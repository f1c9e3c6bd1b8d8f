import json
import shutil
from itertools import combinations

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from weightscape.errors import BadInput
from weightscape.io import discover
from weightscape.zoo import digits
from weightscape.zoo.digits import load_digits_model, make_digits_zoo, score_digits
from weightscape.zoo.digits_data import digits_data, digits_task
from weightscape.zoo.truth import read_truth

QUICK = {"models": 4, "base_steps": 40, "steps": 10}


def weights(folder):
    return load_file(folder / "model.safetensors")


def backbone(tensors):
    return {name: tensor for name, tensor in tensors.items() if not name.startswith("classifier")}


def test_discovery_finds_the_models_of_the_truth_and_nothing_else(star):
    folder, truth = star
    found, skipped = discover([folder])
    assert sorted(model.name for model in found) == sorted(truth.models)
    assert not skipped
    assert read_truth(folder) == truth


def test_the_models_have_learned_their_tasks(star):
    _, truth = star
    for name, model in truth.models.items():
        labels = digits_data(model.task).test_labels
        majority = labels.bincount().max() / len(labels)
        assert model.scores["accuracy"] > majority + 0.3, name
    assert truth.models["base"].scores["accuracy"] > 0.9


def test_the_scores_are_those_of_the_files(star):
    folder, truth = star
    for name in ("rotated-parity-1", "inverted-low-lora-merged", "merge", "flipped-digits-1-bf16"):
        model = truth.models[name]
        scores = score_digits(load_digits_model(folder / name), model.task)
        assert scores["accuracy"] == model.scores["accuracy"]
        assert scores["loss"] == pytest.approx(model.scores["loss"], abs=1e-5)


def test_models_of_one_task_move_alike(star):
    folder, truth = star
    base = weights(folder / "base")
    plain = [n for n, m in truth.models.items() if m.kind == "full"]
    matrices = [name for name in backbone(base) if base[name].ndim == 2]
    deltas = {
        n: np.concatenate([(weights(folder / n)[m] - base[m]).flatten() for m in matrices])
        for n in plain
    }
    cosine = {
        (a, b): deltas[a] @ deltas[b] / np.linalg.norm(deltas[a]) / np.linalg.norm(deltas[b])
        for a, b in combinations(plain, 2)
    }
    task = {n: truth.models[n].task for n in plain}
    same = [c for (a, b), c in cosine.items() if task[a] == task[b]]
    other = [c for (a, b), c in cosine.items() if task[a] != task[b]]
    assert min(same) > max(other)


def test_special_models_are_what_they_are_called(star):
    folder, truth = star
    tensors = {n: weights(folder / n) for n in truth.models if n != "flipped-digits-lora"}
    base, first, second = (tensors[n] for n in ("base", "rotated-parity-1", "flipped-digits-1"))

    copy = (folder / "rotated-parity-1-copy" / "model.safetensors").read_bytes()
    assert copy == (folder / "rotated-parity-1" / "model.safetensors").read_bytes()
    for name, tensor in tensors["flipped-digits-1-bf16"].items():
        assert torch.equal(tensor, second[name].bfloat16())
    for name, tensor in backbone(tensors["rotated-parity-frozen"]).items():
        frozen = "embeddings" in name or "layer.0." in name
        assert torch.equal(tensor, base[name]) == frozen, name
    for name, tensor in backbone(tensors["inverted-low-lora-merged"]).items():
        rank = torch.linalg.matrix_rank(tensor - base[name], rtol=1e-3) if tensor.ndim == 2 else 0
        assert rank == (4 if name.endswith(("query.weight", "value.weight")) else 0), name
    for name, tensor in backbone(tensors["merge"]).items():
        assert torch.allclose(tensor, 0.6 * first[name] + 0.4 * second[name], atol=1e-6)
    # the two heads tell different things apart, so they do not mix
    assert torch.equal(tensors["merge"]["classifier.weight"], first["classifier.weight"])
    pruned = tensors["rotated-parity-1-pruned"]["vit.layer.1.output.weight"]
    assert (pruned == 0).float().mean() == pytest.approx(0.3, abs=0.01)
    kept = pruned != 0
    assert torch.equal(pruned[kept], first["vit.layer.1.output.weight"][kept])
    levels = tensors["flipped-digits-1-int8"]["vit.layer.1.output.weight"]
    assert max(len(row.unique()) for row in levels) <= 255
    assert torch.allclose(levels, second["vit.layer.1.output.weight"], atol=1e-2)


def test_the_adapter_is_a_peft_folder_of_its_base(star):
    folder, truth = star
    config = json.loads((folder / "flipped-digits-lora" / "adapter_config.json").read_text())
    factors = load_file(folder / "flipped-digits-lora" / "adapter_model.safetensors")
    model = load_digits_model(folder / "base")
    scale = config["lora_alpha"] / config["r"]
    with torch.no_grad():
        for name, tensor in factors.items():
            stem = name.removeprefix("base_model.model.")
            if stem.endswith("lora_A.weight"):
                module = model.get_submodule(stem.removesuffix(".lora_A.weight"))
                module.weight += scale * factors[name.replace("lora_A", "lora_B")] @ tensor
        model.classifier = torch.nn.Linear(*factors["base_model.model.classifier.weight"].T.shape)
        model.classifier.weight.copy_(factors["base_model.model.classifier.weight"])
        model.classifier.bias.copy_(factors["base_model.model.classifier.bias"])
    scores = score_digits(model, "flipped-digits")
    assert scores["accuracy"] == truth.models["flipped-digits-lora"].scores["accuracy"]
    assert config["base_model_name_or_path"] == "base"


def test_nothing_but_an_adapter_gives_its_parent_away(star):
    folder, truth = star
    declared = {edge.child for edge in truth.edges if edge.declared}
    assert declared == {"flipped-digits-lora"}
    for name in truth.models:
        files = {path.name for path in (folder / name).iterdir()}
        assert "provenance.json" not in files
        if name not in declared:
            assert "base" not in (folder / name / "config.json").read_text()
            with (folder / name / "model.safetensors").open("rb") as file:
                size = int.from_bytes(file.read(8), "little")
                header = json.loads(file.read(size))
            assert "base" not in json.dumps(header.get("__metadata__", {}))


def test_the_same_options_give_the_same_bits_and_other_seeds_others(tmp_path):
    zoos = {n: make_digits_zoo(tmp_path / n, seed=n == "c", **QUICK) for n in "abc"}
    assert zoos["a"].models == zoos["b"].models
    for name in zoos["a"].models:
        files = {n: next((tmp_path / n / name).glob("*.safetensors")) for n in "abc"}
        assert files["a"].read_bytes() == files["b"].read_bytes()
        assert files["a"].read_bytes() != files["c"].read_bytes()


def test_global_randomness_and_threads_are_left_alone(tmp_path):
    before, threads = torch.get_rng_state(), torch.get_num_threads()
    make_digits_zoo(tmp_path / "zoo", specials=False, **QUICK)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.get_num_threads() == threads


def test_unrelated_roots_and_a_missing_base(tmp_path):
    truth = make_digits_zoo(
        tmp_path / "zoo", shape="chain", roots=2, missing_base=True, specials=False, **QUICK
    )
    assert truth.roots == ["base-1", "base-2"]
    assert all(truth.models[root].path is None for root in truth.roots)
    folders = {path.name for path in (tmp_path / "zoo").iterdir() if path.is_dir()}
    assert folders - {".zoo"} == {name for name, model in truth.models.items() if model.path}
    edges = {(edge.parent, edge.child) for edge in truth.edges}
    assert len(edges) == 4 and sum(parent in truth.roots for parent, _ in edges) == 2


def test_declared_parents_are_written_when_asked_for(tmp_path):
    make_digits_zoo(tmp_path / "zoo", specials=False, declare=True, **QUICK)
    told = json.loads((tmp_path / "zoo" / "rotated-parity-1" / "provenance.json").read_text())
    assert told["parent"] == "base"


def test_a_finished_zoo_is_left_as_it_is_and_nothing_else_is_overwritten(tmp_path):
    folder = tmp_path / "zoo"
    truth = make_digits_zoo(folder, specials=False, **QUICK)
    shutil.rmtree(folder / "rotated-parity-1")  # would come back if anything were made again
    assert make_digits_zoo(folder, specials=False, **QUICK) == truth
    assert not (folder / "rotated-parity-1").exists()
    with pytest.raises(BadInput, match="other options"):
        make_digits_zoo(folder, seed=1, specials=False, **QUICK)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").touch()
    with pytest.raises(BadInput, match="holds no zoo"):
        make_digits_zoo(tmp_path / "mine", **QUICK)


def test_a_stopped_zoo_goes_on_where_it_was(tmp_path, monkeypatch):
    whole = make_digits_zoo(tmp_path / "whole", missing_base=True, **QUICK)
    make, made = digits._make, []

    def stopped_at(count):
        def until(planned, folder, zoo):
            if len(made) == count:
                raise KeyboardInterrupt
            made.append(planned.name)
            return make(planned, folder, zoo)

        return until

    for count in (2, len(whole.models) - 1, len(whole.models)):
        monkeypatch.setattr(digits, "_make", stopped_at(count))
        if count < len(whole.models):
            with pytest.raises(KeyboardInterrupt):
                make_digits_zoo(tmp_path / "parts", missing_base=True, **QUICK)
            assert not (tmp_path / "parts" / "truth.json").exists()
    assert make_digits_zoo(tmp_path / "parts", missing_base=True, **QUICK) == whole
    assert sorted(made) == sorted(whole.models)
    for file in (tmp_path / "whole").rglob("*.safetensors"):
        twin = tmp_path / "parts" / file.relative_to(tmp_path / "whole")
        assert twin.read_bytes() == file.read_bytes()


def test_a_task_changes_labels_or_images():
    everything = digits_data("plain-digits")
    half = digits_data("inverted-low")
    assert half.labels.max() == 4 and len(half.labels) < len(everything.labels)
    flipped = digits_data("flipped-digits")
    assert torch.equal(flipped.images.flip(1), everything.images)
    assert torch.equal(flipped.labels, everything.labels)
    assert set(digits_data("flipped-parity").labels.tolist()) == {0, 1}
    assert digits_task("flipped-parity").domain == "flipped"
