"""Which files under a path are models, what they are called, and what is listed instead."""

import json
import os

import pytest
import torch
from safetensors.torch import save_file

from weightscape.errors import BadCheckpoint, NotFound
from weightscape.io import discover, open_checkpoint

SAFE, BIN = "model.safetensors", "pytorch_model.bin"


@pytest.fixture
def tree(tmp_path):
    """Make files by their paths; return the folder. Their contents: as given, else nothing."""

    def make(*paths, **contents):
        for path in paths:
            write(tmp_path / path)
        for path, text in contents.items():
            write(tmp_path / path, text)
        return tmp_path

    return make


def write(path, text=""):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text if isinstance(text, str) else json.dumps(text))


def save_torch(path, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"w": torch.ones(2)}, path, **options)


def names(*paths, **options):
    return [found.name for found in discover(paths, **options)[0]]


def skipped(*paths, kinds=("unsupported", "bad")):
    return [(item.path.name, item.kind) for item in discover(paths)[1] if item.kind in kinds]


def test_models_adapters_and_lone_files_are_found(tree):
    root = tree(
        f"a/{SAFE}", "a/config.json", "a/tokenizer.json",
        "b/adapter_config.json", "b/adapter_model.safetensors",
        "c/one.safetensors", "c/two.safetensors",
        "notes/readme.txt",
    )  # fmt: skip
    found, left = discover([root])
    assert [(f.name, f.kind) for f in found] == [
        ("a", "full"), ("b", "adapter"), ("c/one", "full"), ("c/two", "full")
    ]  # fmt: skip
    assert [f.path for f in found] == [root / "a", root / "b", root / "c/one.safetensors",
                                       root / "c/two.safetensors"]  # fmt: skip
    assert left == []


def test_training_litter_is_no_model(tree):
    root = tree(
        f"m/{SAFE}", f"m/{BIN}", "m/config.json", "m/optimizer.pt", "m/scheduler.pt",
        "m/scaler.pt", "m/rng_state_0.pth", "m/training_args.bin", "m/trainer_state.json",
        "m/model.fp16.safetensors", "m/onnx/model.onnx", "m/flax_model.msgpack",
        "m/original/consolidated.00.pth", "m/tf_model.h5", "m/.cache/huggingface/x.safetensors",
        "m/modules.json", "m/2_Dense/model.safetensors", "lonely/optimizer.pt",
    )  # fmt: skip
    found, left = discover([root])
    assert [(f.name, f.path) for f in found] == [("m", root / "m")]
    assert {item.kind for item in left} == {"litter"}
    told = {item.path.relative_to(root).as_posix() for item in left}
    assert {f"m/{BIN}", "m/optimizer.pt", "m/onnx/model.onnx", "m/2_Dense/model.safetensors",
            "m/original/consolidated.00.pth", "m/tf_model.h5"} <= told  # fmt: skip


def test_shards_are_one_model(tree):
    root = tree(
        "m/model.safetensors.index.json", "m/model-00001-of-00002.safetensors",
        "m/model-00002-of-00002.safetensors", "n/pytorch_model.bin.index.json",
        "n/pytorch_model-00001-of-00001.bin", "o/model-00001-of-00002.safetensors",
    )  # fmt: skip
    assert names(root) == ["m", "n"]
    assert skipped(root) == [("o", "bad")]


def test_safetensors_are_preferred_to_their_torch_twin(tree):
    root = tree("d/x.safetensors", "d/y.safetensors")
    save_torch(root / "d/x.pt")
    save_torch(root / "d/z.pt")
    assert [f.path.name for f in discover([root])[0]] == ["x.safetensors", "y.safetensors", "z.pt"]


def test_the_checkpoints_of_a_run_are_models_linked_to_it(tree):
    root = tree(
        f"foo/{SAFE}", f"foo/checkpoint-100/{SAFE}", f"foo/checkpoint-200/{SAFE}",
        "foo/checkpoint-200/optimizer.pt", f"bar/checkpoint-5/{SAFE}", f"baz/{SAFE}",
    )  # fmt: skip
    told = [(f.name, f.run, f.step) for f in discover([root])[0]]
    run = [
        ("foo", "foo", None),
        ("foo/checkpoint-100", "foo", 100),
        ("foo/checkpoint-200", "foo", 200),
    ]
    assert told == [("bar/checkpoint-5", "bar", 5), ("baz", None, None), *run]
    assert [(f.name, f.run, f.step) for f in discover([root / "foo"])[0]] == run
    assert [(f.name, f.run, f.step) for f in discover([root / "foo/checkpoint-100"])[0]] == run[1:2]


