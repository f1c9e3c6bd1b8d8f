"""Files of torch.save are read by offset, and their pickles never run."""

import argparse
import json
import pathlib
import tracemalloc
import zipfile
from collections import OrderedDict, defaultdict

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from weightscape.errors import (
    BadCheckpoint,
    UnsafeCheckpoint,
    UnsupportedFormat,
    WeightscapeError,
)
from weightscape.io import open_checkpoint


def bits(tensor):
    return tensor.contiguous().view(-1).view(torch.uint8).numpy().tobytes()


@pytest.fixture
def saved(tmp_path):
    def save(value, **options):
        path = tmp_path / "model.pt"
        torch.save(value, path, **options)
        return path

    return save


def test_every_dtype_and_shape_is_read_bit_by_bit(saved):
    tensors = {
        "f64": torch.randn(2, 3, dtype=torch.float64),
        "bf16": torch.randn(5).bfloat16(),
        "f8": torch.randn(4, 2).to(torch.float8_e4m3fn),
        "f8b": torch.randn(4, 2).to(torch.float8_e5m2),
        "i64": torch.arange(3),
        "u16": torch.tensor([1, 2, 65535], dtype=torch.uint16),
        "u8": torch.tensor([1, 2, 255], dtype=torch.uint8),
        "bool": torch.tensor([True, False]),
        "c64": torch.randn(2, dtype=torch.complex64),
        "scalar": torch.tensor(2.5),
        "empty": torch.empty(0, 3),
        "parameter": torch.nn.Parameter(torch.randn(2, 2)),
    }
    checkpoint = open_checkpoint(saved(tensors))
    assert checkpoint.format == "torch-zip"
    assert list(checkpoint.tensors) == list(tensors)
    for name, tensor in tensors.items():
        read = checkpoint.tensor(name)
        assert (read.dtype, read.shape) == (tensor.dtype, tensor.shape)
        assert bits(read) == bits(tensor.detach())
    assert checkpoint.tensors["f8"].stored == "F8_E4M3"


def test_views_of_one_storage_are_read_each_as_it_is(saved):
    whole = torch.arange(24.0).view(4, 6)
    views = {"t": whole.T, "rows": whole[1:3], "columns": whole[:, 1:3], "every": whole[::2, ::3]}
    checkpoint = open_checkpoint(saved(views))
    for name, view in views.items():
        assert checkpoint.tensor(name).equal(view)
        assert checkpoint.flat(name, 1, 3).equal(view.reshape(-1)[1:3])
        assert checkpoint.rows(name, 1, 2).equal(view[1:2])
        assert checkpoint.tensors[name].nbytes == view.numel() * 4
    assert checkpoint.tied == {}
    checkpoint.release("t")


def test_contiguous_tensors_are_views_of_the_file(saved):
    checkpoint = open_checkpoint(saved({"w": torch.randn(8, 4)}))
    assert checkpoint.rows("w", 2, 3).data_ptr() == checkpoint.tensor("w")[2].data_ptr()


def test_tensors_that_share_storage_and_shape_are_tied(saved):
    embed = torch.randn(5, 3)
    checkpoint = open_checkpoint(saved({"embed": embed, "copy": embed.clone(), "head": embed}))
    assert checkpoint.tied == {"head": "embed"}
    assert checkpoint.nbytes == 2 * embed.nbytes


