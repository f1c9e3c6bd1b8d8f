"""`label` and `search` on a charted family: what is said of models is kept and found."""

import json
import shutil
from pathlib import Path

import populations
import pytest
import torch
from harness import ask, run
from safetensors.torch import save_file

from weightscape.answers_probes import LabelAnswer, SearchAnswer


@pytest.fixture(scope="module")
def family_with_a_card(tmp_path_factory):
    folder = tmp_path_factory.mktemp("family")
    made = populations.family_tree(folder / "models")
    card = "---\ntags: [astronomy]\n---\nWas trained on <b>telescope</b> pictures.\n"
    (made.folder / "task1-2" / "README.md").write_text(card)
    outcome = run("add", made.folder, "--atlas", folder / "atlas", "--quiet")
    assert outcome.code == 0, outcome
    return folder / "atlas"


@pytest.fixture
def atlas(family_with_a_card, tmp_path):
    return Path(shutil.copytree(family_with_a_card, tmp_path / "atlas"))


@pytest.fixture
def table(tmp_path):
    file = tmp_path / "labels.csv"
    file.write_text(
        "model,label,comment\n"
        "task0-1,cats; dogs,x\ntask0-2,cats,x\nnobody,cats,x\ntask0-2,birds,x\n"
    )
    return file


def test_a_table_s_labels_are_kept_told_and_found(atlas, table):
    answer = ask(LabelAnswer, "label", table, "--atlas", atlas, code=3)
    assert answer.models == ["task0-1", "task0-2"]
    assert [(it.label, it.models) for it in answer.labels] == [
        ("cats", 2),
        ("birds", 1),
        ("dogs", 1),
    ]
    assert (answer.unknown, answer.ignored) == (["nobody"], ["comment"])
    known = ask(LabelAnswer, "label", "--atlas", atlas)
    assert known.file is None and known.models == ["task0-1", "task0-2", "task1-2"]
    assert {it.label for it in known.labels} == {"cats", "dogs", "birds", "astronomy"}
    found = ask(SearchAnswer, "search", "a", "model", "of", "cats", "--atlas", atlas)
    assert [it.model for it in found.hits] == ["task0-1", "task0-2"]
    assert all(it.found_by == ["text"] and it.probability is None for it in found.hits)
    assert found.experts == [] and "train-probes" in found.notes[0]


def test_cards_and_names_are_searched_without_a_word_of_labels(atlas):
    for words in ("astronomy", "telescopes", "task1-2"):
        found = ask(SearchAnswer, "search", words, "--text-only", "--atlas", atlas)
        assert found.hits[0].model == "task1-2", words
        assert found.hits[0].score == found.hits[0].words
        assert found.notes == []


def test_what_a_file_said_is_taken_back(atlas, table):
    run("label", table, "--atlas", atlas)
    answer = ask(LabelAnswer, "label", table, "--forget", "--atlas", atlas)
    assert answer.models == ["task0-1", "task0-2"]
    assert (
        run("search", "cats", "--atlas", atlas).out
        == "no model is found by that; try other words\n"
    )


def test_class_ids_are_put_into_words(atlas, tmp_path):
    rows = {"task0-1": "n01443537", "task0-2": "n01440764"}
    (tmp_path / "ids.json").write_text(json.dumps(rows))
    (tmp_path / "words.txt").write_text("n01443537\tgoldfish, Carassius\nn01440764\ttench\n")
    assert run("label", tmp_path / "ids.json", "--atlas", atlas).code == 0
    words = tmp_path / "words.txt"
    answer = ask(LabelAnswer, "label", "--class-names", words, "--atlas", atlas)
    assert answer.explained == 2
    found = ask(SearchAnswer, "search", "goldfish", "--atlas", atlas)
    assert [it.model for it in found.hits] == ["task0-1"]
    known = {it.label: it.words for it in ask(LabelAnswer, "label", "--atlas", atlas).labels}
    assert known == {"n01443537": "goldfish", "n01440764": "tench", "astronomy": None}
    outcome = run("label", "--atlas", atlas)
    assert outcome.out.splitlines()[0].split() == ["label", "kind", "models", "in", "words"]
    assert "goldfish" in outcome.out
    taken = ask(LabelAnswer, "label", "--class-names", words, "--forget", "--atlas", atlas)
    assert taken.explained == 2 and {it.words for it in taken.labels} == {None}
    assert len(taken.models) == 3  # labels stay
    assert "goldfish" not in run("label", "--atlas", atlas).out


def test_labels_and_their_words_are_given_at_once(atlas, tmp_path):
    (tmp_path / "ids.csv").write_text("model,label\ntask0-1,n1\ntask0-2,\n")
    (tmp_path / "words.txt").write_text("n1: goldfish\nn2: tench\n")
    given = ("label", tmp_path / "ids.csv", "--class-names", tmp_path / "words.txt")
    answer = ask(LabelAnswer, *given, "--atlas", atlas)
    assert (answer.explained, answer.unlabelled) == (1, ["task0-2"])
    assert [(it.label, it.words) for it in answer.labels] == [("n1", "goldfish")]
    outcome = run(*given, "--atlas", atlas)
    assert "no label in the file for 1 model: task0-2" in outcome.err
    assert "1 labels of models are put into words" in outcome.err