def test_the_hub_cache_gives_the_repository_names(tree):
    hub = "hub/models--org--m"
    root = tree(
        f"{hub}/snapshots/aaa/{SAFE}", f"{hub}/snapshots/bbb/{SAFE}",
        f"{hub}/snapshots/aaa/sub/{SAFE}", f"{hub}/blobs/123",
        f"hub/models--gpt2/snapshots/ccc/{SAFE}", f"hub/models--gpt2/snapshots/ddd/{SAFE}",
        f"hub/datasets--d/snapshots/x/{SAFE}",
    )  # fmt: skip
    write(root / hub / "refs/main", "aaa\n")
    for age, commit in enumerate(("ccc", "ddd")):
        os.utime(root / f"hub/models--gpt2/snapshots/{commit}", (1e9 - age, 1e9 - age))
    found = discover([root / "hub"])[0]
    assert [f.name for f in found] == ["gpt2", "org/m", "org/m/sub"]
    assert [f.path.name for f in found] == ["ccc", "aaa", "sub"]
    assert names(root) == names(root / "hub")
    assert names(root / hub) == ["org/m", "org/m/sub"]
    assert names(root / hub / "snapshots/bbb") == ["org/m"]


def test_hub_links_lead_to_blobs(tree):
    root = tree("hub/models--o--m/blobs/x")
    snapshot = root / "hub/models--o--m/snapshots/abc"
    snapshot.mkdir(parents=True)
    save_file({"w": torch.ones(2)}, root / "hub/models--o--m/blobs/weights")
    (snapshot / SAFE).symlink_to("../../blobs/weights")
    (found,) = discover([root / "hub"])[0]
    assert open_checkpoint(found.path).tensor("w").tolist() == [1, 1]


def test_a_path_that_is_a_model_is_called_by_its_own_name(tree):
    root = tree(f"zoo/a/{SAFE}", "zoo/b/adapter_model.safetensors", "zoo/b/adapter_config.json",
                "zoo/x.safetensors")  # fmt: skip
    assert names(root / "zoo/a") == ["a"]
    assert names(root / "zoo/a" / SAFE) == ["a"]
    assert [(f.name, f.kind) for f in discover([root / "zoo/b/adapter_model.safetensors"])[0]] == [
        ("b", "adapter")
    ]
    assert names(root / "zoo/x.safetensors") == ["x"]


def test_names_that_clash_get_the_folder_of_their_argument(tree):
    root = tree(f"one/m/{SAFE}", f"two/m/{SAFE}", f"two/n/{SAFE}", f"far/two/m/{SAFE}")
    assert names(root / "one", root / "two") == ["n", "one/m", "two/m"]
    assert names(root / "one/m", root / "two/m") == ["one/m", "two/m"]
    assert names(root / "two", root / "far/two") == ["far/two/m", "n", f"{root.name}/two/m"]
    assert names(root / "two", root / "two/m", root) == names(root / "two", root)


def test_a_file_and_a_folder_of_one_stem_get_different_names(tree):
    root = tree(f"d/x/{SAFE}", "d/x.safetensors", "d/y.safetensors")
    save_torch(root / "d/z.pt")
    save_torch(root / "d/z.bin")
    assert names(root) == ["d/x", "d/x.safetensors", "d/y", "d/z.bin", "d/z.pt"]


def test_names_do_not_hang_on_the_order_of_files(tree):
    root = tree(*(f"m{i}/{SAFE}" for i in (3, 1, 2)))
    assert names(root) == ["m1", "m2", "m3"] == names(root)


def test_globs_choose_by_name(tree):
    root = tree(f"a/x/{SAFE}", f"a/y/{SAFE}", f"b/x/{SAFE}", "b/q/m.gguf")
    assert names(root, include=["a/*"]) == ["a/x", "a/y"]
    assert names(root, exclude=["*/x"]) == ["a/y"]
    assert names(root, include=["a/*", "b/*"], exclude=["*y"]) == ["a/x", "b/x"]
    assert discover([root], exclude=["b/*"])[1] == []


def test_links_that_go_in_circles_end(tree):
    root = tree(f"real/m/{SAFE}", f"outside/n/{SAFE}", "a/x.txt")
    inside = root / "real"
    (inside / "loop").symlink_to(inside)
    (inside / "up").symlink_to(root)
    (inside / "a_link").symlink_to(inside / "m")
    (inside / "elsewhere").symlink_to(root / "outside")
    (inside / "broken").symlink_to(root / "nowhere")
    (inside / "self").symlink_to(inside / "self")
    assert names(inside) == ["elsewhere/n", "m"]


def test_atlases_and_hidden_folders_are_passed_over_in_silence(tree):
    root = tree(f"m/{SAFE}", "atlas/atlas.sqlite", f"atlas/x/{SAFE}", f".git/{SAFE}",
                f".hidden/m/{SAFE}")  # fmt: skip
    assert discover([root])[1] == []
    assert names(root) == ["m"]
    assert names(root / ".hidden") == ["m"]


