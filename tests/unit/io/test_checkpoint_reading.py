"""What is read from safetensors files and folders is what was stored, without copies."""

import json
import resource
import subprocess
import sys
import tracemalloc

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file, save_model

from weightscape.errors import BadCheckpoint, BadInput, UnknownName, UnsupportedFormat
from weightscape.io import open_checkpoint
from weightscape.io.dtypes import TORCH_DTYPES


def same(left, right):
    return (
        left.dtype == right.dtype
        and left.shape == right.shape
        and left.contiguous()
        .view(-1)
        .view(torch.uint8)
        .equal(right.contiguous().view(-1).view(torch.uint8))
    )


@pytest.fixture
def model(tmp_path):
    """Write a model folder of random tensors; return its path and the tensors."""
    generator = torch.Generator().manual_seed(0)
    tensors = {
        "embed": torch.randn(12, 5, generator=generator),
        "scalar": torch.tensor(3.5),
        "empty": torch.empty(0, 4),
        "half": torch.randn(3, 2, 2, generator=generator).half(),
    }
    save_file(tensors, tmp_path / "model.safetensors", metadata={"format": "pt"})
    (tmp_path / "config.json").write_text('{"model_type": "x", "limits": [0, Infinity]}')
    return tmp_path, tensors


@pytest.mark.parametrize("stored", TORCH_DTYPES)
def test_every_dtype_is_read_bit_by_bit(raw_safetensors, stored):
    dtype = TORCH_DTYPES[stored]
    data = bytes([0, 1] * (3 * dtype.itemsize))
    path = raw_safetensors(
        {"w": {"dtype": stored, "shape": [2, 3], "data_offsets": [0, 6 * dtype.itemsize]}},
        data[: 6 * dtype.itemsize],
    )
    checkpoint = open_checkpoint(path)
    tensor = checkpoint.tensor("w")
    assert tensor.dtype == dtype and tensor.shape == (2, 3)
    assert tensor.view(-1).view(torch.uint8).numpy().tobytes() == data[: 6 * dtype.itemsize]
    assert checkpoint.tensors["w"].stored == stored


def test_opening_tells_all_and_reads_only_the_header(model):
    path, tensors = model
    checkpoint = open_checkpoint(path)
    assert checkpoint.format == "safetensors"
    assert checkpoint.config["model_type"] == "x"
    assert checkpoint.metadata == {"format": "pt"}
    assert {name: info.shape for name, info in checkpoint.tensors.items()} == {
        name: tuple(tensor.shape) for name, tensor in tensors.items()
    }
    assert checkpoint.nbytes == sum(tensor.nbytes for tensor in tensors.values())
    assert checkpoint.files == (path / "model.safetensors",)
    # nothing is mapped yet: a file that grows after opening is only noticed when it is read
    with (path / "model.safetensors").open("ab") as file:
        file.write(b"x")
    with pytest.raises(BadCheckpoint, match="has changed"):
        checkpoint.tensor("embed")


def test_a_file_cut_after_opening_is_not_touched(model):
    path, _ = model
    checkpoint = open_checkpoint(path)
    with (path / "model.safetensors").open("r+b") as file:
        file.truncate(100)
    with pytest.raises(BadCheckpoint, match="has changed"):
        checkpoint.tensor("embed")


# in a process of its own, which dies by SIGBUS if the missing pages are touched
CUT_WHILE_READ = """
import os, sys
from weightscape.errors import BadCheckpoint
from weightscape.io import open_checkpoint
path, size = sys.argv[1], int(sys.argv[2])
checkpoint = open_checkpoint(path)
before = float(checkpoint.flat("w", 0, 1000).sum())
os.truncate(path, size)
assert float(checkpoint.flat("w", 0, 1000).sum()) == before
for read in (
    lambda: checkpoint.flat("w", 290_000, 300_000),
    lambda: checkpoint.rows("w", 299, 300),
    lambda: checkpoint.tensor("w"),
):
    try:
        print(read().sum())
    except BadCheckpoint as error:
        print(error.tensor, error.span[1] - error.span[0], error)
"""