def test_words_of_labels_that_no_model_has_are_told(atlas, tmp_path):
    words = tmp_path / "words.txt"
    words.write_text("n1: goldfish\nn2: tench\n")
    outcome = run("label", "--class-names", words, "--atlas", atlas)
    assert outcome.code == 3
    assert f"none of the 2 labels in {words} (n1, n2) is one of a model" in outcome.err
    assert "those are astronomy" in outcome.err
    assert (
        ask(LabelAnswer, "label", "--class-names", words, "--atlas", atlas, code=3).explained == 0
    )
    outcome = run("label", "--class-names", words, "--forget", "--atlas", atlas)
    assert outcome.code == 0 and "2 labels have no words any more" in outcome.err


def test_a_folder_s_truth_is_taken_and_taken_back(atlas, tmp_path):
    zoo = tmp_path / "zoo"
    zoo.mkdir()
    assert "is a folder without a truth.json" in run("label", zoo, "--atlas", atlas).error()
    truth = {"zoo": "x", "models": {"task0-1": {"classes": ["cats"]}}}
    (zoo / "truth.json").write_text(json.dumps(truth))
    assert ask(LabelAnswer, "label", zoo, "--atlas", atlas).models == ["task0-1"]
    forgotten = ask(LabelAnswer, "label", zoo / "truth.json", "--forget", "--atlas", atlas)
    assert forgotten.models == ["task0-1"]


def test_a_table_of_something_else_is_refused(atlas, tmp_path):
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    said = run("label", tmp_path / "other.csv", "--atlas", atlas).error()
    assert "has no column model" in said and "its columns are a, b;" in said
    (tmp_path / "bare.csv").write_text("task0-1,cats\nnobody,dogs\n")
    answer = ask(LabelAnswer, "label", tmp_path / "bare.csv", "--atlas", atlas, code=3)
    assert (answer.models, answer.unknown) == (["task0-1"], ["nobody"])


def test_model_j_s_metadata_is_read_when_models_are_charted(tmp_path):
    for number, classes in enumerate((["apple", "bear"], ["apple", "cat's eye"])):
        folder = tmp_path / "zoo" / f"models--J--{number}" / "snapshots" / "abc"
        folder.mkdir(parents=True)
        tensors = {"encoder.weight": torch.randn(8, 8), "encoder.bias": torch.zeros(8)}
        save_file(tensors, folder / "model.safetensors", {"dataset_chosen_targets": str(classes)})
        refs = folder.parents[1] / "refs"
        refs.mkdir()
        (refs / "main").write_text("abc")
    assert run("add", tmp_path / "zoo", "--atlas", tmp_path / "atlas", "--quiet").code == 0
    answer = ask(LabelAnswer, "label", "--atlas", tmp_path / "atlas")
    assert {it.label: it.models for it in answer.labels} == {
        "apple": 2,
        "bear": 1,
        "cat's eye": 1,
    }


def test_people_are_told_what_was_done(atlas, table):
    outcome = run("label", table, "--atlas", atlas)
    assert outcome.code == 3
    assert "cats   class       2" in outcome.out
    assert "3 labels of 2 models" in outcome.err
    assert "columns that were not read: comment" in outcome.err
    assert "1 models are not in the atlas: nobody" in outcome.err
    outcome = run("search", "cats", "--atlas", atlas)
    assert outcome.out.splitlines()[1].split() == ["task0-1", "text"]
    assert "train-probes" in outcome.err
    assert run("search", "cats", "--atlas", atlas, "--quiet").err == ""


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["search", "cats", "--weights-only"], "train-probes"),
        (["search", "cats", "--weights-only", "--text-only"], "just one of"),
        (["search", "cats", "--expert", "x", "--text-only"], "leave --text-only out"),
        (["search", "cats", "--expert", "x"], "no expert named 'x'; there is no expert yet"),
        (["search", " "], "a search needs"),
        (["label", "none.csv"], "none.csv: no such file of labels"),
        (["label", "--forget"], "name it"),
        (["label", "--split", "train"], "name it"),
        (["label", "none.csv", "--kind", "genre"], "--kind must be class, task or tag"),
        (["label", "--class-names", "none.txt"], "none.txt: no such file"),
    ],
)
def test_errors_are_one_line(charted, arguments, said):
    assert said in run(*arguments, "--atlas", charted[1]).error()


def test_without_an_atlas_nothing_is_made(tmp_path):
    for verb in (["search", "cats"], ["label"]):
        assert "there is no atlas" in run(*verb, "--atlas", tmp_path / "none").error()
    assert not (tmp_path / "none").exists()
