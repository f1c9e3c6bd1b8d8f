"""What every text encoder must keep to, wherever its vectors come from."""

import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from tiny_models import WORDS, drawn, save_bert, save_tokenizer
from weightscape.probing.encoders import ENCODERS, Encoder, open_encoder
from weightscape.probing.prompts import label_vectors

TEXTS = ["good film", "a very very bad book", "poor", "the book was not fine"]


def made_up(seed):
    return np.random.default_rng(seed).standard_normal((len(TEXTS), 6)).astype(np.float32)


def text(folder, monkeypatch, seed=0):
    return str(save_bert(folder, seed=seed))


def packaged(folder, monkeypatch, seed=0):
    # the packaged model is 83 MB; another stands in for it
    save_bert(folder, seed=seed)
    monkeypatch.setattr(
        "weightscape.probing.encoders.packaged.packaged_model", lambda name, progress: folder
    )
    return "packaged"


def clip(folder, monkeypatch, seed=0):
    transformers = pytest.importorskip("transformers", reason="needs the extra [tasks]")
    words = {"vocab_size": len(WORDS), "eos_token_id": 3, "bos_token_id": 2, "pad_token_id": 0}
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = transformers.CLIPConfig(
        text_config={**sizes, **words, "intermediate_size": 32, "max_position_embeddings": 16},
        vision_config={**sizes, "intermediate_size": 32, "image_size": 8, "patch_size": 4},
        projection_dim=6,
    )
    drawn(transformers.CLIPModel, config, seed).save_pretrained(folder)
    save_tokenizer(folder)
    return f"clip:{folder}"


def npz(folder, monkeypatch, seed=0):
    folder.mkdir()
    np.savez(folder / "v.npz", names=np.array(TEXTS), vectors=made_up(seed))
    return f"vectors:{folder / 'v.npz'}"


def safetensors(folder, monkeypatch, seed=0):
    folder.mkdir()
    rows = dict(zip(TEXTS, torch.from_numpy(made_up(seed)), strict=True))
    save_file({name: row.clone() for name, row in rows.items()}, folder / "v.safetensors")
    return f"vectors:{folder / 'v.safetensors'}"


MAKERS = {
    "packaged": packaged,
    "text": text,
    "clip": clip,
    "vectors": npz,
    "vectors from safetensors": safetensors,
}


def test_every_encoder_is_here():
    assert set(ENCODERS) <= set(MAKERS)


@pytest.fixture(params=[(name, kept) for name in MAKERS for kept in (False, True)], ids=str)
def make(request, tmp_path, monkeypatch):
    """Open an encoder of one kind, with or without a folder that keeps what was encoded."""
    name, kept = request.param
    cache = tmp_path / "cache" if kept else None

    def made(place="model", seed=0):
        given = MAKERS[name](tmp_path / place, monkeypatch, seed)
        return open_encoder(given, cache=cache), given

    return made


def test_vectors_are_of_length_one_and_a_text_s_own(make):
    encoder, _ = make()
    assert isinstance(encoder, Encoder)
    together = encoder.encode(TEXTS)
    assert together.shape == (len(TEXTS), encoder.size) and together.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-5)
    for place, one in enumerate(TEXTS):
        np.testing.assert_allclose(encoder.encode([one])[0], together[place], atol=1e-5)
    again = encoder.encode([*TEXTS[::-1], TEXTS[0]])
    np.testing.assert_allclose(again, together[[3, 2, 1, 0, 0]], atol=1e-5)
    assert len({row.tobytes() for row in together.round(3)}) == len(TEXTS)


def test_no_texts_give_no_vectors(make):
    encoder, _ = make()
    assert encoder.encode([]).shape == (0, encoder.size)


def test_what_it_was_opened_by_opens_it_again(make):
    encoder, _ = make()
    again = open_encoder(encoder.opened_by)
    assert (again.identity, again.size) == (encoder.identity, encoder.size)
    np.testing.assert_allclose(again.encode(TEXTS), encoder.encode(TEXTS), atol=1e-5)


def test_the_identity_is_that_of_the_contents(make, tmp_path):
    encoder, given = make()
    changed, _ = make("another", seed=1)
    assert changed.identity != encoder.identity
    if given != "packaged":
        shutil.move(tmp_path / "model", tmp_path / "moved")
        moved = open_encoder(given.replace("/model", "/moved"))
        assert moved.identity == encoder.identity


def test_labels_are_encoded_by_its_own_templates(make):
    encoder, _ = make()
    vectors = label_vectors(encoder, TEXTS)
    assert vectors.shape == (len(TEXTS), encoder.size)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert all("{}" in it for it in encoder.templates)


def test_clip_gives_what_the_whole_model_gives_of_texts(tmp_path, monkeypatch):
    transformers = pytest.importorskip("transformers", reason="needs the extra [tasks]")
    folder = clip(tmp_path / "clip", monkeypatch).removeprefix("clip:")
    module = transformers.CLIPModel.from_pretrained(folder).eval()
    tokens = transformers.AutoTokenizer.from_pretrained(folder)(TEXTS[0], return_tensors="pt")
    wanted = module.get_text_features(input_ids=tokens["input_ids"], return_dict=True)
    wanted = wanted if isinstance(wanted, torch.Tensor) else wanted.pooler_output
    wanted = torch.nn.functional.normalize(wanted, dim=-1)[0].detach().numpy()
    found = open_encoder(f"clip:{folder}").encode(TEXTS)[0]
    np.testing.assert_allclose(found, wanted, atol=1e-5)
