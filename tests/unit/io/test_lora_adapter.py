"""An adapter's deltas are scale * B @ A, exactly, under the names of its base."""

import json
import math

import pytest
import torch
from safetensors.torch import save_file

from weightscape.errors import BadCheckpoint, UnknownName, UnsupportedFormat
from weightscape.io import Adapter, content_hash, fingerprint, open_checkpoint

CONFIG = {
    "peft_type": "LORA",
    "base_model_name_or_path": "org/base",
    "r": 2,
    "lora_alpha": 6,
}
Q = "base_model.model.layer.0.q"
V = "base_model.model.layer.1.v"


@pytest.fixture
def adapter(tmp_path):
    """Write an adapter folder from factors by key and settings; open it."""

    def write(tensors, file="adapter_model.safetensors", **settings):
        (tmp_path / "adapter_config.json").write_text(json.dumps({**CONFIG, **settings}))
        if file.endswith(".bin"):
            torch.save(tensors, tmp_path / file)
        else:
            save_file(tensors, tmp_path / file)
        return open_checkpoint(tmp_path)

    return write


def pair(module, out, into, rank, dtype=torch.float32):
    generator = torch.Generator().manual_seed(out * into + rank)
    return {
        f"{module}.lora_A.weight": torch.randn(rank, into, generator=generator).to(dtype),
        f"{module}.lora_B.weight": torch.randn(out, rank, generator=generator).to(dtype),
    }


def flat_pair(out, into, rank):
    return {
        f"{Q}.lora_A.weight": torch.ones(rank, into, dtype=torch.bfloat16),
        f"{Q}.lora_B.weight": torch.ones(out, rank, dtype=torch.bfloat16),
    }


def product(tensors, module, scale):
    b, a = tensors[f"{module}.lora_B.weight"], tensors[f"{module}.lora_A.weight"]
    return ((b.double() @ a.double()) * scale).float()


def test_deltas_are_the_exact_products_under_the_names_of_the_base(adapter):
    factors = pair(Q, 5, 4, 2) | pair(V, 3, 7, 3)
    lora = adapter(factors)
    assert isinstance(lora, Adapter)
    assert (lora.format, lora.base) == ("lora", "org/base")
    assert {name: info.shape for name, info in lora.tensors.items()} == {
        "layer.0.q.weight": (5, 4),
        "layer.1.v.weight": (3, 7),
    }
    assert lora.ranks == {"layer.0.q.weight": 2, "layer.1.v.weight": 3}
    assert lora.scales == {"layer.0.q.weight": 3.0, "layer.1.v.weight": 2.0}
    delta = lora.tensor("layer.0.q.weight")
    assert delta.dtype == torch.float32
    assert delta.equal(product(factors, Q, 3.0))
    b, a, scale = lora.factors("layer.1.v.weight")
    assert (scale * b.double() @ a.double()).float().equal(lora.tensor("layer.1.v.weight"))


def test_rows_and_elements_are_cut_from_the_product(adapter):
    lora = adapter(pair(Q, 9, 4, 2))
    whole = lora.tensor("layer.0.q.weight")
    assert lora.flat("layer.0.q.weight").equal(whole.view(-1))
    for start, stop in [(0, 9), (2, 5), (-2, 9), (4, 4), (5, 3), (7, 99)]:
        assert torch.allclose(lora.rows("layer.0.q.weight", start, stop), whole[start:stop])
    for start, stop in [(0, 36), (3, 5), (4, 8), (7, 30), (35, 36), (9, 9), (-3, None)]:
        part = lora.flat("layer.0.q.weight", start, stop)
        assert torch.allclose(part, whole.view(-1)[start:stop])
    with lora:
        lora.release("layer.0.q.weight")
    with pytest.raises(UnknownName):
        lora.tensor("layer.9.q.weight")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_short_factors_are_multiplied_in_full_precision(adapter, dtype):
    factors = pair(Q, 6, 5, 2, dtype)
    assert adapter(factors).tensor("layer.0.q.weight").equal(product(factors, Q, 3.0))


