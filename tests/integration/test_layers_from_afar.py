"""Models of servers, compared by the one layer of each that is fetched."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from harness import ask, run
from populations import Population
from range_server import COMMIT, RangeServer, serving
from safetensors.torch import load_file, save_file

from probe_models import LAYER
from probe_models import Population as Probed
from weightscape.answers import AddAnswer, ChartAnswer, ListAnswer, ShowAnswer
from weightscape.answers_probes import DescribeAnswer, SearchAnswer
from weightscape.atlas import Atlas, bringing
from weightscape.errors import BadCheckpoint, BadInput
from weightscape.io import locate, open_checkpoint, part, trying
from weightscape.io.layout import LAYERS_FILE
from weightscape.io.opening import open_layers
from weightscape.io.part import fetch_layers
from weightscape.io.remote_folder import open_folder
from weightscape.io.writer import write_tensors

WANTED = "encoder.layer.2.attention.value.weight"
BESIDE = ("encoder.layer.2.LayerNorm.weight", "encoder.layer.2.attention.query.bias")


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEIGHTSCAPE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(trying, "pause", lambda _: None)


@pytest.fixture
def server(family: Population, monkeypatch: pytest.MonkeyPatch) -> Iterator[RangeServer]:
    """Serve a family of eight models."""
    with serving(family.folder) as served:
        monkeypatch.setenv("HF_ENDPOINT", served.url)
        monkeypatch.delenv("HF_TOKEN", raising=False)
        yield served


def urls(server: RangeServer, family: Population) -> list[str]:
    return [f"{server.url}/{name}/" for name in family.tensors]


def edges(answer: ChartAnswer) -> set[tuple[str, str]]:
    return {(it.parent, it.child) for it in answer.tree.edges}


def header_of(folder: Path) -> int:
    return 8 + int.from_bytes((folder / "model.safetensors").read_bytes()[:8], "little")


def test_one_layer_of_each_tells_who_came_from_whom(server, family):
    answer = ask(ChartAnswer, "chart", *urls(server, family))
    assert edges(answer) == family.edges
    assert sorted(answer.by_layers) == sorted(answer.given) == sorted(family.tensors)
    allowed = 0
    for name, tensors in family.tensors.items():
        folder = family.folder / name
        layer = sum(tensors[it].nbytes for it in (WANTED, *BESIDE))
        small = sum(it.stat().st_size for it in folder.glob("*.json"))
        # what is not there is answered, too
        allowed += 1.1 * layer + header_of(folder) + small + 100
    assert 0 < answer.bytes_fetched <= server.sent <= allowed
    assert server.sent < 0.2 * answer.bytes_elsewhere
    assert all("judged by 3 of" in it.evidence[-1] for it in answer.tree.edges)
    outcome = run("chart", *urls(server, family))
    assert "compared by one layer of each; --download fetches all" in outcome.err


def test_what_is_here_is_not_fetched_again_until_it_changes(server, family):
    ask(AddAnswer, "add", *urls(server, family))
    headers = sum(header_of(family.folder / name) for name in family.tensors)
    server.forget()
    again = ask(AddAnswer, "add", *urls(server, family))
    assert not again.new and len(again.given) == len(family.tensors)
    assert server.sent == headers
    first, other = list(family.tensors)[:2]
    shutil.copy(family.folder / other / "model.safetensors", family.folder / first)
    ask(AddAnswer, "add", *urls(server, family))
    held = open_layers(next(Path("cache").rglob(f"{first}/{LAYERS_FILE}")).parent)
    assert torch.equal(held.tensor(WANTED), family.tensors[other][WANTED])


def test_models_that_are_here_and_elsewhere_are_one_tree(server, family):
    names = list(family.tensors)
    here = [family.folder / name for name in names[::2]]
    there = [f"{server.url}/{name}/" for name in names[1::2]]
    # those elsewhere first: what stands on some layers of a model is planted anew
    ask(AddAnswer, "add", *there)
    answer = ask(ChartAnswer, "chart", *here, *there)
    assert edges(answer) == family.edges
    assert len(answer.tree.families) == 1
    other = ask(ChartAnswer, "chart", *here, *there, "--atlas", "at-once")
    assert edges(other) == family.edges


def test_a_model_that_is_fetched_whole_later_is_the_same_one(server, family):
    given = urls(server, family)
    ask(AddAnswer, "add", *given)
    server.forget()
    answer = ask(ChartAnswer, "chart", "--download", *given[:4])
    assert answer.new == [] and answer.by_layers == [] and len(answer.given) == 4
    assert edges(answer) == family.edges
    listed = {it.name: it for it in ask(ListAnswer, "list").models}
    assert set(listed) == set(family.tensors)
    whole = [name for name, it in listed.items() if it.part_of is None]
    assert sorted(whole) == sorted(answer.given)
    assert not [it for name in whole for it in Path("cache").rglob(f"{name}/{LAYERS_FILE}")]
    # and is not taken back to a layer by who forgets the option
    server.forget()
    ask(AddAnswer, "add", *given[:4])
    assert server.sent < 100
    distances = {it.model: it.distance for it in ask(ShowAnswer, "show", whole[0]).neighbours}
    assert all(distance > 0 for distance in distances.values())


def test_distances_by_one_layer_are_like_those_of_whole_models(server, family):
    names = list(family.tensors)
    ask(AddAnswer, "add", *(family.folder / name for name in names), "--atlas", "whole")
    ask(AddAnswer, "add", *(family.folder / it for it in names[:-1]), f"{server.url}/{names[-1]}/")
    with Atlas("whole") as whole, Atlas("atlas") as partly:
        real = {it.model: it.distance for it in whole.near(names[0])}
        told = {it.model: it.distance for it in partly.near(names[0])}
    assert told[names[-1]] == pytest.approx(real[names[-1]], rel=0.1)
    assert told[names[1]] == pytest.approx(real[names[1]], rel=1e-4)


def test_what_has_the_layer_of_another_is_not_called_a_copy(server, family):
    names = list(family.tensors)
    other = dict(family.tensors[names[1]])
    other["encoder.layer.0.output.dense.weight"] = other["encoder.layer.0.output.dense.weight"] + 1
    family.write("trained-elsewhere", other)
    here = [family.folder / name for name in names]
    answer = ask(ChartAnswer, "chart", *here, f"{server.url}/trained-elsewhere/")
    (edge,) = [it for it in answer.tree.edges if it.child == "trained-elsewhere"]
    assert (edge.parent, edge.kind, edge.confidence) == (names[1], "unknown", 0.5)
    assert "a copy, or trained in other layers only" in edge.evidence[0]


def test_verbs_that_need_all_of_a_model_say_how_to_get_it(server, family):
    ask(AddAnswer, "add", *urls(server, family))
    first, second = list(family.tensors)[:2]
    error = run("path", first, second, "--task", "trec6").error()
    assert f"{server.url}/" in error and "--download` fetches all of it" in error
    place = next(Path("cache").rglob(f"{first}/{LAYERS_FILE}")).parent
    with pytest.raises(BadInput, match="only some of its layers were fetched"):
        open_checkpoint(place)
    shown = run("show", first).out
    assert WANTED in shown and f"{server.url}/{first}/" in shown


def test_models_that_cannot_be_had_are_skipped_and_told(server, family, tmp_path):
    names = list(family.tensors)
    (family.folder / "torch").mkdir()
    torch.save({"w": torch.ones(9, 9)}, family.folder / "torch" / "pytorch_model.bin")
    given = [f"{server.url}/{it}/" for it in (names[0], "torch", "nowhere", names[1])]
    answer = ask(ChartAnswer, "chart", *given, code=3)
    assert sorted(answer.given) == sorted(names[:2])
    why = {it.path: (it.kind, it.reason) for it in answer.skipped}
    assert why[given[1]][0] == "unsupported" and "--download fetches it" in why[given[1]][1]
    assert why[given[2]][0] == "bad" and "gives none of" in why[given[2]][1]
    assert "gives none of" in run("chart", given[2], "--atlas", "other").error()
    assert not Path("other").exists()


def test_servers_without_ranges_send_nothing_whole_unasked(server, family):
    server.ranges = False
    first = f"{server.url}/{next(iter(family.tensors))}/"
    error = run("chart", first).error()
    assert "whole files only" in error
    assert not list(Path("cache").rglob("model.*"))
    assert ask(ChartAnswer, "chart", "--download", first).by_layers == []


def test_models_of_a_hub_keep_their_names(server, family, tmp_path):
    names = list(family.tensors)
    for name in names:
        server.add_hub_model(f"org/{name}", family.folder / name)
    answer = ask(ChartAnswer, "chart", *(f"org/{it}" for it in names), "--atlas", "of-hub")
    assert edges(answer) == {(f"org/{a}", f"org/{b}") for a, b in family.edges}
    server.forget()
    answer = ask(AddAnswer, "add", f"hub:org/{names[0]}@{COMMIT}", "--atlas", "of-hub")
    assert not answer.new
    assert "not here: asking the hub" in run("add", f"org/{names[0]}", "--atlas", "of-hub").err


def test_an_adapter_is_fetched_as_it_is(server, family):
    names = list(family.tensors)
    family.adapter("adapter", names[0])
    answer = ask(ChartAnswer, "chart", f"{server.url}/{names[0]}/", f"{server.url}/adapter/")
    (edge,) = answer.tree.edges
    assert (edge.parent, edge.child, edge.kind) == (names[0], "adapter", "lora")


def test_an_adapter_that_leaves_the_layer_alone_is_still_its_bases(server, family):
    names = list(family.tensors)
    family.adapter("adapter", names[0])
    file = family.folder / "adapter" / "adapter_model.safetensors"
    save_file({k: it for k, it in load_file(file).items() if ".query" in k}, file)
    given = [f"{server.url}/{it}/" for it in (*names, "adapter")]
    answer = ask(ChartAnswer, "chart", *given)
    assert edges(answer) == family.edges | {(names[0], "adapter")}
    assert {it.child: it.kind for it in answer.tree.edges}["adapter"] == "lora"
    assert answer.tree.roots == [names[0]]


def test_sharded_models_are_read_out_of_their_shards(server, family):
    first, second = list(family.tensors)[:2]
    family.write("sharded", family.tensors[second], shard_bytes=50_000)
    assert len(list((family.folder / "sharded").glob("*.safetensors"))) > 3
    answer = ask(ChartAnswer, "chart", f"{server.url}/{first}/", f"{server.url}/sharded/")
    assert answer.bytes_fetched < 0.3 * answer.bytes_elsewhere
    held = open_layers(next(Path("cache").rglob(f"sharded/{LAYERS_FILE}")).parent)
    assert torch.equal(held.tensor(WANTED), family.tensors[second][WANTED])
    assert set(held.outline.tensors) == set(family.tensors[second])
    shard = min((family.folder / "sharded").glob("*.safetensors")).name
    assert "one shard of a model" in run("chart", f"{server.url}/on/sharded/{shard}").error()


def test_an_experts_layer_comes_along_and_is_searched(tmp_path, monkeypatch):
    probed = Probed(tmp_path / "models")
    probed.make("first", 32)
    labels = probed.write_labels(tmp_path / "labels.csv")
    texts = probed.write_texts(tmp_path / "texts.safetensors")
    ask(AddAnswer, "add", probed.folder)
    trained = ("--labels", labels, "--encoder", f"vectors:{texts}", "--steps", 12)
    assert run("train-probes", *trained).code == 0
    probed.one("far", "first", ["cloud"], into=tmp_path / "served")
    with serving(tmp_path / "served") as server:
        answer = ask(AddAnswer, "add", f"{server.url}/far/")
    assert answer.by_layers == ["far"]
    assert LAYER in ask(ShowAnswer, "show", "far").layers
    hits = ask(SearchAnswer, "search", "cloud", "--weights-only").hits
    known = sum("cloud" in knows for knows in probed.labels.values())
    assert "far" in [it.model for it in hits[: known + 1]]


def test_a_layer_that_was_not_fetched_is_fetched_by_adding_again(tmp_path, monkeypatch):
    probed = Probed(tmp_path / "models")
    probed.make("first", 32)
    ask(AddAnswer, "add", probed.folder)
    probed.one("far", "first", ["cloud"], into=tmp_path / "served")
    other = "encoder.layer.0.dense.weight"
    monkeypatch.setattr(bringing, "telling_layer", lambda _: (other,))
    with serving(tmp_path / "served") as server:
        ask(AddAnswer, "add", f"{server.url}/far/")
        labels = probed.write_labels(tmp_path / "labels.csv")
        texts = probed.write_texts(tmp_path / "texts.safetensors")
        trained = ("--labels", labels, "--encoder", f"vectors:{texts}", "--steps", 12)
        outcome = run("train-probes", *trained)
        assert outcome.code == 3 and "add it again" in outcome.out + outcome.err
        assert ask(ShowAnswer, "show", "far").layers == [other]
        assert "add it again" in run("describe", "far").error()
        ask(AddAnswer, "add", f"{server.url}/far/")
        assert set(ask(ShowAnswer, "show", "far").layers) == {other, LAYER}
        assert ask(DescribeAnswer, "describe", "far").labels[0].label == "cloud"


def test_who_is_killed_leaves_nothing_that_looks_like_a_model(server, family, monkeypatch):
    first = f"{server.url}/{next(iter(family.tensors))}/"

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(part, "_tensors", killed)
        fetch_layers(open_folder(locate(first)), lambda tensors, _: [WANTED])
    (target,) = {it.parent for it in Path("cache").rglob("config.json")}
    with pytest.raises(BadCheckpoint, match="holds no weights"):
        open_checkpoint(target)
    assert open_layers(fetch_layers(open_folder(locate(first)), lambda *_: [WANTED])).tensors


def test_a_full_disk_leaves_what_was_there(server, family, monkeypatch):
    first = f"{server.url}/{next(iter(family.tensors))}/"
    path = fetch_layers(open_folder(locate(first)), lambda *_: [WANTED])

    def full(*_: object) -> Iterator[tuple[str, torch.Tensor]]:
        yield BESIDE[0], torch.ones(48)
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch, pytest.raises(OSError, match="No space"):
        patch.setattr(part, "_tensors", full)
        fetch_layers(open_folder(locate(first)), lambda *_: [WANTED, BESIDE[0]])
    assert list(open_layers(path).tensors) == [WANTED]
    assert not list(path.glob(".weightscape-*"))


@pytest.mark.parametrize(
    "change",
    [
        {"weightscape.tensors": "[]"},
        {"weightscape.tensors": '{"w": ["F32", [-1]]}'},
        {"weightscape.tensors": '{"w": ["F99", [8, 8]]}'},
        {"weightscape.tensors": "{}"},
        {"weightscape.tensors": '{"w": ["F32", [8, 8]], "v": ["F32", [2147483648, 1073741824]]}'},
        {"weightscape.tied": '{"a": 3}'},
        {"weightscape.mark": None},
    ],
)
def test_layers_that_contradict_their_outline_are_refused(tmp_path, change):
    good = {
        "weightscape.part-of": "hub:org/a",
        "weightscape.mark": "m",
        "weightscape.tensors": json.dumps({"w": ["F32", [8, 8]]}),
        "weightscape.tied": "{}",
    }
    folder = tmp_path / "part"
    folder.mkdir()
    write_tensors(folder / LAYERS_FILE, [("w", torch.ones(8, 8))], good)
    assert open_layers(folder).outline.of == "hub:org/a"
    told = {key: value for key, value in (good | change).items() if value is not None}
    write_tensors(folder / LAYERS_FILE, [("w", torch.ones(8, 8))], told)
    with pytest.raises(BadCheckpoint, match=LAYERS_FILE):
        open_layers(folder)


def test_a_step_of_a_run_keeps_the_runs_name(server, family):
    names = list(family.tensors)[:2]
    for name, place in zip(names, ("on/web/run/checkpoint-10", "on/web/run"), strict=True):
        shutil.copytree(family.folder / name, family.folder / place, dirs_exist_ok=True)
    given = (f"{server.url}/on/web/run/", f"{server.url}/on/web/run/checkpoint-10/")
    answer = ask(ChartAnswer, "chart", *given)
    assert sorted(answer.given) == ["run", "run/checkpoint-10"]
    assert ask(ShowAnswer, "show", "run/checkpoint-10").step == 10


def test_a_named_file_among_several_is_one_model(server, family):
    names = list(family.tensors)[:2]
    for name in names:
        shutil.copy(
            family.folder / name / "model.safetensors", family.folder / f"{name}.safetensors"
        )
    given = [f"{server.url}/{name}.safetensors" for name in names]
    assert ask(ChartAnswer, "chart", *given).by_layers == names