@pytest.mark.parametrize(
    ("wrap", "container"),
    [
        (lambda model: model, ""),
        (lambda model: {"model": {"state_dict": model}}, "model.state_dict"),
        (lambda model: {"epoch": 3, "model_state_dict": OrderedDict(model)}, "model_state_dict"),
        (lambda model: [{"module": model}, 1], "0.module"),
        (
            lambda model: {
                "optimizer": {"state": {0: {"exp_avg": torch.zeros(6)}}, "param_groups": [{}]},
                "state_dict": model,
                "hyper_parameters": {
                    "args": argparse.Namespace(rate=0.1),
                    "score": np.float64(0.5),
                    "table": np.arange(3),
                    "folder": pathlib.PurePosixPath("x"),
                    "counts": defaultdict(int, a=1),
                    "names": {"a", "b"},
                    "device": torch.device("cpu"),
                    "type": torch.float32,
                    "text": b"bytes",
                    "number": 2**100,
                },
            },
            "state_dict",
        ),
    ],
)
def test_the_state_dict_is_found_in_its_wrapping(saved, wrap, container):
    model = {"w": torch.randn(3, 3), "b": torch.randn(3)}
    checkpoint = open_checkpoint(saved(wrap(model)))
    assert list(checkpoint.tensors) == ["w", "b"]
    assert checkpoint.tensor("w").equal(model["w"])
    assert checkpoint.metadata.get("weightscape.container", "") == container


def test_an_average_beside_the_model_is_passed_over_by_name(saved):
    model = {"w": torch.randn(3)}
    checkpoint = open_checkpoint(saved({"model": model, "ema": {"w": torch.zeros(3)}}))
    assert checkpoint.tensor("w").equal(model["w"])
    assert checkpoint.metadata["weightscape.passed_over"] == "ema"


