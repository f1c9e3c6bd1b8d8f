import json
import sys
import zipfile

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from tiny_models import save_bert, save_gpt2, save_t5
from weightscape.errors import (
    BadCheckpoint,
    BadInput,
    MissingExtra,
    NotFound,
    UnknownName,
    UnsupportedFormat,
    WeightscapeError,
)
from weightscape.probing.encoders import CachedEncoder, KeptVectors, open_encoder
from weightscape.probing.prompts import label_vectors, label_words, text_vectors

TEXTS = ["good film", "bad book", "good film good film"]


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    return save_bert(tmp_path_factory.mktemp("bert"))


def as_sentence_transformer(folder, pooling="mean_tokens", modules=("Transformer", "Pooling")):
    save_bert(folder)
    listed = [{"type": f"sentence_transformers.models.{it}", "path": ""} for it in modules]
    for it in listed:
        if it["type"].endswith("Pooling"):
            it["path"] = "1_Pooling"
    (folder / "modules.json").write_text(json.dumps(listed))
    (folder / "1_Pooling").mkdir()
    config = {f"pooling_mode_{it}": it == pooling for it in ("mean_tokens", "cls_token", "max")}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(config))
    return folder


def test_tokens_that_only_fill_up_do_not_count(bert):
    import transformers

    module = transformers.AutoModel.from_pretrained(bert)
    tokenizer = transformers.AutoTokenizer.from_pretrained(bert)
    states = module(**tokenizer(TEXTS[0], return_tensors="pt")).last_hidden_state[0]
    mean = states.mean(0).detach().numpy()
    found = open_encoder(str(bert)).encode(["a very very very bad book", TEXTS[0]])[1]
    np.testing.assert_allclose(found, mean / np.linalg.norm(mean), atol=1e-5)


def test_a_folder_says_how_its_tokens_are_pooled(tmp_path, bert):
    mean = open_encoder(str(as_sentence_transformer(tmp_path / "mean")))
    first = open_encoder(str(as_sentence_transformer(tmp_path / "cls", "cls_token")))
    np.testing.assert_allclose(mean.encode(TEXTS), open_encoder(str(bert)).encode(TEXTS), atol=1e-6)
    assert not np.allclose(first.encode(TEXTS), mean.encode(TEXTS), atol=1e-2)
    assert len({mean.identity, first.identity}) == 2
    assert first.identity.startswith("cls-bert@")


def test_what_a_folder_asks_for_and_is_not_read_is_said(tmp_path):
    dense = as_sentence_transformer(tmp_path / "a", modules=("Transformer", "Pooling", "Dense"))
    with pytest.raises(UnsupportedFormat, match=r"'Dense'.*vectors:FILE"):
        open_encoder(str(dense))
    with pytest.raises(UnsupportedFormat, match="pooling max"):
        open_encoder(str(as_sentence_transformer(tmp_path / "b", "max")))
    with pytest.raises(UnsupportedFormat, match="t5"):
        open_encoder(str(save_t5(tmp_path / "c")))


@pytest.mark.parametrize(
    "listed", ["{}", "[3]", '[{"type": "x.Transformer", "path": "../.."}]', "["]
)
def test_a_hostile_list_of_modules_is_refused(tmp_path, listed):
    save_bert(tmp_path / "m")
    (tmp_path / "m" / "modules.json").write_text(listed)
    with pytest.raises(WeightscapeError):
        open_encoder(str(tmp_path / "m"))


def test_long_texts_are_cut_and_not_refused(bert):
    encoder = open_encoder(str(bert))
    assert encoder.encode(["good film " * 5000, ""]).shape == (2, 16)


def test_a_model_without_padding_or_tokenizer_says_so(tmp_path):
    with pytest.raises(BadInput, match="padding token"):
        open_encoder(str(save_gpt2(tmp_path / "gpt2"))).encode(TEXTS)
    with pytest.raises(BadInput, match="bare: no tokenizer"):
        open_encoder(str(save_bert(tmp_path / "bare", tokenizer=False))).encode(TEXTS)


