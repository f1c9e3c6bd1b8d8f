"""Files that are no models, and arguments that make no sense: said in one line, never a crash."""

import json
import pickle
import struct
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from harness import ask, run
from populations import Population, Tensors, random_model
from safetensors.torch import save

from weightscape.answers import AddAnswer, ChartAnswer, NearAnswer, ShowAnswer
from weightscape.atlas import placing


def truncated() -> bytes:
    return save(random_model(3))[:-1000]


def garbage_header() -> bytes:
    return struct.pack("<Q", 40) + b"\xff" * 40 + b"\0" * 400


def header_beyond_the_file() -> bytes:
    return struct.pack("<Q", 1 << 40) + b"{}"


def wrong_size() -> bytes:
    header = {"w": {"dtype": "F32", "shape": [3, 3], "data_offsets": [0, 4]}}
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + b"\0" * 4


BAD_FILES = {
    "truncated": truncated,
    "garbage-header": garbage_header,
    "header-beyond": header_beyond_the_file,
    "wrong-size": wrong_size,
    "empty": bytes,
}


def put(folder: Path, name: str, data: bytes) -> Path:
    folder.mkdir(parents=True)
    (folder / name).write_bytes(data)
    return folder


def write_trap(file: Path, canary: Path) -> None:
    """Write a torch zip whose pickle would make a file when it is run."""

    class Trap:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return exec, (f"open({str(canary)!r}, 'w')",)

    file.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({"w": Trap()}))
        archive.writestr("archive/version", "3\n")


def test_bad_models_are_skipped_by_name_and_the_rest_is_charted(
    family: Population, tmp_path: Path
) -> None:
    for name, data in BAD_FILES.items():
        put(family.folder / name, "model.safetensors", data())
    write_trap(family.folder / "trap" / "pytorch_model.bin", tmp_path / "canary")
    put(family.folder / "quantised", "model.gguf", b"GGUF")
    bad = {*BAD_FILES, "trap", "quantised"}

    answer = ask(ChartAnswer, "chart", family.folder, code=3)

    assert not (tmp_path / "canary").exists()
    assert sorted(answer.given) == sorted(family.tensors)
    assert {(it.parent, it.child) for it in answer.tree.edges} == family.edges
    named = {Path(it.path).relative_to(family.folder).parts[0]: it for it in answer.skipped}
    assert set(named) == bad
    assert named["quantised"].kind == "unsupported"
    assert {named[name].kind for name in bad - {"quantised"}} == {"bad"}
    for name, it in named.items():
        assert name in it.path
        assert "\n" not in it.reason
    assert "'w'" in named["wrong-size"].reason
    assert "run" in named["trap"].reason or "code" in named["trap"].reason

    text = run("chart", family.folder)
    assert text.code == 3
    assert text.err.count("skipped ") == len(bad)
    assert "7 skipped" in text.out


def test_a_bad_model_that_is_mended_is_charted(family: Population) -> None:
    whole = (family.folder / "task0-1" / "model.safetensors").read_bytes()
    file = family.folder / "task0-1" / "model.safetensors"
    file.write_bytes(whole[:-1000])
    assert "task0-1" not in ask(ChartAnswer, "chart", family.folder, code=3).given
    file.write_bytes(whole)

    answer = ask(ChartAnswer, "chart", family.folder)

    assert answer.new == ["task0-1"]
    assert answer.skipped == []
    assert {(it.parent, it.child) for it in answer.tree.edges} == family.edges


def test_a_model_that_turns_bad_is_skipped_and_the_others_stay(family: Population) -> None:
    ask(ChartAnswer, "chart", family.folder)
    file = family.folder / "task1-2" / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1000])

    answer = ask(ChartAnswer, "chart", family.folder, code=3)

    assert [Path(it.path).name for it in answer.skipped] == ["task1-2"]
    assert sorted(answer.given) == sorted(set(family.tensors) - {"task1-2"})


