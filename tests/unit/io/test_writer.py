"""A model that is written is whole and loadable, or not there."""

import json
import os
import signal
import subprocess
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file

from weightscape.errors import BadInput, WeightscapeError
from weightscape.io import open_checkpoint, write_checkpoint
from weightscape.io.dtypes import TORCH_DTYPES


@pytest.fixture
def tensors():
    return {
        "a": torch.randn(6, 4),
        "b": torch.randn(3).bfloat16(),
        "c": torch.tensor(1.5),
        "d": torch.empty(0, 2),
        "e": torch.randn(4, 5).T,
        "f": torch.tensor([True, False, True]),
        "g": torch.randn(4).to(torch.float8_e5m2),
    }


def files(folder):
    return sorted(path.name for path in folder.iterdir())


def equal(read, tensors):
    return set(read) == set(tensors) and all(
        read[name].dtype == tensor.dtype
        and read[name].shape == tensor.shape
        and read[name]
        .view(-1)
        .view(torch.uint8)
        .equal(tensor.contiguous().view(-1).view(torch.uint8))
        for name, tensor in tensors.items()
    )


def test_one_shard_is_what_safetensors_reads(tmp_path, tensors):
    folder = write_checkpoint(tmp_path / "m", tensors, config={"x": 1}, metadata={"k": "v"},
                              extra_files={"note.txt": b"hello"})  # fmt: skip
    assert files(folder) == ["config.json", "model.safetensors", "note.txt"]
    assert equal(load_file(folder / "model.safetensors"), tensors)
    checkpoint = open_checkpoint(folder)
    assert checkpoint.metadata == {"format": "pt", "k": "v"}
    assert checkpoint.config == {"x": 1}


def test_shards_hold_no_more_than_they_may_and_have_an_index(tmp_path, tensors):
    folder = write_checkpoint(tmp_path, tensors, shard_bytes=80)
    index = json.loads((folder / "model.safetensors.index.json").read_text())
    assert index["metadata"]["total_size"] == sum(tensor.nbytes for tensor in tensors.values())
    assert set(index["weight_map"]) == set(tensors)
    shards = sorted(set(index["weight_map"].values()))
    assert shards[0] == f"model-00001-of-{len(shards):05d}.safetensors"
    read = {}
    for shard in shards:
        part = load_file(folder / shard)
        assert len(part) == 1 or sum(tensor.nbytes for tensor in part.values()) <= 80
        read |= part
    assert equal(read, tensors)
    assert equal({name: open_checkpoint(folder).tensor(name) for name in tensors}, tensors)


@settings(max_examples=30, deadline=None)
@given(
    shapes=st.lists(st.lists(st.integers(0, 5), max_size=3), min_size=1, max_size=6),
    dtypes=st.lists(st.sampled_from(sorted(TORCH_DTYPES)), min_size=6, max_size=6),
    shard_bytes=st.integers(1, 400),
)
def test_what_is_written_is_read_back(tmp_path_factory, shapes, dtypes, shard_bytes):
    folder = tmp_path_factory.mktemp("written")
    tensors = {}
    for number, shape in enumerate(shapes):
        dtype = TORCH_DTYPES[dtypes[number]]
        count = torch.Size(shape).numel() * dtype.itemsize
        raw = torch.randint(0, 2, (count,), dtype=torch.uint8)
        tensors[f"t{number}"] = raw.view(dtype).view(shape)
    checkpoint = open_checkpoint(write_checkpoint(folder, tensors, shard_bytes=shard_bytes))
    assert equal({name: checkpoint.tensor(name) for name in checkpoint.tensors}, tensors)


@pytest.mark.parametrize(("count", "reserved"), [(3, 4096), (200, 256)])
def test_a_shard_larger_than_the_buffer_is_streamed(tmp_path, monkeypatch, count, reserved):
    # with 200 tensors the header outgrows the room kept for it
    monkeypatch.setattr("weightscape.io.writer._BUFFER", 1000)
    monkeypatch.setattr("weightscape.io.writer._RESERVED", reserved)
    tensors = {f"t{i}": torch.full((50,), float(i)) for i in range(count)}
    folder = write_checkpoint(tmp_path, tensors)
    assert files(folder) == ["model.safetensors"]
    assert equal(load_file(folder / "model.safetensors"), tensors)


