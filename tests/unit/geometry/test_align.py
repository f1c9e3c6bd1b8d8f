"""Which tensors correspond: prefixes, heads, buffers."""

from dataclasses import dataclass

import pytest
import torch

from weightscape.geometry.align import backbone, match, role, strip_wrappers


@dataclass(frozen=True)
class Info:
    shape: tuple[int, ...]
    dtype: torch.dtype = torch.float32


def encoder(prefix: str = "", width: int = 8, layers: int = 2, vocabulary: int = 50) -> dict:
    tensors = {f"{prefix}embeddings.word_embeddings.weight": Info((vocabulary, width))}
    for layer in range(layers):
        for part in ("query", "key", "value"):
            tensors[f"{prefix}encoder.layer.{layer}.attention.{part}.weight"] = Info((width, width))
    return tensors


@pytest.mark.parametrize(
    ("name", "canonical"),
    [
        ("bert.encoder.layer.0.weight", "encoder.layer.0.weight"),
        ("module.bert.encoder.layer.0.weight", "encoder.layer.0.weight"),
        ("_orig_mod.module.model.layers.3.mlp.up_proj.weight", "layers.3.mlp.up_proj.weight"),
        ("base_model.model.model.layers.0.q.weight", "layers.0.q.weight"),
        ("encoder.layer.0.weight", "encoder.layer.0.weight"),
        ("model.weight", "model.weight"),
        ("weight", "weight"),
    ],
)
def test_wrappers_are_stripped(name: str, canonical: str) -> None:
    assert strip_wrappers(name) == canonical


@pytest.mark.parametrize("prefix", ["bert.", "module.bert.", "model.", "my_own_backbone."])
def test_a_bare_model_matches_a_wrapped_one(prefix: str) -> None:
    family = dict(backbone(encoder()).shapes)
    found = match(family, backbone(encoder(prefix)))
    assert found is not None
    assert set(found) == set(family)
    assert all(stored.startswith(prefix) for stored in found.values())
    back = match(dict(backbone(encoder(prefix)).shapes), backbone(encoder()))
    assert back is not None
    assert len(back) == len(family)


def test_heads_are_left_out_and_may_differ() -> None:
    two = {**encoder("bert."), "classifier.weight": Info((2, 8)), "classifier.bias": Info((2,))}
    six = {**encoder("bert."), "classifier.weight": Info((6, 8)), "classifier.bias": Info((6,))}
    assert not any("classifier" in name for name in backbone(two).shapes)
    assert match(dict(backbone(two).shapes), backbone(six)) is not None


def test_a_lone_head_is_its_own_backbone() -> None:
    assert set(backbone({"classifier.weight": Info((2, 8))}).shapes) == {"classifier.weight"}


@pytest.mark.parametrize(
    "name",
    [
        "embeddings.position_ids",
        "layers.0.self_attn.rotary_emb.inv_freq",
        "layer1.0.bn1.running_mean",
        "h.0.attn.bias",
        "h.0.attn.masked_bias",
        "encoder.pe",
        "readout.ffn_scaler.means",
    ],
)
def test_buffers_are_no_evidence(name: str) -> None:
    assert role(name, Info((4, 4))) == "buffer"


def test_integers_and_empty_tensors_are_buffers() -> None:
    assert role("encoder.layer.0.table", Info((4, 4), torch.int64)) == "buffer"
    assert role("encoder.layer.0.none", Info((0, 4))) == "buffer"


def test_another_width_or_depth_is_another_family() -> None:
    family = dict(backbone(encoder()).shapes)
    assert match(family, backbone(encoder(width=16))) is None
    assert match(family, backbone(encoder(layers=6))) is None


def test_a_resized_vocabulary_stays_in_the_family_without_its_embedding() -> None:
    family = dict(backbone(encoder()).shapes)
    found = match(family, backbone(encoder(vocabulary=53)))
    assert found is not None
    assert "embeddings.word_embeddings.weight" not in found
    assert len(found) == len(family) - 1


def test_tied_aliases_count_once() -> None:
    tensors = {**encoder(), "decoder.embedding.weight": Info((50, 8))}
    assert "decoder.embedding.weight" not in backbone(tensors, ["decoder.embedding.weight"]).shapes


def test_an_averaged_copy_beside_the_model_keeps_its_full_name() -> None:
    both = {"model.encoder.a.weight": Info((4, 4)), "module.encoder.a.weight": Info((4, 4))}
    assert len(backbone(both).shapes) == 2


@pytest.mark.parametrize(
    ("head", "other"),
    [("embed_out.weight", "gpt_neox.layers.0.mlp.weight"), ("output.weight", "layers.0.wq.weight")],
)
def test_output_matrices_of_language_models_are_heads(head: str, other: str) -> None:
    tensors = {name: Info((64, 8)) for name in (head, other)}
    assert list(backbone(tensors).stored.values()) == [other]