def test_shards_are_put_together(tmp_path):
    torch.save({"x": torch.ones(2)}, tmp_path / "pytorch_model-00001-of-00002.bin")
    torch.save({"y": torch.zeros(2)}, tmp_path / "pytorch_model-00002-of-00002.bin")
    weight_map = {n: f"pytorch_model-0000{i}-of-00002.bin" for i, n in enumerate("xy", 1)}
    (tmp_path / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": weight_map}))
    assert set(open_checkpoint(tmp_path).tensors) == {"x", "y"}


class Runs:
    """Leaves a file behind if its pickle is ever executed."""

    def __init__(self, call, *args):
        self.call, self.args = call, args

    def __reduce__(self):
        return self.call, self.args


def touch(path):
    pathlib.Path(path).touch()


@pytest.mark.parametrize("call", [touch, eval, exec, __import__, pathlib.os.system, getattr])
def test_a_pickle_that_wants_to_run_code_is_refused_and_not_run(raw_torch, tmp_path, call):
    trap = tmp_path / "trap"
    argument = str(trap) if call is touch else f"open({str(trap)!r}, 'w')"
    path = raw_torch({"w": Runs(call, argument)})
    with pytest.raises(UnsafeCheckpoint, match=call.__name__) as caught:
        open_checkpoint(path)
    assert "nothing was run" in str(caught.value)
    assert not trap.exists()


@pytest.mark.parametrize(
    ("pickled", "error"),
    [
        (b"cos\nsystem\n(S'true'\ntR.", UnsafeCheckpoint),
        (b"(S'true'\nios\nsystem\n.", UnsafeCheckpoint),
        (b"(cos\nsystem\nS'true'\no.", UnsafeCheckpoint),
        (b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x04true\x85R.", UnsafeCheckpoint),
        (b"\x80\x02ctorch.storage\n_load_from_bytes\nC\x01a\x85R.", UnsafeCheckpoint),
        # a module's own __setstate__ or __reduce__ is never looked at
        (b"\x80\x02cos\nsystem\n)\x81}b.", UnsupportedFormat),
        (b"\x82\x01.", BadCheckpoint),
        (b"P1\n.", BadCheckpoint),
        (b"", BadCheckpoint),
        (b".", BadCheckpoint),
        (b"(.", BadCheckpoint),
        (b"R.", BadCheckpoint),
        (b"h\x05.", BadCheckpoint),
        (b"I" + b"9" * 5000 + b"\n.", BadCheckpoint),
        (b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\x7f.", BadCheckpoint),
        (b"\x80\x02K\x01Q.", BadCheckpoint),
        (b"\x80\x02K\x01", BadCheckpoint),
        (b"}K\x01.", UnsupportedFormat),
        (b"N.", UnsupportedFormat),
    ],
)
def test_a_hostile_or_damaged_pickle_is_refused(raw_torch, pickled, error):
    with pytest.raises(error) as caught:
        open_checkpoint(raw_torch(pickled))
    assert type(caught.value) is error


def bomb_of_lists():
    # each list holds the one before ten times: 10**1000 items if anyone walked it
    inner = b"]" + b"".join(
        b"q" + bytes([i]) + b"]" + b"(" + b"h%c" % i * 10 + b"e" for i in range(250)
    )
    return b"\x80\x02}X\x01\0\0\0w" + inner + b"s."


def bomb_of_tuples():
    # a tuple of itself twice, 200 times over, as the key of a dict: 2**200 hashes
    return b"\x80\x02}" + b"K\x01\x85" + b"2\x86" * 200 + b"K\x01s."


def bomb_of_depth():
    return b"\x80\x02}X\x01\0\0\0w" + b"]" * 20_000 + b"a" * 19_999 + b"s."


def bomb_of_shapes():
    tensor = b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage_of(b"0", 4) + b"K\0"
    return b"\x80\x02}X\x01\0\0\0w" + tensor + b"K\x01\x85" + b"2\x86" * 200 + b"2\x89}tRs."


def storage_of(key, numel):
    return (
        b"(X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\0" + key + b"X\x03\0\0\0cpu"
        b"J" + numel.to_bytes(4, "little") + b"tQ"
    )


@pytest.mark.parametrize("bomb", [bomb_of_lists, bomb_of_tuples, bomb_of_depth, bomb_of_shapes])
def test_pickle_bombs_are_defused(raw_torch, bomb):
    path = raw_torch(bomb(), {"0": bytes(16)})
    tracemalloc.start()
    try:
        with pytest.raises(WeightscapeError):
            open_checkpoint(path)
        assert tracemalloc.get_traced_memory()[1] < 100_000_000
    finally:
        tracemalloc.stop()


def test_a_pickle_of_too_many_instructions_is_refused(raw_torch, monkeypatch):
    monkeypatch.setattr("weightscape.io.pickles.OPCODE_LIMIT", 1000)
    with pytest.raises(BadCheckpoint, match="more than 1,000 instructions"):
        open_checkpoint(raw_torch(b"N0" * 600 + b"N."))


def test_a_pickle_too_large_is_refused_by_its_size(raw_torch, monkeypatch):
    monkeypatch.setattr("weightscape.io.torch_zip.PICKLE_LIMIT", 1000)
    with pytest.raises(BadCheckpoint, match="1,000 at most"):
        open_checkpoint(raw_torch(b"N0" * 600 + b"N."))


def rebuilt(shape, stride, offset=0, numel=4):
    """Pickle {"w": tensor} with these arguments for the rebuilding, whatever the storage holds."""

    def number(value):
        size = (value.bit_length() // 8) + 1
        return b"\x8a" + bytes([size]) + value.to_bytes(size, "little", signed=True)

    def numbers(values):
        return b"(" + b"".join(number(value) for value in values) + b"t"

    return (
        b"\x80\x02}X\x01\0\0\0wctorch._utils\n_rebuild_tensor_v2\n("
        + storage_of(b"0", numel)
        + number(offset)
        + numbers(shape)
        + numbers(stride)
        + b"\x89}tRs."
    )


@pytest.mark.parametrize(
    ("shape", "stride", "offset", "says"),
    [
        ((5,), (1,), 0, "beyond its storage"),
        ((2, 2), (3, 1), 0, "beyond its storage"),
        ((4,), (1,), 1, "beyond its storage"),
        ((0,), (1,), 9, "beyond its storage"),
        ((4,), (1,), -1, "starts nowhere"),
        ((2,), (-1,), 1, "strides"),
        ((2, 2), (1,), 0, "strides"),
        ((10**6, 10**6), (0, 0), 0, "repeats elements"),
        ((2**40, 2**40), (1, 1), 0, "too large"),
        ((-1,), (1,), 0, "whole numbers"),
    ],
)
def test_a_tensor_that_does_not_fit_its_storage_is_refused(raw_torch, shape, stride, offset, says):
    path = raw_torch(rebuilt(shape, stride, offset), {"0": bytes(16)})
    with pytest.raises(BadCheckpoint, match=says) as caught:
        open_checkpoint(path)
    assert caught.value.tensor == "w"


def test_a_missing_storage_is_named(raw_torch):
    with pytest.raises(BadCheckpoint, match="data/0 is missing"):
        open_checkpoint(raw_torch(rebuilt((4,), (1,))))


def test_a_compressed_archive_is_refused(raw_torch):
    path = raw_torch(rebuilt((4,), (1,)), {"0": bytes(16)}, compression=zipfile.ZIP_DEFLATED)
    with pytest.raises(BadCheckpoint, match="compressed"):
        open_checkpoint(path)


@pytest.mark.parametrize(
    ("extra", "error", "says"),
    [
        (("model/byteorder", b"big"), UnsupportedFormat, "byte order"),
        (("model/constants.pkl", b"N."), UnsupportedFormat, "TorchScript"),
        (("other/data.pkl", b"N."), BadCheckpoint, "not one of torch.save"),
    ],
)
def test_other_archives_are_told_apart(raw_torch, extra, error, says):
    with pytest.raises(error, match=says):
        open_checkpoint(raw_torch(rebuilt((4,), (1,)), {"0": bytes(16)}, extra=[extra]))


def test_two_entries_of_one_name_are_refused(raw_torch):
    with pytest.warns(UserWarning, match="Duplicate"):
        path = raw_torch(rebuilt((4,), (1,)), {"0": bytes(16)}, extra=[("model/data/0", b"other")])
    with pytest.raises(BadCheckpoint, match="stands there twice"):
        open_checkpoint(path)


def test_legacy_files_and_bare_pickles_are_recognised(saved, tmp_path):
    path = saved({"w": torch.ones(2)}, _use_new_zipfile_serialization=False)
    with pytest.raises(UnsupportedFormat, match=r"before version 1\.6.*save_file"):
        open_checkpoint(path)
    path.write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(BadCheckpoint, match="only a pointer"):
        open_checkpoint(path)


def test_a_whole_pickled_module_is_not_half_read(saved):
    module = torch.nn.Sequential(torch.nn.Linear(2, 2))
    for value in (module, {"model": module, "epoch": 1}):
        with pytest.raises(UnsupportedFormat, match=r"Sequential.*model\.state_dict\(\)"):
            open_checkpoint(saved(value))


def test_sparse_tensors_are_recognised_but_not_read(saved):
    with pytest.raises(UnsupportedFormat, match="sparse"):
        open_checkpoint(saved({"w": torch.eye(3).to_sparse()}))


damaged = settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@damaged
@given(data=st.data())
def test_a_sound_file_cut_or_flipped_opens_or_is_refused(tmp_path, data):
    path = tmp_path / "model.pt"
    torch.save({"w": torch.ones(3), "model": {"v": torch.zeros(2, 2).T}}, path)
    whole = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(0, 3))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(whole[: data.draw(st.integers(0, len(whole)))])
    opens_or_refuses(path)


@damaged
@given(pickled=st.lists(st.sampled_from([bytes([i]) for i in range(256)] + [
    b"ctorch\nFloatStorage\n", b"ctorch._utils\n_rebuild_tensor_v2\n", b"K\x01", b"(", b"t", b"R",
    b"ccollections\nOrderedDict\n", b"}", b")", b"X\x01\0\0\0a", b"s", b"Q", b"b", b"\x81", b"q\0",
    b"h\0",
]), max_size=25).map(b"".join))  # fmt: skip
def test_any_pickle_opens_or_is_refused(raw_torch, pickled):
    opens_or_refuses(raw_torch(pickled + b".", {"0": bytes(16)}))


def opens_or_refuses(path):
    try:
        with open_checkpoint(path) as checkpoint:
            for name, info in checkpoint.tensors.items():
                assert checkpoint.tensor(name).shape == info.shape
    except WeightscapeError as error:
        assert str(error)
