import json

import pytest
import torch
from safetensors.torch import save_file

from weightscape.errors import BadCheckpoint, MismatchedModels
from weightscape.io.opening import open_checkpoint
from weightscape.probing.layer_set import read_set, select
from weightscape.probing.layers import Dense, Product, read_layer, readable_layers

LAYER = "encoder.layer.0.dense.weight"


def save(folder, tensors):
    folder.mkdir()
    save_file(tensors, folder / "model.safetensors")
    return open_checkpoint(folder)


def save_lora(folder, seed=0, rank=2):
    folder.mkdir()
    drawn = torch.Generator().manual_seed(seed)
    stem = "base_model.model.bert.encoder.layer.0.dense"
    save_file(
        {
            f"{stem}.lora_A.weight": torch.randn(rank, 10, generator=drawn),
            f"{stem}.lora_B.weight": torch.randn(12, rank, generator=drawn),
        },
        folder / "adapter_model.safetensors",
    )
    config = {"peft_type": "LORA", "r": rank, "lora_alpha": 4, "base_model_name_or_path": "base"}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    return open_checkpoint(folder)


def model(prefix="", shape=(12, 10), value=1.0):
    return {
        f"{prefix}{LAYER}": torch.full(shape, value),
        f"{prefix}encoder.layer.0.dense.bias": torch.zeros(12),
        f"{prefix}encoder.gate.weight": torch.zeros(2, 12),
        f"{prefix}encoder.conv.weight": torch.zeros(16, 3, 3, 3),
        "classifier.weight": torch.zeros(9, 12),
    }


def test_matrices_and_kernels_that_all_have_are_readable_by_their_backbone_names(tmp_path):
    one = save(tmp_path / "a", model())
    two = save(tmp_path / "b", model("bert."))
    assert sorted(readable_layers([one, two])) == ["encoder.conv.weight", LAYER]
    assert read_layer(two, "encoder.conv.weight").matrix.shape == (16, 27)


def test_models_without_a_common_matrix_are_refused(tmp_path):
    one = save(tmp_path / "a", {LAYER: torch.zeros(12, 10)})
    two = save(tmp_path / "b", {LAYER: torch.zeros(12, 11)})
    with pytest.raises(MismatchedModels, match="no matrix in common"):
        readable_layers([one, two])


def test_a_lora_is_read_as_factors_of_its_delta(tmp_path):
    adapter = save_lora(tmp_path / "lora")
    assert readable_layers([adapter]) == [LAYER]
    layer = read_layer(adapter, LAYER)
    assert isinstance(layer, Product)
    product = layer.scale * layer.b @ layer.a
    torch.testing.assert_close(product, adapter.tensor(next(iter(adapter.tensors))))


def test_a_layer_with_an_unknown_wrapper_is_found_by_its_end(tmp_path):
    wrapped = save(tmp_path / "a", {f"tower.{LAYER}": torch.ones(12, 10)})
    assert isinstance(read_layer(wrapped, LAYER), Dense)
    with pytest.raises(MismatchedModels, match="no layer"):
        read_layer(wrapped, "encoder.layer.1.dense.weight")


def test_a_layer_with_nan_is_refused(tmp_path):
    broken = save(tmp_path / "a", {LAYER: torch.full((12, 10), float("nan"))})
    with pytest.raises(BadCheckpoint, match=f"{LAYER}.*NaN"):
        read_layer(broken, LAYER)


def test_models_that_differ_in_shape_or_kind_are_skipped_by_name(tmp_path):
    models = {
        "one": save(tmp_path / "one", model(value=1.0)),
        "two": lambda: save(tmp_path / "two", model("bert.", value=2.0)),
        "wide": save(tmp_path / "wide", model(shape=(12, 11))),
        "bare": save(tmp_path / "bare", {"other.weight": torch.zeros(12, 10)}),
        "lora": save_lora(tmp_path / "lora"),
        "gone": lambda: open_checkpoint(tmp_path / "gone"),
    }
    read = read_set(models, LAYER)
    assert read.names == ("one", "two")
    assert read.stack.matrices.mean((1, 2)).tolist() == [1.0, 2.0]
    assert sorted(read.skipped) == ["bare", "gone", "lora", "wide"]
    assert "[12, 11]" in read.skipped["wide"]
    assert "of a LoRA" in read.skipped["lora"]
    assert "no layer" in read.skipped["bare"]
    with pytest.raises(MismatchedModels, match="none of 1 models"):
        read_set({"bare": models["bare"]}, LAYER)


def test_a_kept_set_is_read_without_the_models(tmp_path):
    kept = tmp_path / "kept" / "layer.safetensors"
    models = {name: save(tmp_path / name, model(value=float(ord(name)))) for name in "ab"}
    first = read_set(models, LAYER, kept=kept, identity="1")

    def refuse():
        raise AssertionError("the model was opened again")

    again = read_set(dict.fromkeys("ab", refuse), LAYER, kept=kept, identity="1")
    assert again.names == first.names
    assert torch.equal(again.stack.matrices, first.stack.matrices)
    with pytest.raises(AssertionError, match="opened again"):
        read_set(dict.fromkeys("ab", refuse), LAYER, kept=kept, identity="2")
    kept.write_bytes(kept.read_bytes()[:-1])
    assert read_set(models, LAYER, kept=kept, identity="1").names == first.names


def test_factors_are_kept_too(tmp_path):
    kept = tmp_path / "kept.safetensors"
    models = {"a": save_lora(tmp_path / "a", 0, 2), "b": save_lora(tmp_path / "b", 1, 3)}
    first = read_set(models, LAYER, kept=kept)
    again = read_set(models, LAYER, kept=kept)
    assert torch.equal(again.stack.formed(), first.stack.formed())
    chosen = select(again, ["b", "not there"])
    assert chosen.names == ("b",)
    assert torch.equal(chosen.stack.formed()[0], first.stack.formed()[1])