@pytest.mark.parametrize("kept", [100_000, 1_200_000])
def test_a_file_cut_while_it_is_read_is_refused(tmp_path, kept):
    path = tmp_path / "m.safetensors"
    save_file({"w": torch.ones(300, 1000)}, path)
    assert path.stat().st_size > 1_200_000
    told = subprocess.run(
        [sys.executable, "-c", CUT_WHILE_READ, str(path), str(kept)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode == 0, told.stderr
    lines = told.stdout.splitlines()
    assert [line.split()[:2] for line in lines] == [
        ["w", "40000"], ["w", "4000"], ["w", "1200000"]
    ]  # fmt: skip
    assert all(str(path) in line and f"was cut to {kept:,} bytes" in line for line in lines)


def test_a_deleted_file_can_still_be_read_where_it_is_mapped(model):
    path, tensors = model
    checkpoint = open_checkpoint(path)
    checkpoint.flat("embed", 0, 1)
    (path / "model.safetensors").unlink()
    assert same(checkpoint.tensor("embed"), tensors["embed"])


def test_tensors_rows_and_elements_are_what_was_stored(model):
    path, tensors = model
    with open_checkpoint(path) as checkpoint:
        for name, tensor in tensors.items():
            assert same(checkpoint.tensor(name), tensor)
            assert same(checkpoint.flat(name), tensor.view(-1))
        for start, stop in [(0, 12), (3, 7), (5, 5), (-2, 12), (7, 3), (10, 99)]:
            assert same(checkpoint.rows("embed", start, stop), tensors["embed"][start:stop])
        for start, stop in [(0, 60), (7, 31), (59, 60), (60, 60), (-3, None)]:
            assert same(
                checkpoint.flat("embed", start, stop), tensors["embed"].view(-1)[start:stop]
            )
        assert same(checkpoint.rows("empty", 0, 0), tensors["empty"])
        with pytest.raises(BadInput, match="no rows"):
            checkpoint.rows("scalar", 0, 1)
        with pytest.raises(UnknownName, match="nearest: embed"):
            checkpoint.tensor("embet")


def test_reads_share_the_mapped_pages_and_outlive_the_checkpoint(model):
    path, tensors = model
    checkpoint = open_checkpoint(path)
    whole = checkpoint.tensor("embed")
    assert checkpoint.rows("embed", 2, 4).data_ptr() == whole[2].data_ptr()
    assert checkpoint.flat("embed", 5, 6).data_ptr() == whole[1].data_ptr()
    checkpoint.release("embed")
    checkpoint.close()
    del checkpoint
    assert same(whole, tensors["embed"])


def test_a_write_into_a_tensor_never_reaches_the_file(model):
    path, tensors = model
    checkpoint = open_checkpoint(path)
    checkpoint.tensor("embed").zero_()
    assert same(open_checkpoint(path).tensor("embed"), tensors["embed"])
    checkpoint.release("embed")
    assert same(checkpoint.tensor("embed"), tensors["embed"])


def test_tensors_that_are_not_aligned_are_copied(raw_safetensors):
    values = torch.randn(4)
    path = raw_safetensors(
        {
            "flag": {"dtype": "BOOL", "shape": [1], "data_offsets": [0, 1]},
            "w": {"dtype": "F32", "shape": [2, 2], "data_offsets": [1, 17]},
        },
        b"\1" + values.numpy().tobytes(),
    )
    checkpoint = open_checkpoint(path)
    assert same(checkpoint.tensor("w"), values.view(2, 2))
    assert same(checkpoint.rows("w", 1, 2), values[2:].view(1, 2))


def test_a_thousand_models_are_open_under_a_small_limit_of_descriptors(model):
    path, tensors = model
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(64, soft), hard))
    try:
        opened = [open_checkpoint(path) for _ in range(300)]
        held = [checkpoint.tensor("embed") for checkpoint in opened]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert all(same(tensor, tensors["embed"]) for tensor in held)


def test_a_file_larger_than_memory_is_mapped(tmp_path):
    size = 1 << 42  # sparse
    path = tmp_path / "model.safetensors"
    header = {"w": {"dtype": "U8", "shape": [size], "data_offsets": [0, size]}}
    text = json.dumps(header).encode()
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        try:
            file.truncate(8 + len(text) + size)
        except OSError as error:
            pytest.skip(f"the file system holds no sparse file of 4 TB: {error}")
    checkpoint = open_checkpoint(path)
    assert checkpoint.flat("w", size - 3, size).tolist() == [0, 0, 0]


