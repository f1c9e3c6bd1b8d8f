"""Reading models over real HTTP by ranges, with every byte counted; and servers that misbehave."""

import json
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from range_server import RangeServer, serving
from safetensors.torch import save_file

from weightscape.errors import (
    BadCheckpoint,
    BadInput,
    MismatchedModels,
    NeedsDownload,
    NotFound,
    UnknownName,
)
from weightscape.io import Adapter, open_any, open_checkpoint, open_remote, trying
from weightscape.probing.layers import Dense, LayerShape, read_layer

LAYER = "encoder.layer.1.weight"


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Pause not at all between tries; tell how long it would have been."""
    pauses: list[float] = []
    monkeypatch.setattr(trying, "pause", pauses.append)
    return pauses


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RangeServer]:
    folder = tmp_path / "served"
    folder.mkdir()
    with serving(folder) as served:
        yield served


def tensors(seed: int = 0, layers: int = 6, width: int = 96) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {
        f"encoder.layer.{number}.weight": torch.randn(width, width, generator=generator)
        for number in range(layers)
    }


def write(folder: Path, name: str = "model.safetensors", **how: int) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    save_file(tensors(**how), folder / name)
    return folder / name


def write_sharded(folder: Path) -> dict[str, torch.Tensor]:
    folder.mkdir(parents=True)
    held = tensors()
    places = {}
    for number, name in enumerate(held):
        places[name] = f"model-{number // 2 + 1:05d}-of-00003.safetensors"
    for label in set(places.values()):
        save_file({name: held[name] for name in held if places[name] == label}, folder / label)
    index = {"metadata": {"total_size": 1}, "weight_map": places}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    return held


def header_size(file: Path) -> int:
    return 8 + struct.unpack("<Q", file.read_bytes()[:8])[0]


def test_one_layer_costs_the_header_and_the_layer_and_not_a_byte_more(server):
    file = write(server.folder / "a")
    with open_remote(f"{server.url}/a/model.safetensors") as model:
        assert model.info(LAYER).shape == (96, 96)
        assert len(server.asked) == 2  # the header's length, the header
        assert server.sent == header_size(file)
        assert torch.equal(model.tensor(LAYER), tensors()[LAYER])
    assert server.sent == header_size(file) + 96 * 96 * 4
    assert model.bytes_read == server.sent
    assert model.traffic.requests == len(server.asked) == 3


@pytest.mark.parametrize("address", ["a", "a/", "a/model.safetensors"])
def test_a_folder_and_its_file_are_the_same_model(server, address):
    file = write(server.folder / "a")
    (server.folder / "a" / "config.json").write_text('{"model_type": "bert"}')
    model, here = open_remote(f"{server.url}/{address}"), open_checkpoint(file)
    assert list(model.tensors) == list(here.tensors)
    assert dict(model.tensors) == dict(here.tensors)
    assert (model.nbytes, model.metadata) == (here.nbytes, here.metadata)
    assert model.config == {"model_type": "bert"}
    for name in here.tensors:
        assert torch.equal(model.flat(name, 5, 40), here.flat(name, 5, 40))
        assert torch.equal(model.rows(name, -3, 200), here.rows(name, -3, 200))
        assert model.raw(name, 4, 9) == here.raw(name, 4, 9)


def test_a_layer_of_a_sharded_model_touches_its_own_shard_only(server):
    held = write_sharded(server.folder / "m")
    model = open_remote(f"{server.url}/m/model.safetensors.index.json")
    assert set(model.tensors) == set(held)
    assert len(server.asked) == 1
    assert torch.equal(model.tensor(LAYER), held[LAYER])
    assert {it.path for it in server.asked[1:]} == {"/m/model-00001-of-00003.safetensors"}
    shard = server.folder / "m" / "model-00001-of-00003.safetensors"
    index = (server.folder / "m" / "model.safetensors.index.json").stat().st_size
    assert server.sent == index + header_size(shard) + 96 * 96 * 4
    assert model.nbytes == 6 * 96 * 96 * 4


def test_what_an_expert_reads_of_a_sharded_model_is_its_shard_and_no_other(server):
    held = write_sharded(server.folder / "m")
    model = open_remote(f"{server.url}/m/model.safetensors.index.json")
    layer = read_layer(model, LAYER)
    assert torch.equal(layer.matrix, held[LAYER])
    assert {it.path for it in server.asked[1:]} == {"/m/model-00001-of-00003.safetensors"}


def test_a_layer_of_another_shape_costs_the_header_only(server):
    file = write(server.folder / "a", width=512)
    model = open_remote(f"{server.url}/a/model.safetensors")
    with pytest.raises(MismatchedModels, match=r"\[512, 512\], not \[24, 32\]"):
        read_layer(model, LAYER, shape=LayerShape(24, 32, low_rank=False))
    assert server.sent == header_size(file)


def test_adapters_are_read_as_factors(server):
    folder = server.folder / "lora"
    folder.mkdir()
    b, a = torch.randn(96, 4), torch.randn(4, 96)
    prefix = "base_model.model.encoder.layer.1"
    more = {f"base_model.model.encoder.layer.{n}.lora_A.weight": torch.randn(4, 96) for n in (2, 3)}
    more |= {
        f"base_model.model.encoder.layer.{n}.lora_B.weight": torch.randn(96, 4) for n in (2, 3)
    }
    save_file(
        {f"{prefix}.lora_A.weight": a, f"{prefix}.lora_B.weight": b, **more},
        folder / "adapter_model.safetensors",
    )
    config = {"peft_type": "LORA", "lora_alpha": 8, "r": 4, "base_model_name_or_path": "org/base"}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    model = open_remote(f"{server.url}/lora")
    assert isinstance(model, Adapter)
    assert model.base == "org/base"
    server.forget()
    got_b, got_a, scale = model.factors(LAYER)
    assert (scale, server.sent) == (2.0, 2 * 4 * 96 * 4)
    assert torch.equal(got_b, b) and torch.equal(got_a, a)
    assert torch.allclose(model.tensor(LAYER), open_checkpoint(folder).tensor(LAYER))


def test_a_server_without_ranges_says_what_to_give_and_is_left_at_once(
    server, monkeypatch, tmp_path
):
    monkeypatch.setenv("WEIGHTSCAPE_CACHE", str(tmp_path / "cache"))
    write(server.folder / "a", layers=40, width=512)  # 42 MB, far more than any buffer
    server.ranges = False
    with pytest.raises(NeedsDownload, match="--allow-download"):
        open_remote(f"{server.url}/a")
    assert server.sent < 16e6
    model = open_any(f"{server.url}/a", allow_download=True)
    assert torch.equal(model.tensor(LAYER), tensors(layers=40, width=512)[LAYER])


@pytest.mark.parametrize("address", ["m", "m/model.safetensors.index.json"])
def test_a_sharded_model_is_fetched_from_a_server_without_ranges(
    server, monkeypatch, tmp_path, address
):
    monkeypatch.setenv("WEIGHTSCAPE_CACHE", str(tmp_path / "cache"))
    held = write_sharded(server.folder / "m")
    server.ranges = False
    with pytest.raises(NeedsDownload, match="--allow-download"):
        open_any(f"{server.url}/{address}").tensor(LAYER)
    model = open_any(f"{server.url}/{address}", allow_download=True)
    assert torch.equal(model.tensor(LAYER), held[LAYER])


def test_a_sharded_model_is_still_read_in_part_where_it_might_be_fetched(
    server, monkeypatch, tmp_path
):
    monkeypatch.setenv("WEIGHTSCAPE_CACHE", str(tmp_path / "cache"))
    held = write_sharded(server.folder / "m")
    index = f"{server.url}/m/model.safetensors.index.json"
    model = open_any(index, allow_download=True)
    assert len(server.asked) == 2 and server.asked[1].sent == 8
    assert torch.equal(model.tensor(LAYER), held[LAYER])
    assert not (tmp_path / "cache").exists()
    assert len(server.asked) == 4  # the bytes that were asked for are not asked for again


@pytest.mark.parametrize("name", ["adapter_model.safetensors", "adapter_model.bin"])
def test_adapters_are_fetched_from_a_server_without_ranges(server, monkeypatch, tmp_path, name):
    monkeypatch.setenv("WEIGHTSCAPE_CACHE", str(tmp_path / "cache"))
    folder = server.folder / "lora"
    folder.mkdir()
    prefix = "base_model.model.encoder.layer.1"
    factors = {
        f"{prefix}.lora_A.weight": torch.randn(4, 96),
        f"{prefix}.lora_B.weight": torch.randn(96, 4),
    }
    save_file(factors, folder / name) if name.endswith("s") else torch.save(factors, folder / name)
    config = {"peft_type": "LORA", "lora_alpha": 8, "r": 4, "base_model_name_or_path": "org/base"}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    server.ranges = False
    model = open_any(f"{server.url}/lora", allow_download=True)
    assert isinstance(model, Adapter)
    assert torch.equal(model.tensor(LAYER), open_checkpoint(folder).tensor(LAYER))


@pytest.mark.parametrize("sharded", [False, True])
def test_torch_files_are_fetched_from_a_server_without_ranges(
    server, monkeypatch, tmp_path, sharded
):
    monkeypatch.setenv("WEIGHTSCAPE_CACHE", str(tmp_path / "cache"))
    folder, held = server.folder / "t", tensors()
    folder.mkdir()
    if sharded:
        shards = {
            name: f"pytorch_model-0000{n // 3 + 1}-of-00002.bin" for n, name in enumerate(held)
        }
        for label in set(shards.values()):
            torch.save({n: held[n] for n in held if shards[n] == label}, folder / label)
        index = json.dumps({"weight_map": shards})
        (folder / "pytorch_model.bin.index.json").write_text(index)
    else:
        torch.save(held, folder / "pytorch_model.bin")
    server.ranges = False
    model = open_any(f"{server.url}/t", allow_download=True)
    assert torch.equal(model.tensor(LAYER), held[LAYER])


def test_connections_that_break_are_opened_again_where_they_broke(server, no_pauses):
    write(server.folder / "a", width=512)
    model = open_remote(f"{server.url}/a")
    server.forget()
    server.breaks = [300_000, 0, 70_000, 100_000]
    assert torch.equal(model.tensor(LAYER), tensors(width=512)[LAYER])
    assert server.sent == 512 * 512 * 4
    assert len(server.asked) == 5
    assert no_pauses == [0.5, 1.0, 0.5, 0.5]


def test_a_busy_server_is_waited_for_as_long_as_it_asks(server, no_pauses):
    write(server.folder / "a")
    server.busy = [503, 429, 500]
    assert open_remote(f"{server.url}/a").info(LAYER)
    assert no_pauses == [1.0, 1.0, 2.0]


def test_giving_up_says_what_went_wrong(server, no_pauses):
    write(server.folder / "a")
    model = open_remote(f"{server.url}/a")
    server.breaks = [10] * 100
    with pytest.raises(BadCheckpoint, match="breaks"):
        model.tensor(LAYER)
    server.breaks = []
    server.busy = [503] * 100
    with pytest.raises(NotFound, match="status 503"):
        model.tensor(LAYER)
    assert len(no_pauses) == 10


def test_redirects_are_followed_once_and_again_when_their_address_has_run_out(server):
    write(server.folder / "store" / "1")
    write(server.folder / "store" / "2")
    server.led = {"/a/model.safetensors": "/store/1/model.safetensors?signature=secret"}
    model = open_remote(f"{server.url}/a/model.safetensors")
    assert torch.equal(model.tensor(LAYER), tensors()[LAYER])
    assert [it.path for it in server.asked].count("/a/model.safetensors") == 1
    (server.folder / "store" / "1" / "model.safetensors").unlink()
    server.led = {"/a/model.safetensors": "/store/2/model.safetensors"}
    assert torch.equal(model.tensor(LAYER), tensors()[LAYER])


@pytest.mark.parametrize(
    ("to", "says"),
    [
        ("file:///etc/passwd", "no address of the web"),
        ("/a/model.safetensors", "leads on more than"),
        ("", "no address"),
        ("http://[::bad", "no address"),
    ],
)
def test_redirects_to_nowhere_end(server, to, says):
    server.led = {"/a/model.safetensors": to}
    with pytest.raises(BadCheckpoint, match=says):
        open_remote(f"{server.url}/a/model.safetensors")


def test_what_is_not_there_is_said_by_one_request_each(server):
    with pytest.raises(NotFound, match="no such file"):
        open_remote(f"{server.url}/none/model.safetensors")
    assert len(server.asked) == 1
    with pytest.raises(NotFound, match="give the address of a weights file"):
        open_remote(f"{server.url}/none")
    with pytest.raises(NotFound, match="cannot be reached"):
        open_remote("http://127.0.0.1:9/model.safetensors")


def test_names_of_tensors_are_asked_of_the_header(server):
    write(server.folder / "a")
    with pytest.raises(UnknownName, match="nearest"):
        open_remote(f"{server.url}/a").tensor("encoder.layer.9.weight")


def test_a_file_that_changes_meanwhile_is_not_mixed(server):
    write(server.folder / "a")
    model = open_remote(f"{server.url}/a")
    write(server.folder / "a", seed=1)
    with pytest.raises(BadCheckpoint, match="was changed"):
        model.tensor(LAYER)


@pytest.mark.parametrize(
    ("status", "headers", "body"),
    [
        (206, {"Content-Range": "bytes 5-12/999999"}, b"x" * 8),
        (206, {"Content-Range": "bytes 0-7/4"}, b"x" * 8),
        (206, {"Content-Range": "bytes 0-7/*"}, b"x" * 8),
        (206, {"Content-Range": "bytes 0-99/100"}, b"x" * 100),
        (206, {}, b"x" * 8),
        (206, {"Content-Range": "bytes 0-7/100", "Content-Encoding": "gzip"}, b"x" * 8),
        (206, {"Content-Range": "bytes 0-7/" + "9" * 400}, b"x" * 8),
        (416, {"Content-Range": "nonsense"}, b""),
        (204, {}, b""),
        (418, {}, b"tea"),
    ],
)
def test_answers_that_make_no_sense_are_refused(server, status, headers, body):
    write(server.folder / "a")
    server.answer = lambda path, found: (status, dict(headers), body)
    with pytest.raises(BadCheckpoint):
        open_remote(f"{server.url}/a/model.safetensors")
    assert len(server.asked) == 1


def test_a_server_that_sends_drop_by_drop_is_given_up(server):
    write(server.folder / "a")
    model = open_remote(f"{server.url}/a/model.safetensors")
    data = (server.folder / "a" / "model.safetensors").read_bytes()

    def answer(path, found):
        first = int(server.asked[-1].headers["range"].removeprefix("bytes=").split("-")[0])
        told = {"Content-Range": f"bytes {first}-{first}/{len(data)}"}
        return 206, told, data[first : first + 1]

    server.answer = answer
    server.forget()
    with pytest.raises(BadCheckpoint, match="sends 1 bytes of what it was asked for"):
        model.tensor(LAYER)
    assert len(server.asked) == 6


@pytest.mark.parametrize("length", [0, 7])
def test_files_too_short_for_a_header(server, length):
    (server.folder / "model.safetensors").write_bytes(b"x" * length)
    with pytest.raises(BadCheckpoint, match="too few"):
        open_remote(f"{server.url}/model.safetensors")


@pytest.mark.parametrize("claimed", [2**40, 90_000_000])
def test_nothing_is_fetched_or_allocated_on_a_headers_word(server, claimed):
    (server.folder / "model.safetensors").write_bytes(struct.pack("<Q", claimed) + b"{}")
    with pytest.raises(BadCheckpoint, match="header"):
        open_remote(f"{server.url}/model.safetensors")
    assert server.sent <= 8


def test_a_server_that_claims_a_size_and_sends_nothing(server):
    big = 10**12
    header = json.dumps({"w": {"dtype": "F32", "shape": [big // 4], "data_offsets": [0, big]}})
    start = struct.pack("<Q", len(header)) + header.encode()

    def answer(path, found):
        wanted = server.asked[-1].headers["range"].removeprefix("bytes=").split("-")
        first, last = map(int, wanted)
        told = {"Content-Range": f"bytes {first}-{last}/{len(start) + big}"}
        if first >= len(start):
            told["Content-Length"] = str(last - first + 1)
        return 206, told, start[first : last + 1]

    server.answer = answer
    model = open_remote(f"{server.url}/model.safetensors")
    with pytest.raises(BadCheckpoint, match="breaks"):
        model.tensor("w")


@pytest.mark.parametrize(
    "label", ["../x.safetensors", "/etc/x.safetensors", "http://h/x.safetensors"]
)
def test_an_index_cannot_lead_outside_its_folder(server, label):
    index = {"weight_map": {"w": label}}
    (server.folder / "model.safetensors.index.json").write_text(json.dumps(index))
    write(server.folder, "x.safetensors")
    with pytest.raises((BadCheckpoint, NotFound)):
        open_remote(f"{server.url}/model.safetensors.index.json").tensor("w")
    assert all(it.path.startswith(("/model.", "/http%3A")) for it in server.asked)


def test_an_index_that_is_wrong_about_a_shard(server):
    write_sharded(server.folder / "m")
    index = server.folder / "m" / "model.safetensors.index.json"
    told = json.loads(index.read_text())
    told["weight_map"][LAYER] = "model-00003-of-00003.safetensors"
    index.write_text(json.dumps(told))
    with pytest.raises(BadCheckpoint, match="where the index puts it"):
        open_remote(f"{server.url}/m").tensor(LAYER)


def test_packed_weights_are_refused_before_they_are_read(server):
    write(server.folder / "a")
    save_file(
        {"w.weight": torch.zeros(64, 64, dtype=torch.int8)}, server.folder / "a" / "q.safetensors"
    )
    config = {"quantization_config": {"quant_method": "bitsandbytes"}}
    (server.folder / "a" / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match="bitsandbytes"):
        open_remote(f"{server.url}/a/q.safetensors").tensor("w.weight")


def test_torch_files_and_lone_factors_say_what_to_do(server):
    torch.save(tensors(), server.folder / "pytorch_model.bin")
    with pytest.raises(NeedsDownload, match="--allow-download"):
        open_remote(f"{server.url}/")
    save_file({"a.lora_A.weight": torch.zeros(2, 2)}, server.folder / "x.safetensors")
    with pytest.raises(ValueError, match="save_pretrained"):
        open_remote(f"{server.url}/x.safetensors")


def test_addresses_with_secrets_are_refused_or_not_shown(server):
    with pytest.raises(BadInput) as raised:
        open_remote("https://me:hidden@models.example/model.safetensors")
    assert "hidden" not in str(raised.value)
    with pytest.raises(NotFound) as raised:
        open_remote(f"{server.url}/model.safetensors?signature=hidden")
    assert "hidden" not in str(raised.value)
    assert "signature=hidden" in server.asked[0].path


def test_reading_the_one_layer_of_an_expert_costs_little_more_than_the_layer(server):
    file = write(server.folder / "a", width=384)
    model = open_remote(f"{server.url}/a")
    layer = read_layer(model, LAYER)
    assert isinstance(layer, Dense) and torch.equal(layer.matrix, tensors(width=384)[LAYER])
    assert server.sent <= 1.1 * 384 * 384 * 4 + header_size(file)
    server.forget()
    held = write_sharded(server.folder / "m")
    model = open_remote(f"{server.url}/m")
    assert torch.equal(read_layer(model, LAYER).matrix, held[LAYER])
    headers = sum(header_size(it) for it in (server.folder / "m").glob("*.safetensors"))
    index = (server.folder / "m" / "model.safetensors.index.json").stat().st_size
    assert server.sent <= 1.1 * 96 * 96 * 4 + headers + index