def test_torch_files_and_named_adapters_are_read(adapter):
    factors = pair(Q, 5, 4, 2)
    named = {key.replace(".weight", ".default.weight"): value for key, value in factors.items()}
    lora = adapter(named, "adapter_model.bin")
    assert lora.tensor("layer.0.q.weight").equal(product(factors, Q, 3.0))


@pytest.mark.parametrize(
    ("settings", "scale_q", "scale_v"),
    [
        ({}, 3.0, 3.0),
        ({"use_rslora": True}, 6 / math.sqrt(2), 6 / math.sqrt(2)),
        ({"alpha_pattern": {"q": 10}}, 5.0, 3.0),
        ({"alpha_pattern": {"layer.1.v": 10}}, 3.0, 5.0),
        ({"alpha_pattern": {r"layer\.\d\..": 10, "q": 20}}, 5.0, 5.0),
        ({"alpha_pattern": {"ayer.0.q": 10}}, 3.0, 3.0),
        ({"alpha_pattern": {"^layer.0.*": 10}}, 5.0, 3.0),
    ],
)
def test_the_scale_follows_the_settings(adapter, settings, scale_q, scale_v):
    lora = adapter(pair(Q, 5, 4, 2) | pair(V, 3, 7, 2), **settings)
    assert list(lora.scales.values()) == pytest.approx([scale_q, scale_v])


def test_weights_stored_as_in_by_out_are_transposed(adapter):
    factors = pair(Q, 5, 4, 2)
    lora = adapter(factors, fan_in_fan_out=True)
    delta = product(factors, Q, 3.0).T
    assert lora.tensor("layer.0.q.weight").equal(delta.contiguous())
    assert lora.rows("layer.0.q.weight", 1, 3).equal(delta[1:3])
    assert lora.flat("layer.0.q.weight", 3, 14).equal(delta.reshape(-1)[3:14])


def test_an_embedding_is_the_transposed_product(adapter):
    a, b = torch.randn(2, 10), torch.randn(4, 2)
    module = "base_model.model.embed"
    lora = adapter({f"{module}.lora_embedding_A": a, f"{module}.lora_embedding_B": b})
    assert lora.tensors["embed.weight"].shape == (10, 4)
    assert lora.tensor("embed.weight").allclose((3 * (b.double() @ a.double())).float().T)


def test_a_convolution_keeps_its_kernel(adapter):
    a, b = torch.randn(2, 3, 5, 5), torch.randn(7, 2, 1, 1)
    lora = adapter({f"{Q}.lora_A.weight": a, f"{Q}.lora_B.weight": b})
    expected = 3 * torch.einsum("or,rihw->oihw", b[:, :, 0, 0], a)
    assert lora.tensor("layer.0.q.weight").allclose(expected, atol=1e-5)


def test_tensors_held_in_full_are_kept_apart(adapter):
    head = torch.randn(2, 4)
    lora = adapter(
        pair(Q, 5, 4, 2)
        | {"base_model.model.classifier.weight": head,
           "base_model.model.score.modules_to_save.default.bias": head[0].clone(),
           "base_model.model.layer.0.q.base_layer.bias": head[1].clone()}
    )  # fmt: skip
    assert set(lora.tensors) == {"layer.0.q.weight"}
    assert set(lora.saved) == {"classifier.weight", "score.bias", "layer.0.q.bias"}
    assert lora.full_tensor("classifier.weight").equal(head)
    with pytest.raises(UnknownName):
        lora.full_tensor("layer.0.q.weight")


@pytest.mark.parametrize("shape", [(128_256, 16_384), (53_248, 16_384), (8_192, 28_672)])
def test_rank_one_factors_of_the_largest_layers_are_read(adapter, shape):
    lora = adapter(flat_pair(*shape, 1))
    assert lora.info("layer.0.q.weight").shape == shape
    assert lora.rows("layer.0.q.weight", 0, 1).eq(6).all()


def test_ranks_beyond_what_the_layer_could_hold_are_refused(adapter):
    assert adapter(flat_pair(4, 4, 1024)).ranks
    assert adapter(flat_pair(4, 2000, 2000)).ranks
    with pytest.raises(BadCheckpoint, match="rank 2,001 is beyond both sides"):
        adapter(flat_pair(4, 2000, 2001))