def test_names_left_out_by_save_model_are_known_as_tied(tmp_path):
    module = torch.nn.Module()
    module.embed = torch.nn.Linear(3, 3, bias=False)
    module.head = torch.nn.Linear(3, 3, bias=False)
    module.head.weight = module.embed.weight
    save_model(module, str(tmp_path / "model.safetensors"))
    checkpoint = open_checkpoint(tmp_path)
    ((alias, kept),) = checkpoint.tied.items()
    assert {alias, kept} == {"embed.weight", "head.weight"}
    assert same(checkpoint.tensor(alias), module.embed.weight.detach())


@settings(max_examples=30, deadline=None)
@given(
    shapes=st.lists(st.lists(st.integers(0, 4), max_size=3), min_size=1, max_size=5),
    dtypes=st.lists(st.sampled_from(["F32", "BF16", "U8", "BOOL", "F8_E4M3"]), min_size=5),
)
def test_what_safetensors_saves_is_read_back(tmp_path_factory, shapes, dtypes):
    folder = tmp_path_factory.mktemp("round")
    tensors = {
        f"t{i}": torch.randint(0, 2, shape).to(TORCH_DTYPES[dtypes[i]])
        for i, shape in enumerate(shapes)
    }
    save_file(tensors, folder / "model.safetensors")
    checkpoint = open_checkpoint(folder)
    assert {name: same(checkpoint.tensor(name), tensor) for name, tensor in tensors.items()} == (
        dict.fromkeys(tensors, True)
    )


def sharded(folder, weight_map):
    """Write two shards, a.safetensors with tensor x and b.safetensors with y, and an index."""
    save_file({"x": torch.ones(2)}, folder / "a.safetensors")
    save_file({"y": torch.zeros(3)}, folder / "b.safetensors")
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))


def test_shards_are_put_together(tmp_path):
    sharded(tmp_path, {"x": "a.safetensors", "y": "b.safetensors"})
    checkpoint = open_checkpoint(tmp_path)
    assert list(checkpoint.tensors) == ["x", "y"]
    assert checkpoint.tensors["y"].file == "b.safetensors"
    assert checkpoint.tensor("y").tolist() == [0, 0, 0]
    assert open_checkpoint(tmp_path / "model.safetensors.index.json").nbytes == 20


def test_shards_may_be_links_out_of_the_folder_as_in_the_hub_cache(tmp_path):
    blobs, folder = tmp_path / "blobs", tmp_path / "snapshot"
    blobs.mkdir()
    folder.mkdir()
    sharded(blobs, {"x": "a.safetensors", "y": "b.safetensors"})
    for file in blobs.iterdir():
        (folder / file.name).symlink_to(file)
    assert set(open_checkpoint(folder).tensors) == {"x", "y"}


@pytest.mark.parametrize(
    ("weight_map", "says"),
    [
        ({"x": "../secret.safetensors"}, "outside the model's folder"),
        ({"x": "/etc/secret.safetensors"}, "outside the model's folder"),
        ({"x": "C:\\secret.safetensors"}, "outside the model's folder"),
        ({"x": "..\\secret.safetensors"}, "outside the model's folder"),
        ({"x": "sub/../../secret.safetensors"}, "outside the model's folder"),
        ({"x": "a\0.safetensors"}, "outside the model's folder"),
        ({"x": "a" * 5000 + ".safetensors"}, "not there"),
        ({"x": "a.safetensors", "y": "c.safetensors"}, r"c.safetensors.*1 of 2 files are missing"),
        ({"x": "a.txt"}, "no .safetensors file"),
        ({"x": 5}, "no file is named"),
        ({"x": "b.safetensors"}, "tensor 'x': is not in b.safetensors"),
        ({"z": "a.safetensors"}, "tensor 'z': is not in a.safetensors"),
        ({}, "no weight_map"),
        ([], "no weight_map"),
    ],
)
def test_an_index_that_cannot_be_is_refused(tmp_path, weight_map, says):
    sharded(tmp_path, weight_map)
    with pytest.raises(BadCheckpoint, match=says):
        open_checkpoint(tmp_path)


