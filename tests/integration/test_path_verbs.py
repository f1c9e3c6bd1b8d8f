"""`path` and `plane` from the command line on tiny models: what they print, keep and refuse."""

import json
import os
import resource
import shutil
import warnings
from itertools import pairwise
from pathlib import Path

import pytest
from harness import ask, run

from weightscape.answers import PathAnswer, PlaneAnswer
from weightscape.atlas import Atlas

WORDS = "[PAD] [UNK] [CLS] [SEP] good bad fine poor film book a the was very not".split()


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder with a tiny BERT, a task, three fine-tuned models, and their charted atlas."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("runs")
    config = BertConfig(
        vocab_size=len(WORDS),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=16,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        BertModel(config).save_pretrained(folder / "models" / "base")
    words = Tokenizer(models.WordLevel({w: i for i, w in enumerate(WORDS)}, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    words.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    PreTrainedTokenizerFast(
        tokenizer_object=words, unk_token="[UNK]", pad_token="[PAD]"
    ).save_pretrained(folder / "models" / "base")
    lines = ["text,label"]
    lines += [
        f"{start} {thing} was {'very ' * very}{word},"
        + ("pos" if word in ("good", "fine") else "neg")
        for start in ("a", "the")
        for thing in ("film", "book")
        for very in range(4)
        for word in ("good", "bad", "fine", "poor")
    ]
    (folder / "reviews.csv").write_text("\n".join(lines) + "\n")
    for seed in range(3):
        outcome = run(
            *("fine-tune", folder / "models" / "base", folder / "models" / f"run-{seed}"),
            *("--task", folder / "reviews.csv", "--steps", 25, "--lr", 0.01, "--seed", seed),
        )
        assert outcome.code == 0, outcome
    outcome = run("chart", folder / "models", "--atlas", folder / "atlas")
    assert outcome.code == 0, outcome
    return folder


def given(runs: Path, *more: object) -> tuple[object, ...]:
    chance = ("--allow-chance",) if more[0] == "path" else ()
    return (*more, "--task", runs / "reviews.csv", "--device", "cpu", *chance)


def test_a_line_is_scored_printed_kept_and_drawn(runs: Path, tmp_path: Path) -> None:
    picture, lone = tmp_path / "path.png", tmp_path / "path.html"
    outcome = run(
        *given(runs, "path", "run-0", "run-1", "--atlas", runs / "atlas", "--points", 6),
        *("--plot", picture, "--plot", lone),
    )
    assert outcome.code == 0, outcome
    assert outcome.out.split(":")[0] in ("connected", "not connected", "cannot tell")
    assert "scored on" in outcome.out and "distance" in outcome.out
    assert picture.stat().st_size > 20_000
    assert "run-0 to run-1" in lone.read_text("utf-8")
    with Atlas(runs / "atlas") as atlas:
        (kept,) = [it for it in atlas.paths() if it.kind == "path"]
    assert kept.models == ("run-0", "run-1")
    told = json.loads((Path(kept.folder) / "path.json").read_text())
    assert told == kept.result
    page = (runs / "atlas" / "index.html").read_text("utf-8")
    assert 'id="paths-card"' in page
    kept_places = {it.name for it in (runs / "atlas" / "paths").iterdir()}
    assert kept_places == {Path(kept.folder).name, "kept"}


def test_the_answer_has_the_keys_and_agrees_with_itself(runs: Path) -> None:
    answer = ask(
        PathAnswer,
        *given(runs, "path", runs / "models" / "run-0", "run-2", "--atlas", runs / "atlas"),
        *("--points", 5, "--rows", 8, "--train-rows", 16),
    )
    assert (answer.a, answer.b, answer.curve) == ("run-0", "run-2", "line")
    assert [it.t for it in answer.points] == [0, 0.25, 0.5, 0.75, 1]
    assert answer.barrier is not None
    rises = [it.loss - it.chord for it in answer.points if it.loss is not None and it.chord]
    assert answer.barrier == pytest.approx(max(0.0, *rises), abs=1e-9)
    table = answer.knowledge.train
    assert (answer.rows, answer.train_rows, len(table.rows)) == (8, 16, 16)
    steps = zip(pairwise(table.correct), answer.forgotten[1:], strict=True)
    for (before, now), lost in steps:
        pairs = zip(table.rows, before, now, strict=True)
        assert sorted(lost) == sorted(row for row, x, y in pairs if (x, y) == ("1", "0"))


def test_a_bend_is_trained_once_and_used_again(runs: Path, tmp_path: Path) -> None:
    asked = given(runs, "path", runs / "models/run-0", runs / "models/run-1", "--points", 5)
    curve = ("--curve", "bezier", "--atlas", tmp_path / "none")
    first = ask(PathAnswer, *asked, *curve, "--steps", 3, "--out", tmp_path / "out")
    assert first.training is not None
    (bend,) = first.training.folders
    again = ask(PathAnswer, *asked, *curve, "--bend", bend, "--out", tmp_path / "again")
    assert again.training is None
    # a bend is stored as a model and read as one: the same up to the storing
    assert [it.loss for it in again.points] == pytest.approx(
        [it.loss for it in first.points], abs=1e-5
    )
    assert not (tmp_path / "none").exists()  # no atlas is made where there is none


def test_a_plane_is_scored_kept_and_drawn(runs: Path, tmp_path: Path) -> None:
    picture = tmp_path / "plane.svg"
    asked = given(runs, "plane", "run-0", "run-1", "run-2", "--atlas", runs / "atlas")
    answer = ask(PlaneAnswer, *asked, "--grid", 4, "--plot", picture)
    assert (len(answer.losses), len(answer.losses[0])) == (4, 4)
    assert answer.models == ["run-0", "run-1", "run-2"]
    assert answer.positions[0] == (0, 0) and answer.positions[1][1] == 0
    assert "run-2" in picture.read_text()
    with Atlas(runs / "atlas") as atlas:
        assert "plane" in {it.kind for it in atlas.paths()}
    outcome = run(*asked, "--grid", 4)
    assert outcome.code == 0 and "lowest point of the grid" in outcome.out


def test_what_a_path_wrote_is_not_charted(runs: Path) -> None:
    asked = given(runs, "path", "run-1", "run-2", "--atlas", runs / "atlas", "--points", 3)
    assert run(*asked, "--curve", "chain", "--steps", 2).code == 0
    before = run("list", "--atlas", runs / "atlas").out
    assert run("chart", runs, "--atlas", runs / "atlas").code == 0
    assert run("list", "--atlas", runs / "atlas").out == before


def test_bends_that_were_written_elsewhere_are_not_charted(runs: Path, tmp_path: Path) -> None:
    shutil.copytree(runs / "models", tmp_path / "models")
    ends = tmp_path / "models" / "run-0", tmp_path / "models" / "run-1"
    for out in (("--out", tmp_path / "models" / "found"), ("--atlas", tmp_path / "models" / "at")):
        asked = given(runs, "path", *ends, "--points", 3, "--curve", "bezier", "--steps", 2)
        assert run(*asked, *out).code == 0
    assert len(list(tmp_path.rglob("bend-1"))) == 2
    answer = json.loads(
        run("chart", tmp_path / "models", "--atlas", tmp_path / "atlas", "--json").out
    )
    assert sorted(answer["new"]) == ["base", "run-0", "run-1", "run-2"]
    assert answer["skipped"] == []


def test_another_question_leaves_an_answer_alone(runs: Path, tmp_path: Path) -> None:
    shutil.copytree(runs / "atlas", tmp_path / "atlas")
    asked = given(runs, "path", "run-2", "run-0", "--atlas", tmp_path / "atlas", "--points", 3)
    first = ask(PathAnswer, *asked)
    other = ask(PathAnswer, *asked, "--rows", 8)
    assert first.folder != other.folder and (first.rows, other.rows) != (8, first.rows)
    with Atlas(tmp_path / "atlas") as atlas:
        assert {first.folder, other.folder} <= {it.folder for it in atlas.paths()}
        many = len(atlas.paths())
    again = ask(PathAnswer, *asked)
    assert again.folder == first.folder
    with Atlas(tmp_path / "atlas") as atlas:
        assert len(atlas.paths()) == many


def test_damaged_bends_are_trained_anew(runs: Path, tmp_path: Path) -> None:
    asked = given(runs, "path", runs / "models/run-0", runs / "models/run-1", "--points", 3)
    curve = ("--curve", "bezier", "--steps", 3, "--out", tmp_path / "out", "--quiet")
    first = ask(PathAnswer, *asked, *curve)
    (kept,) = tmp_path.rglob("bends.pt")
    for content in (kept.read_bytes()[:-200], b"", b"PK\x03\x04 nonsense"):
        kept.write_bytes(content)
        (kept.parent / "state.pt").write_bytes(content)
        again = ask(PathAnswer, *asked, *curve)
        assert [it.loss for it in again.points] == [it.loss for it in first.points]


def _asked(runs: Path, out: Path, *more: object) -> tuple[object, ...]:
    ends = (runs / "models/run-0", runs / "models/run-1")
    return given(runs, "path", *ends, "--points", 3, "--out", out, "--quiet", *more)


def _forked(argv: tuple[object, ...], told: Path, largest: int | None = None) -> int:
    """Run a command in a copy of this process, which has all loaded that takes long to load."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # other threads are not waited for
        child = os.fork()
    if child:
        return child
    try:
        if largest is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (largest, largest))
        outcome = run(*argv)
        told.write_text(json.dumps([outcome.code, outcome.out, outcome.err]))
    finally:
        os._exit(0)


def test_a_full_disk_is_one_line_and_leaves_nothing_that_looks_whole(
    runs: Path, tmp_path: Path
) -> None:
    out, told = tmp_path / "out", tmp_path / "told"
    asked = _asked(runs, out, "--curve", "bezier", "--steps", 2)
    os.waitpid(_forked(asked, told, largest=20_000), 0)
    code, said, error = json.loads(told.read_text())
    assert (code, said) == (2, "")
    assert error.count("\n") == 1 and "File too large" in error
    left = {it.name for it in out.rglob("*") if it.is_file()}
    assert not {"path.json", "bends.pt", "model.safetensors"} & left


def test_names_of_the_atlas_are_known_to_evaluate_and_fine_tune(runs: Path, tmp_path: Path) -> None:
    known = ("--task", runs / "reviews.csv", "--device", "cpu", "--atlas", runs / "atlas")
    scored = run("evaluate", "run-0", "n-1", *known)
    assert scored.code == 0 and "run-1" in scored.out
    trained = run("fine-tune", "run-0", tmp_path / "child", "--steps", 1, *known)
    assert trained.code == 0
    assert json.loads((tmp_path / "child" / "provenance.json").read_text())["parent"] == "run-0"
    assert "nearest: run-" in run("fine-tune", "run-9", tmp_path / "other", *known).error()
    assert "'run' may be run-0, run-1" in run("evaluate", "run", *known).error()


def test_two_processes_may_ask_the_same_at_once(runs: Path, tmp_path: Path) -> None:
    asked = _asked(runs, tmp_path / "out", "--curve", "bezier", "--steps", 10, "--json")
    files = [tmp_path / name for name in "ab"]
    for child in [_forked(asked, file) for file in files]:
        os.waitpid(child, 0)
    first, second = (json.loads(file.read_text()) for file in files)
    assert (first[0], second[0]) == (0, 0), (first, second)
    answers = [json.loads(it[1]) for it in (first, second)]
    assert answers[0]["points"] == answers[1]["points"]
    assert answers[0]["training"] == answers[1]["training"]


def test_the_same_model_twice_is_a_path_of_no_length(runs: Path, tmp_path: Path) -> None:
    model = runs / "models" / "run-0"
    outcome = run(*given(runs, "path", model, model, "--points", 3, "--out", tmp_path / "o"))
    assert outcome.code == 0, outcome
    assert "the same model" in outcome.err
    assert "distance 0" in outcome.out


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (
            ("path", "run-0", "run-9", "--task", "reviews.csv"),
            "no model named 'run-9'; nearest: run-",
        ),
        (("path", "run-0", "run-1"), "--task T.yml"),
        (("path", "run-0", "run-1", "--task", "t.yml", "--curve", "arc"), "--curve is line"),
        (("path", "run-0", "run-1", "--task", "t.yml", "--points", "1"), "--points is 2 or more"),
        (("path", "run-0", "run-1", "--task", "t.yml", "--rows", "few"), "--rows is a number"),
        (("path", "run-0", "run-1", "--task", "t.yml", "--plot", "x.gif"), "must end in"),
        (("path", "run-0", "run-1", "--task", "t.yml"), "t.yml"),
        (("path", "run-0", "run-1", "--task", "t", "--plot", "no/x.png"), "there is no folder"),
        (("path", "run-0", "run-1", "--task", "t", "--out", "reviews.csv/o"), "is no folder"),
        (("path", "./nowhere", "run-1", "--task", "reviews.csv"), "./nowhere"),
        (("plane", "run-0", "run-1", "run-0", "--task", "reviews.csv"), "three different models"),
        (("plane", "run-0", "run-1", "run-2", "--task", "a", "--task", "b"), "one task"),
    ],
)
def test_wrong_arguments_are_refused_in_a_line(
    runs: Path, monkeypatch: pytest.MonkeyPatch, more: tuple[str, ...], said: str
) -> None:
    monkeypatch.chdir(runs)
    assert said in run(*more, "--atlas", runs / "atlas").error()
