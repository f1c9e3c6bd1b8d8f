"""A safetensors header is believed only as far as it agrees with its file."""

import json
import os
import tracemalloc

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from weightscape.errors import BadCheckpoint, NotFound, UnsupportedFormat, WeightscapeError
from weightscape.io import open_checkpoint


def entry(dtype="F32", shape=(2,), offsets=(0, 8)):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


EIGHT = bytes(8)


@pytest.mark.parametrize(
    ("header", "data", "says"),
    [
        ({"w": entry(offsets=(0, 8))}, bytes(4), "go beyond the end"),
        ({"w": entry(), "v": entry(offsets=(4, 12))}, bytes(12), "overlap"),
        ({"w": entry(), "v": entry()}, EIGHT, "overlap"),
        ({"w": entry(), "v": entry(offsets=(12, 20))}, bytes(20), "belong to no tensor"),
        ({"w": entry()}, bytes(9), "after the last tensor"),
        ({"w": entry(offsets=(8, 0))}, EIGHT, "end before they start"),
        ({"w": entry(offsets=(-8, 0))}, EIGHT, "whole numbers"),
        ({"w": entry(offsets=(0, 2**70))}, EIGHT, "whole numbers"),
        ({"w": entry(offsets=(0, 8.0))}, EIGHT, "whole numbers"),
        ({"w": entry(offsets=(0,))}, EIGHT, "whole numbers"),
        ({"w": entry(shape=(3,))}, EIGHT, r"shape \[3\] of F32 needs 12 bytes"),
        ({"w": entry(shape=(-2,))}, EIGHT, "whole numbers"),
        ({"w": entry(shape=(True, 2))}, EIGHT, "whole numbers"),
        ({"w": entry(shape=(2**40, 2**40))}, EIGHT, "too large"),
        ({"w": entry(shape=(2**70, 0), offsets=(0, 0))}, b"", "whole numbers"),
        ({"w": entry(shape=[1] * 65 + [2])}, EIGHT, "dimensions"),
        ({"w": entry(dtype="F31")}, EIGHT, "unknown dtype 'F31'"),
        ({"w": entry(dtype=[])}, EIGHT, "unknown dtype"),
        ({"w": {**entry(), "more": 1}}, EIGHT, "should hold dtype, shape and data_offsets"),
        ({"w": 3}, EIGHT, "should hold dtype, shape and data_offsets"),
        ({"x" * 5000: entry()}, EIGHT, "5,000 characters"),
        ({"__metadata__": {"a": 1}}, b"", "strings to strings"),
        ("[]", b"", "should be an object"),
        ("{", b"", "JSON is invalid"),
        ('{"w": 1, "w": 2}', b"", "'w' stands there twice"),
        ('{"__metadata__": {"a": "1", "a": "2"}}', b"", "'a' stands there twice"),
        (b'{"\xff": 1}', b"", "not valid UTF-8"),
        ('{"\\ud800": ' + json.dumps(entry()) + "}", EIGHT, "not valid Unicode"),
        ("[" * 100_000, b"", "nested too deeply"),
        ('{"w":{"dtype":"U8","shape":[' + "9" * 5000 + "]}}", b"", "JSON is invalid"),
    ],
)
def test_a_contradictory_header_is_refused(raw_safetensors, header, data, says):
    path = raw_safetensors(header, data)
    with pytest.raises(BadCheckpoint, match=says) as caught:
        open_checkpoint(path)
    assert str(path) in str(caught.value)


def test_errors_name_the_tensor_and_the_byte_range(raw_safetensors):
    path = raw_safetensors({"a": entry(), "b.weight": entry(offsets=(8, 24), shape=(4,))}, EIGHT)
    start = path.stat().st_size
    with pytest.raises(BadCheckpoint) as caught:
        open_checkpoint(path)
    assert caught.value.tensor == "b.weight"
    assert caught.value.span == (start, start + 16)
    assert f"tensor 'b.weight', bytes {start}-{start + 16}" in str(caught.value)