@pytest.mark.parametrize(
    ("file", "says"),
    [
        ("model-q4.gguf", "GGUF"),
        ("model.onnx", "ONNX"),
        ("tf_model.h5", "TensorFlow"),
        ("saved_model.pb", "TensorFlow"),
        ("model.ckpt.index", "TensorFlow"),
        ("flax_model.msgpack", "Flax"),
        ("rust_model.ot", "rust-bert"),
        ("__0_0.distcp", "distributed"),
        ("mp_rank_00_model_states.pt", "DeepSpeed"),
    ],
)
def test_formats_that_are_not_read_are_listed(tree, file, says):
    root = tree(f"m/{file}", "m/config.json")
    found, (left,) = discover([root])
    assert found == []
    assert (left.path, left.kind) == (root / "m" / file, "unsupported")
    assert says in left.reason
    assert discover([root / "m" / file])[1] == [left]


@pytest.mark.parametrize(
    "files",
    [
        {"config.json": {"quantization_config": {"quant_method": "gptq"}}},
        {"config.json": {}, "quantize_config.json": {}},
        {"quant_config.json": {}},
    ],
)
def test_packed_models_are_listed_as_not_read(tree, files):
    root = tree(f"m/{SAFE}")
    for name, content in files.items():
        write(root / "m" / name, content)
    found, (left,) = discover([root])
    assert found == []
    assert left.kind == "unsupported" and ("gptq" in left.reason.lower() or "AWQ" in left.reason)


def test_torch_files_are_told_apart_by_their_first_bytes(tree):
    root = tree(**{"d/table.bin": "not torch", "e/x.pt": "not torch either", f"f/{BIN}": ""})
    save_torch(root / "d/new.pt")
    save_torch(root / "d/old.pt", _use_new_zipfile_serialization=False)
    save_torch(root / f"g/{BIN}", _use_new_zipfile_serialization=False)
    write(root / "g/config.json", {})
    # what claims to be a model is opened, and its error reported
    assert names(root) == ["d/new", "e/x", "f"]
    assert skipped(root) == [("old.pt", "unsupported"), (BIN, "unsupported")]


def test_unfinished_adapters_and_folders_that_cannot_be_listed_are_told(tree, monkeypatch):
    root = tree("a/adapter_config.json", f"b/{SAFE}", f"c/{SAFE}")
    assert skipped(root) == [("a", "bad")]
    listed = os.scandir

    def refuse(path):
        if str(path).endswith("/c"):
            raise PermissionError(13, "Permission denied")
        return listed(path)

    monkeypatch.setattr(os, "scandir", refuse)
    assert names(root) == ["b"]
    assert skipped(root) == [("a", "bad"), ("c", "bad")]


def test_a_path_where_nothing_is_is_an_error(tree):
    root = tree(f"m/{SAFE}")
    with pytest.raises(NotFound, match="nowhere"):
        discover([root, root / "nowhere"])
    write(root / "text.txt")
    assert skipped(root / "text.txt") == [("text.txt", "bad")]


def declared(root):
    (found,) = discover([root])[0]
    return found.declared


CARD = "---\nlicense: mit\nbase_model:\n- card/one\n- card/two\n---\n# Model\n"


def test_claims_are_listed_nearest_first(tree):
    root = tree("m/tokenizer.json")
    save_file({"w": torch.ones(1)}, root / f"m/{SAFE}", metadata={"weightscape.parent": "meta"})
    write(root / "m/provenance.json", {"parent": "ours", "task": "x"})
    write(root / "m/config.json", {"_name_or_path": "config/base"})
    write(root / "m/README.md", CARD)
    assert declared(root) == ("ours", "meta", "card/one", "card/two", "config/base")


def mixed(root):
    (found,) = discover([root])[0]
    return found.mixed


def test_a_blend_names_its_parents(tree):
    root = tree(f"m/{SAFE}")
    layers = [{"group": "0", "weights": {"c": 0.5}}, "no layer", {"weights": 3}]
    parents = {"a": 0.6, "b": 0.4, "c": 0.0, "d": 0.0, "e": "0.5"}
    write(root / "m/provenance.json", {"parents": parents, "layers": layers})
    assert mixed(root) == ("a", "b", "c")
    write(root / "m/provenance.json", {"parents": ["a", "b"]})
    assert mixed(root) == ()


RECIPE = """
base_model: org/base
slices:
- sources: [{model: org/one+org/lora, layer_range: [0, 4]}, {model: org/two}]
- sources: [{model: org/one}, {model: {path: org/three}}]
parameters: {t: 0.5}
"""
BOMB = "a: &a [{model: x}, {model: y}]\n" + "".join(
    f"{new}: &{new} [{', '.join(['*' + old] * 9)}]\n"
    for old, new in zip("abcdefghijklm", "bcdefghijklmn", strict=True)
)


