import json

import pytest
import torch
from safetensors.torch import save_file

from weightscape.errors import BadCheckpoint, MismatchedModels
from weightscape.io.opening import open_checkpoint
from weightscape.probing import layers
from weightscape.probing.layer_set import read_set, select
from weightscape.probing.layers import Dense, LayerShape, Product, read_layer, readable_layers

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


class Unread:
    """A model whose headers may be looked at, and whose tensors may not be read."""

    def __init__(self, checkpoint):
        self.tensors, self.tied = checkpoint.tensors, checkpoint.tied

    def tensor(self, name):
        raise AssertionError(f"{name} was read")


def test_a_layer_of_another_shape_is_refused_by_its_header(tmp_path):
    wide = Unread(save(tmp_path / "wide", model(shape=(12, 11))))
    with pytest.raises(MismatchedModels, match=r"shape \[12, 11\], not \[12, 10\]"):
        read_layer(wide, LAYER, shape=LayerShape(12, 10, low_rank=False))
    with pytest.raises(MismatchedModels, match="of a LoRA"):
        read_layer(wide, LAYER, shape=LayerShape(12, 11, low_rank=True))
    models = {name: save(tmp_path / name, model()) for name in "ab"} | {"wide": wide}
    read = read_set(models, LAYER)
    assert read.names == ("a", "b")
    assert "[12, 11]" in read.skipped["wide"]
    asked = read_set(
        {**models, "more wide": wide, "most wide": wide},
        LAYER,
        shape=LayerShape(12, 10, low_rank=False),
    )
    assert asked.names == ("a", "b")


def test_a_huge_layer_is_read_only_where_its_shape_is_asked_for(tmp_path, monkeypatch):
    monkeypatch.setattr(layers, "LARGEST", 100)
    one = save(tmp_path / "a", model())
    with pytest.raises(MismatchedModels, match="more than 100 elements"):
        read_layer(Unread(one), LAYER)
    assert read_layer(one, LAYER, shape=LayerShape(12, 10, low_rank=False)).matrix.numel() == 120
    assert read_set({"a": one}, LAYER).names == ("a",)


def test_the_factors_of_an_embedding_fit_its_shape_either_way(tmp_path):
    folder = tmp_path / "lora"
    folder.mkdir()
    stem = "base_model.model.bert.embed"
    save_file(
        {
            f"{stem}.lora_embedding_A": torch.ones(2, 30),
            f"{stem}.lora_embedding_B": torch.ones(12, 2),
        },
        folder / "adapter_model.safetensors",
    )
    config = {"peft_type": "LORA", "r": 2, "lora_alpha": 4, "base_model_name_or_path": "base"}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    adapter = open_checkpoint(folder)
    for shape in ((12, 30), (30, 12)):
        layer = read_layer(adapter, "embed.weight", shape=LayerShape(*shape, low_rank=True))
        assert layer.b.shape == (12, 2)
    assert read_set({"a": adapter}, "embed.weight").stack.shape == LayerShape(12, 30, low_rank=True)


def test_models_that_differ_in_shape_or_kind_are_skipped_by_name(tmp_path):
    save(tmp_path / "two", model("bert.", value=2.0))
    models = {
        "one": save(tmp_path / "one", model(value=1.0)),
        "two": lambda: open_checkpoint(tmp_path / "two"),
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
