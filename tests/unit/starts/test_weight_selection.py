import json

import numpy as np
import pytest
import torch
from transformers import (
    AutoModel,
    BertConfig,
    GPT2Config,
    LlamaConfig,
    LlamaForCausalLM,
)

from tiny_models import drawn, save_bert, save_gpt2
from weightscape.errors import BadInput, NotFound
from weightscape.io import open_checkpoint
from weightscape.starts.weight_selection import kept, kept_along, select_weights


def tensors(folder):
    with open_checkpoint(folder) as stored:
        return {name: stored.tensor(name).clone() for name in stored.tensors}


def smaller_bert(folder, **values):
    return BertConfig.from_dict(json.loads((folder / "config.json").read_text()) | values)


def test_elements_are_evenly_spaced_and_the_first_is_among_them():
    assert kept(8, 4).tolist() == [0, 2, 4, 6]
    assert kept(8, 3).tolist() == [0, 4, 7]
    assert kept(8, 8).tolist() == list(range(8))
    # two of four heads, each with half of its four elements
    assert kept_along([(4, 2), (4, 2)]).tolist() == [0, 2, 8, 10]


def test_every_tensor_is_the_exact_part_of_the_larger_one(tmp_path):
    large = save_bert(tmp_path / "large")
    small = smaller_bert(
        large, hidden_size=8, num_hidden_layers=1, intermediate_size=12, max_position_embeddings=20
    )
    out = select_weights(large, small, tmp_path / "small")
    old, new = tensors(large), tensors(out)
    of, width = torch.from_numpy(kept(16, 8)), torch.from_numpy(kept(32, 12))
    words = "embeddings.word_embeddings.weight"
    assert torch.equal(new[words], old[words][:, of])
    places = "embeddings.position_embeddings.weight"
    assert torch.equal(new[places], old[places][:20][:, of])
    inner = "encoder.layer.0.intermediate.dense"
    assert torch.equal(new[f"{inner}.weight"], old[f"{inner}.weight"][width][:, of])
    assert torch.equal(new[f"{inner}.bias"], old[f"{inner}.bias"][width])
    assert not any(".layer.1." in name for name in new)


def test_heads_stay_whole_where_there_are_fewer_of_them(tmp_path):
    large = save_bert(tmp_path / "large")  # 2 heads of 8
    out = select_weights(
        large, smaller_bert(large, hidden_size=8, num_attention_heads=1), tmp_path / "small"
    )
    old, new = tensors(large), tensors(out)
    of = torch.from_numpy(kept(16, 8))
    for part in ("query", "key", "value"):
        name = f"encoder.layer.1.attention.self.{part}"
        assert torch.equal(new[f"{name}.weight"], old[f"{name}.weight"][:8][:, of])
        assert torch.equal(new[f"{name}.bias"], old[f"{name}.bias"][:8])
    name = "encoder.layer.1.attention.output.dense.weight"
    assert torch.equal(new[name], old[name][:, :8][of])


def test_layers_are_the_first_or_evenly_spaced(tmp_path):
    large = tmp_path / "large"
    config = BertConfig(
        vocab_size=14, hidden_size=8, num_hidden_layers=6, num_attention_heads=2,
        intermediate_size=8, max_position_embeddings=8,
    )  # fmt: skip
    drawn(AutoModel.from_config, config).save_pretrained(large)
    small = smaller_bert(large, num_hidden_layers=3)
    old = tensors(large)
    name = "encoder.layer.{}.output.dense.weight"
    for layers, places in (("first", (0, 1, 2)), ("uniform", (0, 2, 4))):
        new = tensors(select_weights(large, small, tmp_path / layers, layers=layers))
        for to, of in enumerate(places):
            assert torch.equal(new[name.format(to)], old[name.format(of)])


def test_a_fused_projection_is_cut_in_its_three_parts(tmp_path):
    large = save_gpt2(tmp_path / "large")  # 2 heads of 8, Conv1D
    config = GPT2Config.from_dict(
        json.loads((large / "config.json").read_text()) | {"n_embd": 8, "n_head": 1}
    )
    old, new = tensors(large), tensors(select_weights(large, config, tmp_path / "small"))
    of = torch.from_numpy(kept(16, 8))
    name = next(name for name in old if name.endswith("h.0.attn.c_attn.weight"))
    columns = [*range(8), *range(16, 24), *range(32, 40)]
    same = next(it for it in new if it.endswith("h.0.attn.c_attn.weight"))
    assert torch.equal(new[same], old[name][of][:, columns])


def test_keys_and_values_that_heads_share_are_cut_by_their_own_count(tmp_path):
    sizes = {
        "vocab_size": 14, "intermediate_size": 16, "num_hidden_layers": 1, "head_dim": 4,
        "max_position_embeddings": 16,
    }  # fmt: skip
    config = LlamaConfig(hidden_size=16, num_attention_heads=4, num_key_value_heads=2, **sizes)
    drawn(LlamaForCausalLM, config).save_pretrained(tmp_path / "large")
    small = LlamaConfig(hidden_size=8, num_attention_heads=2, num_key_value_heads=1, **sizes)
    out = select_weights(tmp_path / "large", small, tmp_path / "small")
    old, new = tensors(tmp_path / "large"), tensors(out)
    of = torch.from_numpy(kept(16, 8))
    name = "model.layers.0.self_attn.{}_proj.weight"
    assert torch.equal(new[name.format("k")], old[name.format("k")][:4][:, of])
    assert torch.equal(
        new[name.format("q")], old[name.format("q")][[0, 1, 2, 3, 8, 9, 10, 11]][:, of]
    )


def test_what_was_written_is_loaded_and_runs(tmp_path):
    large = save_bert(tmp_path / "large", labels=("yes", "no", "well"))
    small = smaller_bert(large, hidden_size=8, intermediate_size=8, num_hidden_layers=1)
    out = select_weights(large, small, tmp_path / "small", init_seed=3)
    again = select_weights(large, small, tmp_path / "again", init_seed=3)
    assert (out / "tokenizer.json").is_file()
    assert json.loads((out / "provenance.json").read_text())["kind"] == "weight selection"
    model = AutoModel.from_pretrained(out)
    with torch.inference_mode():
        found = model(input_ids=torch.tensor([[2, 5, 3]])).last_hidden_state
    assert np.isfinite(found.numpy()).all() and found.shape == (1, 3, 8)
    one, two = tensors(out), tensors(again)
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert "classifier.weight" in one  # drawn, for no part of a head is kept


def test_what_cannot_be_picked_is_refused_in_a_line(tmp_path):
    large = save_bert(tmp_path / "large")
    with pytest.raises(BadInput, match=r"24 along dimension 1, the source only 16"):
        select_weights(large, smaller_bert(large, hidden_size=24), tmp_path / "a")
    with pytest.raises(BadInput, match="3 layers"):
        select_weights(large, smaller_bert(large, num_hidden_layers=3), tmp_path / "b")
    with pytest.raises(BadInput, match="set vocab_size to 15"):
        select_weights(large, smaller_bert(large, vocab_size=10), tmp_path / "c")
    with pytest.raises(BadInput, match="gpt2 cannot take the weights of a bert"):
        select_weights(large, GPT2Config(), tmp_path / "d")
    with pytest.raises(NotFound, match=r"config\.json"):
        select_weights(large, tmp_path / "nowhere", tmp_path / "e")
    with pytest.raises(BadInput, match="'first' or 'uniform'"):
        select_weights(large, smaller_bert(large), tmp_path / "f", layers="last")
    assert not any((tmp_path / name).exists() for name in "abcdef")