def test_a_model_that_claims_more_than_it_stores_is_not_built(tmp_path):
    save_bert(tmp_path / "m")
    config = json.loads((tmp_path / "m" / "config.json").read_text())
    (tmp_path / "m" / "config.json").write_text(json.dumps({**config, "vocab_size": 1 << 30}))
    with pytest.raises(BadCheckpoint, match="far more than its weights hold"):
        open_encoder(str(tmp_path / "m")).encode(TEXTS)


def test_a_model_whose_layers_are_missing_is_refused(tmp_path):
    from safetensors.torch import load_file

    folder = save_bert(tmp_path / "m")
    tensors = load_file(folder / "model.safetensors")
    culprit = next(name for name in tensors if "layer.1" in name)
    del tensors[culprit]
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(BadCheckpoint, match="missing"):
        open_encoder(str(folder)).encode(TEXTS)


def test_without_transformers_the_pip_line_is_told(bert, monkeypatch):
    encoder = open_encoder(str(bert))
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(MissingExtra, match=r"pip install 'weightscape\[tasks\]'"):
        encoder.encode(TEXTS)


@pytest.mark.parametrize(
    "given, error, said",
    [
        ("clpi:x", UnknownName, "nearest: clip"),
        ("/nowhere/at/all", NotFound, "no such folder"),
        ("clip:/nowhere/at/all", NotFound, "no such folder"),
        ("vectors:/nowhere.npz", NotFound, "no such file"),
        ("packaged:minilm", UnknownName, "all-minilm-l6-v2"),
        ("text:", NotFound, "no such folder"),
    ],
)
def test_what_cannot_be_opened_is_named(given, error, said):
    with pytest.raises(error, match=said):
        open_encoder(given)


def test_a_text_model_is_no_clip_and_a_file_no_folder(bert):
    with pytest.raises(BadInput, match="is a bert model and no CLIP"):
        open_encoder(f"clip:{bert}")
    with pytest.raises(BadInput, match="vectors:"):
        open_encoder(str(bert / "model.safetensors"))


def save_vectors(file, names=("good film", "Bad_Book"), vectors=None):
    np.savez(
        file, names=np.array(names), vectors=np.eye(len(names)) if vectors is None else vectors
    )
    return file


def test_kept_vectors_are_looked_up_whatever_their_case_and_spaces(tmp_path):
    kept = KeptVectors(save_vectors(tmp_path / "v.npz", ("Good film", "bad book")))
    np.testing.assert_allclose(kept.encode(["good  FILM", "bad_book"]), np.eye(2))
    with pytest.raises(BadInput, match=r"no vector of 'bad cook'; nearest: bad book"):
        kept.encode(["bad cook"])


@pytest.mark.parametrize(
    "names, vectors, said",
    [
        (("a", "A"), np.eye(2), "twice"),
        (("a", "b"), np.eye(3), "one row a name"),
        (("a", "b"), np.zeros((2, 3)), "zero or not finite"),
        (("a", "b"), np.full((2, 3), np.nan), "zero or not finite"),
        (("a", "b"), np.eye(2, dtype=np.int64), "should be numbers"),
        ((1, 2), np.eye(2), "list of texts"),
        ((), np.zeros((0, 3)), "list of texts|no vectors"),
    ],
)
def test_vectors_that_make_no_sense_are_refused(tmp_path, names, vectors, said):
    with pytest.raises(BadInput, match=said):
        KeptVectors(save_vectors(tmp_path / "v.npz", names, vectors))


def test_pickled_vectors_are_never_loaded(tmp_path):
    objects = np.array([{"a": 1}, print], dtype=object)
    np.savez(tmp_path / "v.npz", names=objects, vectors=np.eye(2))
    with pytest.raises(UnsupportedFormat, match="pickled"):
        KeptVectors(tmp_path / "v.npz")


def test_an_array_is_believed_as_far_as_its_bytes_go(tmp_path):
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000, 384), }"
    header += b" " * (118 - len(header)) + b"\n"
    data = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header
    for content in (data, data[:20], b"", b"\x93NUMPY\x09\x00", data.replace(b"(", b"-(")):
        with zipfile.ZipFile(tmp_path / "v.npz", "w") as archive:
            archive.writestr("names.npy", content)
            archive.writestr("vectors.npy", content)
        with pytest.raises(WeightscapeError):
            KeptVectors(tmp_path / "v.npz")
    (tmp_path / "v.npz").write_bytes(b"PK not a zip")
    with pytest.raises(BadCheckpoint, match=r"no \.npz"):
        KeptVectors(tmp_path / "v.npz")