@pytest.mark.parametrize(
    ("recipe", "named"),
    [
        (RECIPE, ("org/one", "org/two")),
        (BOMB, ("x", "y")),
        ("models: [{model: one}]", ()),
        ("{", ()),
        ("- !!python/object:os.system {}", ()),
        ("", ()),
    ],
)
def test_a_recipe_of_mergekit_names_its_models(tree, recipe, named):
    root = tree(f"m/{SAFE}")
    write(root / "m/mergekit_config.yml", recipe)
    assert mixed(root) == named


def test_a_card_names_sources_where_it_says_that_it_is_a_merge(tree):
    root = tree(f"m/{SAFE}")
    write(root / "m/README.md", CARD)
    assert mixed(root) == ()
    write(root / "m/README.md", CARD.replace("license: mit", "tags: [merge]"))
    assert mixed(root) == ("card/one", "card/two")


def test_an_adapter_claims_the_base_of_its_config(tree):
    root = tree("m/adapter_model.safetensors")
    write(root / "m/adapter_config.json", {"base_model_name_or_path": "org/base"})
    write(root / "m/README.md", "---\nbase_model: org/base\n---\n")
    assert declared(root) == ("org/base",)


@pytest.mark.parametrize("claim", ["m", "{root}/m", "", " ", 5, None, ["x"], "a\0b", "x" * 1000])
def test_claims_of_oneself_and_claims_that_are_none_are_dropped(tree, claim):
    root = tree(f"m/{SAFE}")
    claim = claim.format(root=root) if isinstance(claim, str) else claim
    write(root / "m/config.json", {"_name_or_path": claim})
    assert declared(root) == ()


@pytest.mark.parametrize(
    "card",
    [
        "no front matter",
        "---\nbase_model: x\n",
        "---\n- a list\n---\n",
        "---\nbase_model: {a: b}\n---\n",
        "---\nbase_model: [\n---\n",
        "---\n" + "[" * 1500 + "\n---\n",
        "---\n!!python/object/apply:os.system [true]\n---\n",
        "---\na: &a [1, 1]\n" + "".join(f"b{i}: &b{i} [*a, *a]\n" for i in range(50)) + "---\n",
    ],
)
def test_a_model_card_that_is_broken_or_hostile_claims_nothing(tree, card):
    root = tree(f"m/{SAFE}")
    write(root / "m/README.md", card)
    assert declared(root) == ()


def test_a_broken_config_claims_nothing_and_is_left_to_opening(tree):
    root = tree(**{f"m/{SAFE}": "", "m/config.json": "{", "m/provenance.json": "[" * 100_000})
    assert declared(root) == ()


@pytest.mark.parametrize("name", ["x.pt", "x.safetensors", SAFE])
def test_a_pipe_is_told_of_and_never_opened(tmp_path, name):
    pipe = tmp_path / name
    os.mkfifo(pipe)
    for given in (pipe, tmp_path):
        found, left = discover([given])
        assert found == []
        assert [(item.path, item.kind) for item in left] == [(pipe, "bad")]
        assert "not a regular file" in left[0].reason
        with pytest.raises(BadCheckpoint, match="not a regular file"):
            open_checkpoint(given)


def test_links_to_blobs_without_an_ending_are_models_by_their_own_names(tmp_path):
    blobs, cache = tmp_path / "blobs", tmp_path / "snapshots"
    blobs.mkdir()
    tensors = {"w": torch.ones(2)}
    save_file(tensors, blobs / "1a")
    save_torch(blobs / "2b")
    write(blobs / "3c", {"model_type": "x"})
    write(blobs / "4d", {"weight_map": {"w": "model-00001-of-00001.safetensors"}})
    links = {
        "lone/weights.safetensors": "1a",
        "torch/seed.pt": "2b",
        "whole/model.safetensors": "1a", "whole/config.json": "3c",
        "shards/model-00001-of-00001.safetensors": "1a",
        "shards/model.safetensors.index.json": "4d", "shards/config.json": "3c",
    }  # fmt: skip
    for link, blob in links.items():
        (cache / link).parent.mkdir(parents=True, exist_ok=True)
        (cache / link).symlink_to(blobs / blob)
    written = ["lone/weights.safetensors", "shards", "torch/seed.pt", "whole"]
    assert [one.path for one in discover([cache])[0]] == [cache / path for path in written]
    for path in written:
        assert [one.path for one in discover([cache / path])[0]] == [cache / path]
        checkpoint = open_checkpoint(cache / path)
        assert checkpoint.tensor("w").equal(tensors["w"])
        assert checkpoint.config == ({"model_type": "x"} if path in ("shards", "whole") else {})