def test_a_model_that_vanishes_while_it_is_read_is_named(
    family: Population, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = family.folder / "task1-2" / "model.safetensors"
    original = placing.place

    def vanishing(*arguments: Any, **options: Any) -> int:
        file.rename(family.folder / "task1-2" / "elsewhere")
        return original(*arguments, **options)

    with monkeypatch.context() as patched:
        patched.setattr(placing, "place", vanishing)
        outcome = run("chart", family.folder)

    assert outcome.code in (2, 3)
    assert str(file) in outcome.err and "Traceback" not in outcome.err
    answer = ask(ChartAnswer, "chart", family.folder)
    edges = {(it.parent, it.child) for it in answer.tree.edges}
    assert edges == family.edges - {("base", "task1-2")}
    (family.folder / "task1-2" / "elsewhere").rename(file)
    answer = ask(ChartAnswer, "chart", family.folder)
    assert {(it.parent, it.child) for it in answer.tree.edges} == family.edges


def test_an_add_of_nothing_but_bad_models_lists_them(tmp_path: Path) -> None:
    put(tmp_path / "models" / "bad", "model.safetensors", truncated())

    answer = ask(AddAnswer, "add", "models", code=3)
    assert [Path(it.path).name for it in answer.skipped] == ["bad"]
    line = run("chart", "models").error()
    assert "models/bad" in line and "skipped" in line


def broken(tensors: Tensors) -> Tensors:
    """Put a NaN into one tensor and fill another with infinities."""
    copy = {key: value.clone() for key, value in tensors.items()}
    copy["encoder.layer.1.output.dense.weight"][0, 0] = float("nan")
    copy["encoder.layer.2.output.dense.weight"][:] = float("inf")
    return copy


def test_a_model_with_nan_is_charted_and_its_tensors_named(population: Population) -> None:
    population.root("base")
    for name in ("a", "b", "c", "d"):
        population.child(name, "base")
    population.write("d", broken(population.tensors["d"]))

    answer = ask(ChartAnswer, "chart", population.folder)

    assert {(it.parent, it.child) for it in answer.tree.edges} == population.edges
    assert ask(ShowAnswer, "show", "d").nonfinite == [
        "encoder.layer.1.output.dense.weight",
        "encoder.layer.2.output.dense.weight",
    ]
    assert ask(ShowAnswer, "show", "a").nonfinite == []
    assert "encoder.layer.2" in run("show", "d").out


def test_a_base_with_nan_spoils_no_distance_between_others(population: Population) -> None:
    population.root("base")
    for name in ("a", "b", "c"):
        population.child(name, "base")
    population.write("base", broken(population.tensors["base"]))

    assert run("chart", population.folder).code == 0

    near = {it.model: it.distance for it in ask(NearAnswer, "near", "a").neighbours}
    for name in ("b", "c"):
        assert near[name] == pytest.approx(population.distance("a", name), rel=1e-4)


ERRORS = {
    "no such path": (["chart", "nowhere"], "nowhere: no such"),
    "no such path among others": (["chart", "models", "nowhere"], "nowhere: no such"),
    "no such base": (["chart", "models", "--base", "nowhere"], "nowhere: no such"),
    "empty folder": (["chart", "empty"], "no model found in empty"),
    "empty folder to add": (["add", "empty"], "no model found in empty"),
    "text file": (["chart", "notes.txt"], "notes.txt"),
    "nothing that matches": (["chart", "models", "--include", "x*"], "leave none of the 2"),
    "tiny memory": (["chart", "models", "--memory", "1k"], "--memory at least"),
    "no size": (["chart", "models", "--memory", "banana"], "'banana' is no size"),
    "negative size": (["chart", "models", "--memory=-1G"], "'-1G' is no size"),
    "atlas is a file": (["chart", "models", "--atlas", "notes.txt"], "notes.txt"),
    "no atlas": (["list"], "weightscape chart"),
    "no atlas for tree": (["tree"], "weightscape chart"),
    "no atlas to remove from": (["remove", "base"], "weightscape chart"),
}


@pytest.fixture
def workplace(tmp_path: Path) -> Population:
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("nothing")
    population = Population(tmp_path / "models")
    population.root("base")
    population.child("child", "base")
    return population


@pytest.mark.usefixtures("workplace")
@pytest.mark.parametrize("case", ERRORS)
def test_a_users_error_is_one_line_and_code_2(case: str) -> None:
    arguments, expected = ERRORS[case]
    for extra in ([], ["--json"]):
        outcome = run(*arguments, *extra)
        assert expected in outcome.error(), case
        assert outcome.out == ""


@pytest.mark.usefixtures("workplace")
def test_a_wrong_path_leaves_no_atlas_behind() -> None:
    for arguments in (
        *(["chart", "nowhere"], ["add", "nowhere"], ["chart", "empty"], ["add", "empty"]),
        *(["chart", "models", "--memory=x"], ["chart", "models", "--include", "x*"]),
    ):
        run(*arguments)
        assert not Path("atlas").exists(), arguments


@pytest.mark.usefixtures("workplace")
def test_an_empty_folder_is_an_error_in_an_old_atlas_too() -> None:
    ask(ChartAnswer, "chart", "models")
    assert "no model found in empty" in run("chart", "empty").error()
    assert "no model found in empty" in run("add", "empty").error()


@pytest.mark.usefixtures("workplace")
def test_an_unknown_model_gets_the_nearest_name() -> None:
    ask(ChartAnswer, "chart", "models")
    for verb in ("show", "near", "remove"):
        line = run(verb, "chidl").error()
        assert "no model named 'chidl'" in line and "child" in line
    order = run("near", "child", "--by", "prob").error()
    assert "no order named 'prob'" in order and "probe" in order
    # all or nothing
    run("remove", "child", "nonsense").error()
    assert ask(ShowAnswer, "show", "child").status == "ready"


@pytest.mark.usefixtures("workplace")
def test_a_damaged_atlas_says_what_to_do() -> None:
    ask(ChartAnswer, "chart", "models")
    Path("atlas/atlas.sqlite").write_bytes(b"not a database at all" * 200)
    for leftover in Path("atlas").glob("atlas.sqlite-*"):
        leftover.unlink()
    for verb in (["list"], ["chart", "models"]):
        assert "atlas" in run(*verb).error()


@pytest.mark.usefixtures("workplace")
def test_wrong_words_are_refused_by_name() -> None:
    for arguments, named in (
        (["chrat", "models"], "chrat"),
        (["chart", "models", "--banana"], "--banana"),
        (["tree", "--format", "png"], "png"),
        (["chart", "models", "--threads", "0"], "--threads"),
        (["chart"], "PATH"),
        (["near"], "MODEL"),
    ):
        outcome = run(*arguments)
        assert outcome.code == 2
        assert named in outcome.err and outcome.out == ""
        assert "Traceback" not in outcome.err


def test_a_lone_file_of_weights_is_a_model(tmp_path: Path) -> None:
    tensors = random_model(5)
    (tmp_path / "lone.safetensors").write_bytes(save(tensors))
    torch.save(tensors, tmp_path / "other.pt")

    answer = ask(ChartAnswer, "chart", "lone.safetensors", "other.pt")

    assert answer.given == ["lone", "other"]
    assert [(it.parent, it.kind) for it in answer.tree.edges] == [("lone", "copy")]


def test_a_config_nested_deep_can_be_shown(population: Population) -> None:
    population.root("base")
    nested = '{"model_type": "bert", "deep": ' + "[" * 400 + "]" * 400 + "}"
    (population.folder / "base" / "config.json").write_text(nested)
    ask(ChartAnswer, "chart", population.folder)
    assert ask(ShowAnswer, "show", "base").config == {"model_type": "bert"}


def test_the_reason_of_a_lone_bad_file_is_told_whole(population: Population) -> None:
    population.root("base")
    bad = population.folder / "q.pt"
    bad.write_bytes(b"PK\x03\x04" + b"\0" * 40)
    lines = [it for it in run("chart", population.folder).err.splitlines() if "skipped" in it]
    assert any(str(bad) + ": " in it and ": ," not in it for it in lines), lines


def test_what_verifying_reads_is_told(population: Population) -> None:
    population.root("base")
    run("chart", population.folder)
    assert "no weights were read" in run("chart", population.folder).err
    assert "every byte was read" in run("chart", population.folder, "--verify").err


@pytest.mark.parametrize(
    ("options", "told"),
    [(("--include", "zz*"), "their names are"), (("--plot", "map.gif"), ".png, .svg, .pdf")],
)
def test_what_cannot_come_to_anything_leaves_no_atlas(
    family: Population, tmp_path: Path, options: tuple[str, str], told: str
) -> None:
    outcome = run("chart", family.folder, "--atlas", tmp_path / "none", *options)
    assert outcome.code == 2
    assert told in outcome.err
    assert not (tmp_path / "none").exists()


@pytest.mark.usefixtures("workplace")
def test_near_a_model_that_is_not_in_the_atlas_says_how_to_ask() -> None:
    ask(ChartAnswer, "chart", "models/base")
    for elsewhere in ("models/child", "https://models.example/x", "hub:org/x"):
        assert "weightscape add" in run("near", elsewhere).error()
    assert "no model named" in run("near", "org/x").error()