def test_an_iterator_may_fill_one_buffer_again_and_again(tmp_path):
    buffer = torch.empty(4)

    def filled():
        for number in range(3):
            yield f"t{number}", buffer.fill_(number // 2)

    read = load_file(write_checkpoint(tmp_path, filled()) / "model.safetensors")
    assert {name: tensor.tolist() for name, tensor in read.items()} == {
        "t0": [0] * 4, "t1": [0] * 4, "t2": [1] * 4
    }  # fmt: skip


def test_tied_tensors_are_written_once(tmp_path):
    embed = torch.randn(5, 3)
    state = {"embed": embed, "head": embed, "part": embed[:2], "turned": embed.T}
    for number, form in enumerate((state, state.items(), list(state.items()))):
        checkpoint = open_checkpoint(write_checkpoint(tmp_path / f"{number}", form))
        assert set(checkpoint.tensors) == {"embed", "part", "turned"}
        assert checkpoint.tied == {"head": "embed"}
        assert checkpoint.tensor("head").equal(embed)


def test_a_folder_that_holds_a_model_is_not_overwritten_unless_told(tmp_path, tensors):
    write_checkpoint(tmp_path, tensors, shard_bytes=50)
    (tmp_path / "optimizer.pt").write_text("kept")
    with pytest.raises(BadInput, match="holds a model already"):
        write_checkpoint(tmp_path, {"w": torch.ones(2)})
    assert equal({name: open_checkpoint(tmp_path).tensor(name) for name in tensors}, tensors)
    write_checkpoint(tmp_path, {"w": torch.ones(2)}, overwrite=True)
    assert files(tmp_path) == ["model.safetensors", "optimizer.pt"]
    assert open_checkpoint(tmp_path).tensor("w").tolist() == [1, 1]


def failing(tensors):
    yield from tensors.items()
    raise RuntimeError("the source broke")


@pytest.mark.parametrize("shard_bytes", [50, 10**9])
def test_a_source_that_fails_leaves_nothing(tmp_path, tensors, shard_bytes):
    with pytest.raises(RuntimeError, match="the source broke"):
        write_checkpoint(tmp_path, failing(tensors), config={}, shard_bytes=shard_bytes)
    assert files(tmp_path) == []


@pytest.mark.parametrize("shard_bytes", [50, 10**9])
@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_disk_that_fails_at_any_moment_leaves_no_model(
    tmp_path, tensors, monkeypatch, shard_bytes, call
):
    import pathlib

    owner, real = (os, os.fsync) if call == "fsync" else (pathlib.Path, pathlib.Path.replace)
    for moment in range(100):
        folder = tmp_path / f"{moment}"
        left = [moment]

        def fail(*args, left=left):
            if left[0] == 0:
                raise OSError(28, "No space left on device")
            left[0] -= 1
            return real(*args)

        with monkeypatch.context() as patch:
            patch.setattr(owner, call, fail)
            try:
                write_checkpoint(folder, tensors, config={}, shard_bytes=shard_bytes)
            except OSError:
                finished = False
            else:
                finished = True
        if finished:
            break
        assert not any(name.startswith(".weightscape") for name in files(folder))
        if call == "replace" or moment == 0:
            with pytest.raises(WeightscapeError):
                open_checkpoint(folder)
    assert moment > 1
    assert equal({name: open_checkpoint(folder).tensor(name) for name in tensors}, tensors)


def test_a_writer_that_is_killed_leaves_no_model_and_the_next_clears_up(tmp_path):
    script = f"""
import os, signal, torch
from weightscape.io import write_checkpoint
def tensors():
    for i in range(5):
        yield f"t{{i}}", torch.ones(1000)
    os.kill(os.getpid(), signal.SIGKILL)
write_checkpoint({str(tmp_path)!r}, tensors(), shard_bytes=6000)
"""
    assert subprocess.run([sys.executable, "-c", script]).returncode == -signal.SIGKILL
    assert files(tmp_path)
    with pytest.raises(WeightscapeError):
        open_checkpoint(tmp_path)
    write_checkpoint(tmp_path, {"w": torch.ones(2)})
    assert files(tmp_path) == ["model.safetensors"]


@pytest.mark.parametrize(
    ("tensors", "options", "says"),
    [
        ([("w", torch.ones(1)), ("w", torch.zeros(1))], {}, "two of that name"),
        ([("__metadata__", torch.ones(1))], {}, "__metadata__"),
        ([], {}, "at least one tensor"),
        ({"w": torch.ones(2, dtype=torch.complex128)}, {}, "complex128"),
        ({"w": torch.eye(2).to_sparse()}, {}, "dense"),
        ({"w": torch.empty(2, device="meta")}, {}, "dense"),
        ({"w": torch.ones(1)}, {"shard_bytes": 0}, "positive"),
        ({"w": torch.ones(1)}, {"extra_files": {"../x": b""}}, "plain file name"),
        ({"w": torch.ones(1)}, {"extra_files": {"model.safetensors": b""}}, "no weights file"),
    ],
)
def test_what_cannot_be_written_is_refused(tmp_path, tensors, options, says):
    with pytest.raises(BadInput, match=says):
        write_checkpoint(tmp_path, tensors, **options)
    assert files(tmp_path) == []