@pytest.mark.parametrize(
    ("length", "says"),
    [(2**63, "more than 100,000,000"), (5000, "beyond the end"), (None, "too few")],
)
def test_a_header_length_that_cannot_be_is_refused(raw_safetensors, length, says):
    path = raw_safetensors("{}", length=length)
    if length is None:
        path.write_bytes(b"{}")
    with pytest.raises(BadCheckpoint, match=says):
        open_checkpoint(path)


def test_a_huge_claimed_header_allocates_nothing(tmp_path):
    path = tmp_path / "model.safetensors"
    with path.open("wb") as file:  # sparse: 200 MB of header, no bytes on the disk
        file.write((200_000_000).to_bytes(8, "little"))
        file.truncate(300_000_000)
    tracemalloc.start()
    try:
        with pytest.raises(BadCheckpoint, match="header claims"):
            open_checkpoint(path)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


def test_a_header_of_brackets_is_refused_before_it_is_parsed(raw_safetensors):
    path = raw_safetensors('{"w": [' + "{}," * 1_000_000 + "{}]}")
    tracemalloc.start()
    try:
        with pytest.raises(BadCheckpoint, match="brackets"):
            open_checkpoint(path)
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    finally:
        tracemalloc.stop()


def test_elements_smaller_than_a_byte_are_recognised_but_not_read(raw_safetensors):
    with pytest.raises(UnsupportedFormat, match="F4.*BF16"):
        open_checkpoint(raw_safetensors({"w": entry("F4", (4,), (0, 2))}, bytes(2)))


def test_no_file_folder_pipe_or_foreign_file_is_opened(tmp_path):
    with pytest.raises(NotFound):
        open_checkpoint(tmp_path / "none.safetensors")
    with pytest.raises(BadCheckpoint, match="no weights"):
        open_checkpoint(tmp_path)
    os.mkfifo(tmp_path / "pipe.safetensors")
    with pytest.raises(BadCheckpoint, match="not a regular file"):
        open_checkpoint(tmp_path / "pipe.safetensors")
    (tmp_path / "m.gguf").write_bytes(b"GGUF")
    with pytest.raises(UnsupportedFormat, match="GGUF"):
        open_checkpoint(tmp_path / "m.gguf")
    with pytest.raises(WeightscapeError):
        open_checkpoint("a\0b")


fuzzed = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
leaves = st.sampled_from([None, True, 0, -1, 2**63, 10**30, 1.5, "", "F32", "é", "\0"])
values = leaves | st.lists(leaves, max_size=3) | st.dictionaries(st.sampled_from("ab"), leaves)
entries = st.fixed_dictionaries(
    {
        "dtype": st.sampled_from(["F32", "U8", "BOOL", "F4", "X"]) | leaves,
        "shape": st.lists(st.integers(-1, 4) | leaves, max_size=3) | values,
        "data_offsets": st.lists(st.integers(-1, 70), min_size=2, max_size=2) | values,
    }
)
headers = st.dictionaries(st.sampled_from(["a", "b", "", "__metadata__"]), entries | values)


@fuzzed
@given(header=headers, data=st.binary(max_size=64))
def test_any_header_opens_or_is_refused_in_words(raw_safetensors, header, data):
    opens_or_refuses(raw_safetensors(header, data))


@fuzzed
@given(content=st.binary(max_size=200))
def test_any_bytes_open_or_are_refused_in_words(raw_safetensors, content):
    path = raw_safetensors("{}")
    path.write_bytes(content)
    opens_or_refuses(path)


@fuzzed
@given(data=st.data())
def test_a_sound_file_cut_or_flipped_opens_or_is_refused(raw_safetensors, data):
    path = raw_safetensors({"w": entry(), "v": entry("U8", (3,), (8, 11))}, bytes(11))
    whole = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(0, 3))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(whole)))
    path.write_bytes(whole[:cut])
    opens_or_refuses(path)


def opens_or_refuses(path):
    try:
        with open_checkpoint(path) as checkpoint:
            for name, info in checkpoint.tensors.items():
                assert checkpoint.tensor(name).shape == info.shape
    except WeightscapeError as error:
        assert str(error)