def test_one_tensor_a_text_is_what_a_file_of_vectors_holds(tmp_path):
    save_file({"a": torch.eye(2)}, tmp_path / "v.safetensors")
    with pytest.raises(BadInput, match="one vector a text"):
        KeptVectors(tmp_path / "v.safetensors")
    (tmp_path / "v.txt").write_text("a 1 2")
    with pytest.raises(UnsupportedFormat, match=r"\.npz"):
        KeptVectors(tmp_path / "v.txt")


class Counting:
    """An encoder that remembers what it was asked."""

    opened_by = identity = "counting"
    size = 3
    templates = ("{}", "on {}")

    def __init__(self):
        self.asked = []

    def encode(self, texts):
        self.asked += texts
        rows = [[len(text), 1 + text.count("a"), 1] for text in texts]
        vectors = np.array(rows, dtype=np.float32).reshape(-1, 3)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_a_text_is_encoded_once_whoever_asks(tmp_path):
    inner = Counting()
    first = CachedEncoder(inner, tmp_path).encode(["a", "b", "a"])
    again = CachedEncoder(inner, tmp_path).encode(["b", "a", "c"])
    assert inner.asked == ["a", "b", "c"]
    np.testing.assert_array_equal(again[:2], first[[1, 0]])


def test_a_damaged_or_unwritable_cache_costs_time_and_no_more(tmp_path):
    inner = Counting()
    wanted = CachedEncoder(inner, tmp_path / "c").encode(["a", "b", "c"])
    for file, damage in zip(
        sorted((tmp_path / "c").rglob("*.f32")), (b"", b"x" * 12, b"\0" * 12), strict=True
    ):
        file.write_bytes(damage)
    np.testing.assert_array_equal(
        CachedEncoder(inner, tmp_path / "c").encode(["a", "b", "c"]), wanted
    )
    (tmp_path / "file").write_text("no folder")
    assert CachedEncoder(inner, tmp_path / "file").encode(["a"]).shape == (1, 3)


def test_a_label_is_asked_in_sentences_and_in_its_words():
    encoder = Counting()
    label_vectors(encoder, ["rec.autos", "n01"], words={"n01": "tench {} {0.__class__}"})
    assert encoder.asked == [
        "rec autos",
        "on rec autos",
        "tench {} {0.__class__}",
        "on tench {} {0.__class__}",
    ]
    mean = encoder.encode(["rec autos", "on rec autos"]).mean(0)
    np.testing.assert_allclose(
        text_vectors(encoder, ["rec.autos"])["rec.autos"], mean / np.linalg.norm(mean), atol=1e-6
    )
    assert label_vectors(encoder, []).shape == (0, 3)
    with pytest.raises(BadInput, match="where the label goes"):
        label_vectors(encoder, ["a"], templates=["no place"])


@pytest.mark.parametrize(
    "label, words",
    [
        ("talk.politics.mideast", "talk politics mideast"),
        ("ENTY:animal", "ENTY animal"),
        ("textClassification-v2", "text Classification v2"),
        ("...", "..."),
        ("grüne_Äpfel", "grüne Äpfel"),
    ],
)
def test_labels_in_words(label, words):
    assert label_words(label) == words


def test_a_hub_s_model_is_the_folder_that_it_is_fetched_into(bert, monkeypatch):
    asked = []

    def fetch(where, **how):
        asked.append((where, how["local_files_only"], how["allow_patterns"]))
        return str(bert)

    monkeypatch.setattr("weightscape.probing.encoders.model_folder.needs_cache", lambda where: True)
    monkeypatch.setattr("huggingface_hub.snapshot_download", fetch)
    encoder = open_encoder("somebody/a-sentence-model")
    assert encoder.opened_by == "somebody/a-sentence-model"
    assert encoder.identity == open_encoder(str(bert)).identity
    ((where, here_only, patterns),) = asked
    assert (where, here_only) == ("somebody/a-sentence-model", True)
    assert not any(it.endswith((".bin", ".py")) for it in patterns)