def test_products_of_the_same_few_bytes_are_refused(adapter):
    a, b = torch.ones(1, 16_000), torch.ones(16_000, 1)
    shared = {
        f"{Q}{number}.{name}.weight": factor
        for number in range(20)
        for name, factor in (("lora_A", a), ("lora_B", b))
    }
    with pytest.raises(BadCheckpoint, match="20 products would have 5,120,000,000 elements"):
        adapter(shared, file="adapter_model.bin")


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"use_dora": True}, "DoRA"),
        ({"peft_type": "IA3"}, "IA3"),
        ({"peft_type": None}, "type None"),
        ({"lora_bias": True}, "biases"),
        ({"init_lora_weights": "pissa_niter_4"}, "changes its base"),
        ({"target_parameters": ["experts"]}, "bare parameters"),
        ({"alpha_pattern": {"(a+)+b": 2}}, "too involved"),
        ({"alpha_pattern": {".*.*.*.*x": 2}}, "too involved"),
    ],
)
def test_other_kinds_of_adapters_are_recognised_but_not_read(adapter, settings, says):
    with pytest.raises(UnsupportedFormat, match=says):
        adapter(pair(Q, 5, 4, 2), **settings)


def test_dora_is_recognised_by_its_tensors_too(adapter):
    with pytest.raises(UnsupportedFormat, match="DoRA"):
        adapter(pair(Q, 5, 4, 2) | {f"{Q}.lora_magnitude_vector": torch.ones(5)})


@pytest.mark.parametrize(
    ("tensors", "settings", "says"),
    [
        ({"x": torch.ones(1)}, {}, "no LoRA factors"),
        ({f"{Q}.lora_A.weight": torch.ones(2, 2)}, {}, "other LoRA factor is missing"),
        (pair(Q, 5, 4, 2) | {f"{Q}.lora_B.weight": torch.ones(5, 3)}, {}, "does not fit"),
        (pair(Q, 5, 4, 2) | {f"{Q}.lora_B.weight": torch.ones(5)}, {}, "cannot be multiplied"),
        (pair(Q, 5, 4, 2, torch.int32), {}, "cannot be multiplied"),
        (flat_pair(40_000, 40_000, 1), {}, r"product would have shape \[40000, 40000\]"),
        (flat_pair(60_000, 60_000, 8), {}, "at most 2,147,483,648"),
        (pair(Q, 5, 4, 2), {"lora_alpha": "big"}, "lora_alpha should be a number"),
        (pair(Q, 5, 4, 2), {"lora_alpha": math.inf}, "lora_alpha should be a number"),
        (pair(Q, 5, 4, 2), {"lora_alpha": int("9" * 4000)}, "number up to .*, but is 9999"),
        (pair(Q, 5, 4, 2), {"lora_alpha": -1e300}, "lora_alpha should be a number"),
        (pair(Q, 5, 4, 2), {"alpha_pattern": {"q": None}}, "alpha_pattern"),
        (pair(Q, 5, 4, 2), {"alpha_pattern": {"q": int("9" * 4000)}}, "alpha_pattern"),
        (pair(Q, 5, 4, 2), {"alpha_pattern": {"[": 2}}, "no regular expression"),
    ],
)  # fmt: skip
def test_an_adapter_that_cannot_be_is_refused(adapter, tensors, settings, says):
    with pytest.raises(BadCheckpoint, match=says):
        adapter(tensors, **settings)


def test_an_adapter_needs_its_settings(tmp_path):
    save_file(pair(Q, 5, 4, 2), tmp_path / "adapter_model.safetensors")
    with pytest.raises(BadCheckpoint, match=r"needs adapter_config\.json"):
        open_checkpoint(tmp_path / "adapter_model.safetensors")


@pytest.mark.parametrize("digest", [fingerprint, content_hash])
def test_a_change_of_scale_is_a_change_of_the_adapter(adapter, digest):
    first = digest(adapter(pair(Q, 5, 4, 2)))
    assert digest(adapter(pair(Q, 5, 4, 2))) == first
    assert digest(adapter(pair(Q, 5, 4, 2), lora_alpha=7)) != first
