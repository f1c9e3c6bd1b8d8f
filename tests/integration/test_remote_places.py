"""Models of a hub that plays on loopback, and whole models fetched into the cache."""

import json
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import populations
import pytest
import torch
from harness import ask, run
from range_server import COMMIT, RangeServer, serving
from safetensors.torch import save_file

from weightscape.answers import AddAnswer, ChartAnswer
from weightscape.errors import BadCheckpoint, BadInput, NotFound
from weightscape.io import (
    HubPlace,
    discover,
    fetching,
    locate,
    open_any,
    open_checkpoint,
    open_remote,
    trying,
)
from weightscape.io.download import download
from weightscape.io.remote_folder import open_folder
from weightscape.tasks.hub import needs_cache

LAYER = "encoder.layer.1.weight"


@pytest.fixture(autouse=True)
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Pause not at all between tries; tell how long it would have been."""
    waited: list[float] = []
    monkeypatch.setattr(trying, "pause", waited.append)
    return waited


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("WEIGHTSCAPE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RangeServer]:
    folder = tmp_path / "served"
    folder.mkdir()
    with serving(folder) as served:
        monkeypatch.setenv("HF_ENDPOINT", served.url)
        monkeypatch.delenv("HF_TOKEN", raising=False)
        monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "no-token"))
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub-cache"))
        yield served


def model(folder: Path, seed: int = 0, *, sharded: bool = False, width: int = 96) -> Path:
    generator = torch.Generator().manual_seed(seed)
    folder.mkdir(parents=True)
    held = {
        f"encoder.layer.{number}.weight": torch.randn(width, width, generator=generator)
        for number in range(4)
    }
    if sharded:
        places = {
            name: f"model-0000{n // 2 + 1}-of-00002.safetensors" for n, name in enumerate(held)
        }
        for label in set(places.values()):
            save_file({n: held[n] for n in held if places[n] == label}, folder / label)
        index = json.dumps({"weight_map": places})
        (folder / "model.safetensors.index.json").write_text(index)
    else:
        save_file(held, folder / "model.safetensors")
    (folder / "config.json").write_text(
        '{"model_type": "bert", "id2label": {"0": "no", "1": "yes"}}'
    )
    (folder / "README.md").write_text("---\nbase_model: org/base\n---\n")
    return folder


def test_a_layer_of_a_hubs_model_is_read_by_its_id(server, tmp_path):
    source = model(tmp_path / "m")
    server.add_hub_model("org/name", source)
    for given in ("org/name", "hub:org/name", f"org/name@{COMMIT}", f"{server.url}/org/name"):
        server.forget()
        found = open_remote(given)
        assert torch.equal(found.tensor(LAYER), open_checkpoint(source).tensor(LAYER))
        # the list of files, the header's length, the header, the layer
        assert len([it for it in server.asked if it.path.startswith(("/api/models", "/org"))]) == 4
        assert found.config["model_type"] == "bert"


def test_what_a_hub_has_not_is_said_in_one_line(server, tmp_path):
    with pytest.raises(NotFound, match="no such model on the hub"):
        open_remote("org/none")
    server.add_hub_model("org/name", model(tmp_path / "m"))
    with pytest.raises(NotFound, match="no such file or folder"):
        open_remote("hub:org/name:unet")
    server.answer = lambda path, found: (404, {"X-Error-Code": "RevisionNotFound"}, b"")
    with pytest.raises(NotFound, match="no such revision"):
        open_remote("org/name@other")


def test_a_hub_that_may_not_be_asked_is_not_said_to_be_away(monkeypatch, pauses):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    for ask_for in (open_remote, needs_cache):
        with pytest.raises(NotFound, match="no such .*folder, and HF_HUB_OFFLINE forbids"):
            ask_for("org/none")
    assert not pauses


def test_a_hub_that_is_busy_or_away_is_tried_again(server, tmp_path, monkeypatch, pauses):
    server.add_hub_model("org/name", model(tmp_path / "m"))
    server.busy = [502, 503]
    assert open_remote("org/name").info(LAYER)
    assert len(pauses) == 2
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(NotFound, match="cannot be reached"):
        open_remote("org/name")


def test_a_token_of_the_environment_goes_to_the_hub_and_no_further(server, tmp_path, monkeypatch):
    source = model(tmp_path / "m")
    server.add_hub_model("org/name", source)
    server.token = "hf_secret"
    with pytest.raises(NotFound, match="HF_TOKEN") as raised:
        open_remote("org/name")
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    with serving(tmp_path) as store:
        place = f"/org/name/resolve/{COMMIT}/model.safetensors"
        server.led = {place: f"{store.url}/m/model.safetensors?signature=x"}
        assert torch.equal(
            open_remote("org/name").tensor(LAYER), open_checkpoint(source).tensor(LAYER)
        )
        assert store.asked
        assert not any("authorization" in it.headers for it in store.asked)
    assert "hf_secret" not in str(raised.value)


def test_several_models_in_one_repository_are_named(server, tmp_path):
    source = tmp_path / "m"
    source.mkdir()
    for seed in (1, 2):
        save_file({"w": torch.full((8, 8), float(seed))}, source / f"seed_{seed}.safetensors")
    server.add_hub_model("org/many", source)
    with pytest.raises(BadInput, match=r"several models \(seed_1.safetensors"):
        open_remote("org/many")
    assert open_remote("hub:org/many:seed_2.safetensors").tensor("w")[0, 0] == 2


def test_names_that_lead_outside_are_never_asked_for(server, tmp_path, cache):
    server.add_hub_model("org/name", model(tmp_path / "m"))
    listed = [{"rfilename": "../../../evil.json", "size": 1}, {"rfilename": "/etc/evil.txt"}]
    api = server.folder / "api/models/org/name/index.json"
    told = json.loads(api.read_text())
    told["siblings"] += listed
    api.write_text(json.dumps(told))
    path = download(open_folder(locate("org/name")))
    assert path.is_relative_to(cache)
    assert not any("evil" in it.path for it in server.asked)
    assert not list(tmp_path.rglob("*evil*"))


@pytest.mark.parametrize("sha", [None, "../../../x", 7, "main"])
def test_a_hub_that_names_no_commit_is_refused(server, sha):
    server.list_hub_model("org/name", [{"rfilename": "model.safetensors"}])
    api = server.folder / "api/models/org/name/index.json"
    api.write_text(json.dumps(json.loads(api.read_text()) | {"sha": sha}))
    with pytest.raises(BadCheckpoint, match="names no commit"):
        open_remote("org/name")


@pytest.mark.parametrize(
    "said", ["[]", "{}", "no json", '{"sha": 1, "siblings": 3}', '{"siblings": [1]}']
)
def test_answers_of_a_hub_that_make_no_sense_are_refused(server, said):
    place = server.folder / "api/models/org/name"
    place.mkdir(parents=True)
    (place / "index.json").write_text(said)
    with pytest.raises(BadCheckpoint):
        open_remote("org/name")


@pytest.mark.parametrize("sharded", [False, True])
def test_a_hubs_model_is_fetched_whole_and_once(server, tmp_path, cache, sharded):
    source = model(tmp_path / "m", sharded=sharded)
    server.add_hub_model("org/name", source)
    path = download(open_folder(locate("org/name")))
    assert path == cache / "hub/models--org--name/snapshots" / COMMIT
    kept = {it.name for it in path.iterdir() if not it.name.startswith(".")}
    assert kept == {it.name for it in source.iterdir()}
    found, skipped = discover([path])
    assert [it.name for it in found] == ["org/name"] and not [s for s in skipped if s.kind == "bad"]
    assert found[0].declared == ("org/base",)
    server.forget()
    assert download(open_folder(locate("org/name"))) == path
    assert [it.path for it in server.asked if not it.path.startswith("/api")] == (
        [f"/org/name/resolve/{COMMIT}/model.safetensors.index.json"] if sharded else []
    )


def test_what_the_hubs_own_cache_has_is_not_fetched(server, tmp_path, cache):
    source = model(tmp_path / "m", sharded=True)
    server.add_hub_model("org/name", source)
    kept = tmp_path / "hub-cache/models--org--name/snapshots" / COMMIT
    kept.parent.mkdir(parents=True)
    source.rename(kept)
    assert download(open_folder(locate("org/name"))) == kept
    assert not cache.exists()
    (kept / "config.json").unlink()
    assert download(open_folder(locate("org/name"))).is_relative_to(cache)


def test_a_fetch_goes_on_where_it_was_stopped(server, tmp_path, cache, monkeypatch):
    source = model(tmp_path / "m", width=512)
    server.add_hub_model("org/name", source)
    whole = (source / "model.safetensors").stat().st_size
    server.breaks = [1_500_000, *[0] * 5]
    with pytest.raises(BadCheckpoint, match="breaks"):
        download(open_folder(locate("org/name")))
    snapshot = cache / "hub/models--org--name/snapshots" / COMMIT
    assert not (snapshot / "model.safetensors").exists()
    server.breaks = []
    server.forget()
    path = download(open_folder(locate("org/name")))
    weights = [it for it in server.asked if it.path.endswith(".safetensors")]
    assert sum(it.sent for it in weights) == whole - 1_500_000
    assert (path / "model.safetensors").read_bytes() == (source / "model.safetensors").read_bytes()
    assert not list(path.glob(".*.part"))


def test_a_part_of_another_file_is_thrown_away(server, cache):
    model(server.folder / "a", seed=1, width=512)
    server.breaks = [1_500_000, *[0] * 5]
    with pytest.raises(BadCheckpoint):
        download(open_folder(locate(f"{server.url}/a/")))
    server.breaks = []
    new = model(server.folder / "b", seed=2, width=512)
    (new / "model.safetensors").replace(server.folder / "a" / "model.safetensors")
    path = download(open_folder(locate(f"{server.url}/a/")))
    assert (
        open_checkpoint(path)
        .tensor(LAYER)
        .equal(open_checkpoint(server.folder / "a").tensor(LAYER))
    )


def test_who_is_killed_between_two_files_mixes_nothing(server, cache, monkeypatch):
    model(server.folder / "a", seed=1, width=512)
    server.breaks = [1_500_000, *[0] * 5]
    with pytest.raises(BadCheckpoint):
        download(open_folder(locate(f"{server.url}/a/")))
    server.breaks = []
    new = model(server.folder / "b", seed=2, width=512)
    (new / "model.safetensors").replace(server.folder / "a" / "model.safetensors")

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(fetching, "_write", killed)
        download(open_folder(locate(f"{server.url}/a/")))
    path = download(open_folder(locate(f"{server.url}/a/")))
    served = (server.folder / "a" / "model.safetensors").read_bytes()
    assert (path / "model.safetensors").read_bytes() == served


def test_what_was_damaged_on_its_way_is_not_kept(server, tmp_path, cache):
    server.add_hub_model("org/name", model(tmp_path / "m"))
    file = server.folder / "org/name/resolve" / COMMIT / "model.safetensors"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    with pytest.raises(BadCheckpoint, match="SHA-256"):
        download(open_folder(locate("org/name")))
    file.write_bytes(data + b"more")
    with pytest.raises(BadCheckpoint, match="but should have"):
        download(open_folder(locate("org/name")))
    assert not list(cache.rglob("model.safetensors"))


@pytest.mark.parametrize("ranges", [True, False])
def test_a_web_folder_is_fetched_again_only_when_it_changed(server, cache, ranges):
    server.ranges = ranges
    model(server.folder / "on/web/a")
    model(server.folder / "on/web/b", seed=1)
    first = download(open_folder(locate(f"{server.url}/on/web/a")))
    assert first.name == "a" and first.is_relative_to(cache / "web")
    inode = (first / "model.safetensors").stat().st_ino
    download(open_folder(locate(f"{server.url}/on/web/a")))
    assert (first / "model.safetensors").stat().st_ino == inode
    (server.folder / "on/web/b/model.safetensors").replace(
        server.folder / "on/web/a/model.safetensors"
    )
    again = download(open_folder(locate(f"{server.url}/on/web/a")))
    assert again == first
    assert (
        open_checkpoint(again)
        .tensor(LAYER)
        .equal(open_checkpoint(server.folder / "on/web/a").tensor(LAYER))
    )
    assert [it.name for it in discover([again])[0]] == ["a"]


def test_a_named_file_is_the_one_that_is_opened(server, cache):
    for seed in (1, 2):
        save_file(
            {"w": torch.full((8, 8), float(seed))}, server.folder / f"seed_{seed}.safetensors"
        )
    paths = [
        download(open_folder(locate(f"{server.url}/seed_{seed}.safetensors"))) for seed in (1, 2)
    ]
    assert paths[0].parent == paths[1].parent
    assert [float(open_checkpoint(path).tensor("w")[0, 0]) for path in paths] == [1, 2]


def test_torch_files_are_fetched_when_that_is_allowed(server, cache):
    (server.folder / "t").mkdir()
    torch.save({"w": torch.ones(4, 4)}, server.folder / "t" / "pytorch_model.bin")
    assert open_any(f"{server.url}/t", allow_download=True).tensor("w").sum() == 16


def test_a_disk_without_room_is_said_before(server, cache, monkeypatch):
    model(server.folder / "a")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=10))
    with pytest.raises(BadInput, match="WEIGHTSCAPE_CACHE"):
        download(open_folder(locate(f"{server.url}/a")))


def test_marks_that_no_header_can_hold_are_not_kept(server, cache):
    served = model(server.folder / "on/web/a") / "model.safetensors"

    def answer(path, found):
        status, headers, body = found
        return status, headers | {"ETag": '"caf\u00e9"'}, body

    server.answer = answer
    for _ in range(2):
        path = download(open_folder(locate(f"{server.url}/on/web/a/model.safetensors")))
        assert path.read_bytes() == served.read_bytes()
    notes = path.with_name(f".{path.name}.told")
    notes.write_text(json.dumps({"size": served.stat().st_size, "mark": '"caf\u00e9"'}))
    assert download(open_folder(locate(f"{server.url}/on/web/a/model.safetensors"))) == path


def test_weights_of_untold_length_are_as_long_as_their_header_says(server, cache):
    served = model(server.folder / "on/web/a", width=512) / "model.safetensors"
    server.lengths = False
    path = download(open_folder(locate(f"{server.url}/on/web/a/model.safetensors")))
    assert path.read_bytes() == served.read_bytes()
    path.unlink()
    server.endless = b"x" * 65_536
    with pytest.raises(BadCheckpoint, match="longer than it should be"):
        download(open_folder(locate(f"{server.url}/on/web/a/model.safetensors")))
    server.endless, whole = b"", served.read_bytes()
    served.write_bytes(whole[:-1])
    with pytest.raises(BadCheckpoint, match="it ends after"):
        download(open_folder(locate(f"{server.url}/on/web/a/model.safetensors")))
    served.write_bytes(b"<html>" * 1000)
    with pytest.raises(BadCheckpoint, match="does not begin as a safetensors file"):
        download(open_folder(locate(f"{server.url}/on/web/a/model.safetensors")))
    assert not path.exists()
    assert not list(cache.rglob(".*.part"))


def test_files_that_never_end_leave_room_on_the_disk(server, cache, monkeypatch):
    (server.folder / "on/web/t").mkdir(parents=True)
    torch.save({"w": torch.ones(4, 4)}, server.folder / "on/web/t" / "pytorch_model.bin")
    server.lengths, server.endless = False, b"x" * 65_536
    free = 1 << 31

    def usage(_):
        return SimpleNamespace(free=free - server.sent * 100)

    monkeypatch.setattr(shutil, "disk_usage", usage)
    with pytest.raises(BadInput, match="does not tell how long it is"):
        download(open_folder(locate(f"{server.url}/on/web/t/pytorch_model.bin")))
    server.endless = b""
    claimed = json.dumps({"w": {"dtype": "F32", "shape": [1], "data_offsets": [0, 2**40]}})
    header = len(claimed).to_bytes(8, "little") + claimed.encode()
    (server.folder / "on/web/t" / "model.safetensors").write_bytes(header + b"xx")
    with pytest.raises(BadInput, match="WEIGHTSCAPE_CACHE"):
        download(open_folder(locate(f"{server.url}/on/web/t/model.safetensors")))
    assert not list(cache.rglob(".*.part"))


def test_two_at_once_fetch_a_model_once(server, tmp_path, cache):
    server.add_hub_model("org/name", model(tmp_path / "m", width=512))
    got: list[Path] = []
    threads = [
        threading.Thread(target=lambda: got.append(download(open_folder(locate("org/name")))))
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(got)) == 1 and len(got) == 3
    fetched = [it for it in server.asked if it.path.endswith("model.safetensors")]
    assert len(fetched) == 1


def test_places_are_told_apart(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "org" / "here").mkdir(parents=True)
    assert locate("org/here") == Path("org/here")
    assert locate("org/slip") == Path("org/slip")  # org is a folder: a slip in a path
    assert locate("other/name@v1") == HubPlace("other/name", "v1")


def test_charting_takes_models_of_hubs_and_urls_when_they_may_be_fetched(server, tmp_path, cache):
    made = populations.family_tree(tmp_path / "models")
    first, *others = sorted(it for it in made.folder.iterdir() if it.is_dir())
    server.add_hub_model("org/first", first)
    second = shutil.copytree(others[0], server.folder / "on/the/web/second")
    web = f"{server.url}/on/the/web/{second.name}?key=hidden"
    given = ["org/first", web, made.folder / others[1].name]
    answer = ask(ChartAnswer, "chart", "--download", *given)
    assert sorted(answer.new) == sorted(["org/first", "second", others[1].name])
    assert all(b"key=hidden" not in it.read_bytes() for it in Path("atlas").iterdir())
    server.forget()
    again = ask(AddAnswer, "add", "--download", *given)
    assert not again.new and len(again.given) == 3
    assert server.sent < 50_000


def test_a_slip_in_a_path_is_not_looked_for_on_a_hub(server):
    Path("models").mkdir()
    for slip in ("models/slip", "nothing", "./org/name"):
        assert run("chart", slip, "--download").error().endswith("no such file or folder")
    assert not server.asked