def test_a_tensor_in_two_shards_is_refused(tmp_path):
    sharded(tmp_path, {"x": "a.safetensors", "y": "b.safetensors"})
    save_file({"x": torch.ones(2), "y": torch.ones(2)}, tmp_path / "b.safetensors")
    with pytest.raises(BadCheckpoint, match=r"b\.safetensors, tensor 'x'.*a\.safetensors"):
        open_checkpoint(tmp_path)


def test_shards_without_an_index_are_an_unfinished_model(tmp_path):
    save_file({"x": torch.ones(2)}, tmp_path / "model-00001-of-00002.safetensors")
    with pytest.raises(BadCheckpoint, match="no index"):
        open_checkpoint(tmp_path)
    with pytest.raises(BadInput, match="one shard"):
        open_checkpoint(tmp_path / "model-00001-of-00002.safetensors")


def test_a_folder_of_several_models_asks_for_one(tmp_path):
    for name in ("a", "b"):
        save_file({"x": torch.ones(2)}, tmp_path / f"{name}.safetensors")
    with pytest.raises(BadInput, match=r"a\.safetensors, b\.safetensors"):
        open_checkpoint(tmp_path)


def test_a_config_that_is_a_bomb_is_refused_by_its_size(model):
    path, _ = model
    with (path / "config.json").open("wb") as file:
        file.truncate(1 << 30)
    with pytest.raises(BadCheckpoint, match=r"config\.json: is 1,073,741,824 bytes"):
        open_checkpoint(path)
    (path / "config.json").write_text("[" * 50_000)
    with pytest.raises(BadCheckpoint, match="nested too deeply"):
        open_checkpoint(path)


def test_json_that_would_fill_the_memory_is_refused_before_it_is_parsed(model):
    path, _ = model
    bomb = '{"weight_map": [' + "[]," * 1_000_000 + "[]]}"
    (path / "config.json").write_text(bomb)
    index = path / "other.safetensors.index.json"
    index.write_text(bomb)
    (path / "big").mkdir()
    with (path / "big" / index.name).open("wb") as file:
        file.truncate(40 << 20)
    tracemalloc.start()
    try:
        for target in (path, path / "model.safetensors"):
            with pytest.raises(BadCheckpoint, match=r"config\.json: its JSON holds .* brackets"):
                open_checkpoint(target)
        (path / "config.json").unlink()
        with pytest.raises(BadCheckpoint, match=r"index\.json: its JSON holds .* brackets"):
            open_checkpoint(index)
        with pytest.raises(BadCheckpoint, match=r"index\.json: is 41,943,040 bytes"):
            open_checkpoint(path / "big")
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("method", ["gptq", "awq", "bitsandbytes"])
def test_packed_weights_are_recognised_but_not_read(model, method):
    path, _ = model
    (path / "config.json").write_text(json.dumps({"quantization_config": {"quant_method": method}}))
    with pytest.raises(UnsupportedFormat, match=f"packed by {method}"):
        open_checkpoint(path)


def test_bare_adapter_factors_are_not_taken_for_a_model(tmp_path):
    save_file({"l.lora_A.weight": torch.ones(2, 2)}, tmp_path / "lora.safetensors")
    with pytest.raises(UnsupportedFormat, match="adapter_config"):
        open_checkpoint(tmp_path / "lora.safetensors")


def test_a_folder_of_models_is_said_to_be_one(tmp_path):
    one = {"w": torch.ones(2, 2)}
    for name in ("zoo/a", "zoo/deep/b"):
        (tmp_path / name).mkdir(parents=True)
        save_file(one, tmp_path / name / "model.safetensors")
    torch.save(one, tmp_path / "zoo" / "deep" / "c.pt")
    with pytest.raises(
        BadInput, match=r"holds 3 models \(a, deep/b, deep/c.pt\); name one of them"
    ):
        open_checkpoint(tmp_path / "zoo")
    (tmp_path / "hub" / "m").mkdir(parents=True)
    save_file(one, tmp_path / "hub" / "m" / "model.safetensors")
    with pytest.raises(BadInput, match=r"holds a model \(m\); name it"):
        open_checkpoint(tmp_path / "hub")
    (tmp_path / "empty" / "below").mkdir(parents=True)
    with pytest.raises(BadCheckpoint, match="holds no weights that are known"):
        open_checkpoint(tmp_path / "empty")
