"""What transformers, peft and torch write is read as they read it, and the other way round."""

import pytest
import torch

from weightscape.io import Adapter, discover, open_checkpoint, write_checkpoint

transformers = pytest.importorskip("transformers", reason="the extra [tasks] is not installed")
peft = pytest.importorskip("peft", reason="the extra [tasks] is not installed")


@pytest.fixture
def gpt2():
    """A GPT-2 of a few thousand weights: tied embeddings, and Conv1D weights stored (in, out)."""
    torch.manual_seed(0)
    config = transformers.GPT2Config(
        vocab_size=40, n_positions=16, n_embd=8, n_layer=2, n_head=2, bos_token_id=0, eos_token_id=1
    )
    return transformers.GPT2LMHeadModel(config).eval()


def test_a_saved_model_is_read_and_a_written_one_loaded(gpt2, tmp_path):
    gpt2.save_pretrained(tmp_path / "theirs")
    state = gpt2.state_dict()
    checkpoint = open_checkpoint(tmp_path / "theirs")
    assert checkpoint.config["model_type"] == "gpt2"
    assert all(checkpoint.tensor(name).equal(state[name]) for name in checkpoint.tensors)
    for name, shard_bytes in (("one", 1 << 30), ("several", 2000)):
        folder = write_checkpoint(
            tmp_path / name, state, config=gpt2.config.to_dict(), shard_bytes=shard_bytes
        )
        assert "lm_head.weight" not in open_checkpoint(folder).tensors
        loaded = transformers.GPT2LMHeadModel.from_pretrained(folder)
        assert all(tensor.equal(state[key]) for key, tensor in loaded.state_dict().items())


LORAS = {
    "plain": {"target_modules": ["c_attn", "c_fc"], "fan_in_fan_out": True},
    "patterns": {
        "target_modules": ["c_attn", "mlp.c_proj"],
        "fan_in_fan_out": True,
        "rank_pattern": {"c_attn": 2, r"h\.1\.mlp\.c_proj": 3},
        "alpha_pattern": {"h.0.attn.c_attn": 5, "c_proj": 16},
    },
    "stabilised": {"target_modules": ["c_attn"], "fan_in_fan_out": True, "use_rslora": True},
    "embedding": {"target_modules": ["wpe"]},
    "saved": {
        "target_modules": ["c_attn"], "fan_in_fan_out": True, "modules_to_save": ["ln_f"],
    },
}  # fmt: skip


@pytest.mark.parametrize("case", LORAS)
@pytest.mark.filterwarnings("ignore")
def test_an_adapters_deltas_are_what_merging_it_adds(gpt2, tmp_path, case):
    before = {name: tensor.clone() for name, tensor in gpt2.state_dict().items()}
    config = peft.LoraConfig(r=4, lora_alpha=12, init_lora_weights=False, **LORAS[case])
    wrapped = peft.get_peft_model(gpt2, config)
    if case == "saved":
        with torch.no_grad():
            for name, parameter in wrapped.named_parameters():
                if "modules_to_save" in name:
                    parameter.add_(1)
    wrapped.save_pretrained(tmp_path)
    adapter = open_checkpoint(tmp_path)
    assert isinstance(adapter, Adapter)
    (found,) = discover([tmp_path])[0]
    assert found.kind == "adapter"
    after = wrapped.merge_and_unload().state_dict()
    changed = {name for name in before if not before[name].equal(after[name])}
    assert changed == set(adapter.tensors) | set(adapter.saved)
    for name in adapter.tensors:
        delta = after[name].double() - before[name].double()
        assert adapter.tensor(name).shape == delta.shape
        assert torch.allclose(adapter.tensor(name).double(), delta, atol=1e-6)
    for name in adapter.saved:
        assert adapter.full_tensor(name).equal(after[name])


def test_torch_reads_what_is_read_here(gpt2, tmp_path):
    torch.save({"model": gpt2.state_dict(), "step": 3}, tmp_path / "model.pt")
    theirs = torch.load(tmp_path / "model.pt", weights_only=True)["model"]
    checkpoint = open_checkpoint(tmp_path / "model.pt")
    assert list(checkpoint.tensors) == list(theirs)
    assert all(checkpoint.tensor(name).equal(theirs[name]) for name in theirs)
    assert checkpoint.tied == {"lm_head.weight": "transformer.wte.weight"}
