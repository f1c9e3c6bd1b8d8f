import json
from contextlib import suppress

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from weightscape.catalog.records import Label
from weightscape.errors import BadInput, NotFound, UnsupportedFormat, WeightscapeError
from weightscape.io import open_checkpoint
from weightscape.io.model_card import ModelCard, read_card
from weightscape.probing.class_names import read_class_names
from weightscape.probing.label_files import read_label_file
from weightscape.probing.label_lists import (
    card_labels,
    card_words,
    config_labels,
    metadata_labels,
    provenance_labels,
    read_list,
)


def written(tmp_path, text, name="labels.csv"):
    file = tmp_path / name
    file.write_text(text, encoding="utf-8")
    return file


def as_dict(found):
    return {it.model: [(label.label, label.kind) for label in it.labels] for it in found.models}


def test_labels_stand_in_one_cell_in_several_columns_and_in_several_rows(tmp_path):
    file = written(
        tmp_path,
        "notes,Model,label 1,label 2,task,tag\n"
        "x,a,cat; dog,bird,pets,\n"
        ",b,,,,small\n"
        "\n"
        ",a,\"['fish', 'sea horse']\",cat,,\n",
    )
    found = read_label_file(file)
    assert as_dict(found) == {
        "a": [(it, "class") for it in ("cat", "dog", "bird")]
        + [("pets", "task"), ("fish", "class"), ("sea horse", "class")],
        "b": [("small", "tag")],
    }
    assert found.ignored == ("notes",)


def test_without_a_heading_the_first_column_is_the_model(tmp_path):
    file = written(tmp_path, "a\tcat\tdog\nb\tcat\n", "labels.tsv")
    assert as_dict(read_label_file(file, kind="tag")) == {
        "a": [("cat", "tag"), ("dog", "tag")],
        "b": [("cat", "tag")],
    }


def test_only_the_splits_that_are_asked_for_are_read(tmp_path):
    file = written(tmp_path, "model,label,split\na,cat,train\nb,dog,test\n")
    assert as_dict(read_label_file(file, splits=["train"])) == {"a": [("cat", "class")]}
    assert len(read_label_file(file).models) == 2
    with pytest.raises(BadInput, match="no split 'tset'; it has test, train"):
        read_label_file(file, splits=["tset"])
    with pytest.raises(BadInput, match="it has none"):
        read_label_file(written(tmp_path, "model,label\na,cat\n"), splits=["train"])


@pytest.mark.parametrize(
    "text, said",
    [
        ("", "empty"),
        ("model,notes\na,b\n", "no column of labels"),
        ("a\nb\n", "no column of labels"),
        ("model,label\n,cat\n", "line 2: names no model"),
        ("model,label\n\n\na,\x1b[2J\n", "line 4: .* is no label"),
        ("model,label\na," + "x" * 400 + "\n", "line 2: .* 1 to 300"),
        ("model,label\na,\"['cat'\"\n", "line 2: .*does not end as one"),
        ('model,label\na,"[[1], 2]"\n', "line 2: .*no list of texts"),
        ("model,label\na," + "x" * 200_000 + "\n", "line 2: is no table"),
        ("model,labels\na,cat\nb,cat,dog\n", "line 3: has 3 cells, .* names 2 columns; .* by ;"),
        ("model;labels\na;cat\n", "no column of labels; .* by commas"),
        ("label\ncat\n", "no column of labels; its columns are label"),
        ('model,label\na,cat\n\n"unclosed,x\nb,dog\n', "line 4: .*close each quotation mark"),
        ('model,label\n"unclosed,x\nb","dog"\n', "line 3: .*goes over several lines"),
        ('model,label\na,"cat" dog\n', "line 2: .*close each quotation mark"),
    ],
)
def test_a_table_that_makes_no_sense_is_told_with_its_line(tmp_path, text, said):
    with pytest.raises(BadInput, match=said):
        read_label_file(written(tmp_path, text))


def test_files_that_cannot_be_read_are_named(tmp_path):
    with pytest.raises(NotFound, match="no such file"):
        read_label_file(tmp_path / "labels.csv")
    with pytest.raises(UnsupportedFormat, match=r"\.csv, \.tsv and \.json"):
        read_label_file(written(tmp_path, "", "labels.xlsx"))
    (tmp_path / "latin.csv").write_bytes(b"model,label\na,caf\xe9\n")
    with pytest.raises(BadInput, match="UTF-8 at byte 17; save it as UTF-8"):
        read_label_file(tmp_path / "latin.csv")
    for name in ("wide.csv", "wide.json"):
        (tmp_path / name).write_bytes("model,label\na,cat\n".encode("utf-16"))
        with pytest.raises(BadInput, match="is UTF-16; save it as UTF-8"):
            read_label_file(tmp_path / name)


@pytest.mark.parametrize(
    "name, text", [("a.csv", "model,label\r\na,café\r\n"), ("a.json", '{"a": ["café"]}')]
)
def test_files_may_begin_with_the_mark_of_utf_8(tmp_path, name, text):
    (tmp_path / name).write_bytes(text.encode("utf-8-sig"))
    assert as_dict(read_label_file(tmp_path / name)) == {"a": [("café", "class")]}


def test_json_is_lists_of_labels_by_model(tmp_path):
    file = written(tmp_path, '{"a": ["cat", "dog"], "b": "cat"}', "labels.json")
    assert as_dict(read_label_file(file))["a"] == [("cat", "class"), ("dog", "class")]
    for wrong in ('{"a": [3]}', '{"a": {"b": 1}}', "[]", "{"):
        with pytest.raises(WeightscapeError):
            read_label_file(written(tmp_path, wrong, "wrong.json"))


def test_the_truth_of_a_zoo_gives_classes_tasks_and_what_they_mean(tmp_path):
    truth = {
        "zoo": "probes",
        "models": {
            "base": {"path": "base", "task": None},
            "a": {"path": "a", "classes": ["sci.med"], "split": "train", "domain": "topic"},
            "b": {"path": None, "classes": ["rec.autos"], "split": "test"},
        },
        "classes": {"sci.med": "medicine", "rec.autos": "cars"},
    }
    file = written(tmp_path, json.dumps(truth), "truth.json")
    found = read_label_file(file)
    assert as_dict(found)["a"] == [("sci.med", "class"), ("topic", "task")]
    assert found.words == {"sci.med": "medicine", "rec.autos": "cars"}
    assert {it.model: it.path for it in found.models} == {
        "base": tmp_path / "base",
        "a": tmp_path / "a",
        "b": None,
    }
    assert list(as_dict(read_label_file(file, splits=["train"]))) == ["a"]


@pytest.mark.parametrize("meant", [{"a\ud800": "b"}, {"": "b"}, {"a": "b\0"}, {"a": ["b"]}])
def test_what_classes_mean_is_checked_like_labels(tmp_path, meant):
    truth = {"zoo": "probes", "models": {}, "classes": meant}
    with pytest.raises(BadInput, match="truth.json: "):
        read_label_file(written(tmp_path, json.dumps(truth), "truth.json"))


def test_a_folder_stands_for_the_truth_in_it(tmp_path):
    with pytest.raises(BadInput, match=r"is a folder without a truth.json; name a .csv"):
        read_label_file(tmp_path)
    truth = {"zoo": "probes", "models": {"a": {"path": "a", "classes": ["x"]}, "base": {}}}
    written(tmp_path, json.dumps(truth), "truth.json")
    found = read_label_file(tmp_path)
    assert as_dict(found) == {"a": [("x", "class")], "base": []}
    assert found.unlabelled == ("base",)
    assert found.models[0].path == tmp_path / "a"


def test_a_table_without_names_of_columns_may_be_none(tmp_path):
    assert read_label_file(written(tmp_path, "model,label\na,cat\n")).doubt == ""
    found = read_label_file(written(tmp_path, "a,b\n1,2\n3,\n"))
    assert "has no column model" in found.doubt and "columns are a, b;" in found.doubt
    assert found.unlabelled == ("3",)


@settings(deadline=None, max_examples=80)
@given(st.lists(st.text(max_size=12), max_size=6))
def test_a_list_as_python_writes_it_is_read_as_it_was(texts):
    # control characters are written as codes, which no label may have
    texts = [it for it in texts if it.isprintable()]
    assert read_list(repr(texts)) == texts
    assert read_list(json.dumps(texts, ensure_ascii=False)) == texts


@settings(deadline=None, max_examples=150)
@given(st.text(alphabet="[](){}'\",\\ ab1\n", max_size=30))
def test_any_text_is_read_or_refused(text):
    with suppress(BadInput):
        assert all(isinstance(it, str) for it in read_list(text))


def test_a_list_is_never_run(tmp_path):
    witness = tmp_path / "ran"
    for text in (
        f"[open({str(witness)!r}, 'w')]",
        f"__import__('pathlib').Path({str(witness)!r}).touch()",
        "[].__class__",
        "['a'] * 10**9",
    ):
        metadata_labels({"classes": text})
    assert not witness.exists()


def test_long_lists_take_no_more_than_their_length():
    assert len(read_list(str(list(range(9000))))) == 9000
    with pytest.raises(BadInput, match="more than 10,000"):
        read_list(str(list(range(20_000))))
    with pytest.raises(BadInput):
        read_list("['" + "\\" * 100_000 + "]")
    with pytest.raises(BadInput):
        read_list("[" + "a " * 50_000 + "'b']")


def test_no_text_keeps_its_reader_busy_for_longer_than_it_is(tmp_path):
    """Each of these took minutes to hours, for as many steps as the square of its length."""
    blanks = " " * 1_000_000
    for text in (f"[a{blanks}{{]", f"[{blanks}{{]", f"['a'{blanks}b]", "['" + "\\" * 999_999 + "]"):
        with pytest.raises(BadInput):
            read_list(text)
    assert read_list(f"[a{blanks}, b{blanks}]") == ["a", "b"]
    assert read_list("[" + f"a{blanks[:1000]}," * 9_000 + "]") == ["a"] * 9_000
    heading = "model,label,x" + "_" * 130_000 + "x\na,cat\n"
    assert as_dict(read_label_file(written(tmp_path, heading))) == {"a": [("cat", "class")]}
    assert card_words(ModelCard("](" * 200_000), most=10) == ""


def test_cells_without_anything_in_them_may_stand_beyond_the_columns(tmp_path):
    file = written(tmp_path, "model,label\na,cat,,\n")
    assert as_dict(read_label_file(file)) == {"a": [("cat", "class")]}


def test_the_layout_of_model_j_is_read(tmp_path):
    """A hub cache of whole models with their classes, and a folder of LoRA factors with one id."""
    classes = ["apple", "sweet_pepper", "cat's eye"]
    one = tmp_path / "models--x--0001" / "snapshots" / "abc" / "model.safetensors"
    one.parent.mkdir(parents=True)
    save_file({"w": torch.ones(2, 2)}, one, {"dataset_chosen_targets": str(classes)})
    lora = tmp_path / "loras" / "m0.safetensors"
    lora.parent.mkdir()
    factors = {"A": torch.ones(1, 4), "B": torch.ones(3, 1)}
    save_file(factors, lora, {"imagenet_class_id": "n01443537"})
    with open_checkpoint(one) as opened:
        assert [it.label for it in metadata_labels(opened.metadata)] == classes
    with open_checkpoint(lora) as opened:
        (label,) = metadata_labels(opened.metadata)
    names = read_class_names(
        written(tmp_path, '{"n01443537": ["goldfish", "Carassius auratus"]}', "names.json")
    )
    assert (label.label, names[label.label]) == ("n01443537", "goldfish")


@pytest.mark.parametrize(
    "name, text",
    [
        ("a.json", '{"0": "tench", "1": ["gold_fish", "x"]}'),
        ("a.json", '["tench", "gold fish"]'),
        ("a.csv", "0,tench\n1,gold_fish\n"),
        ("a.tsv", "0\ttench, Tinca tinca\n\n1\tgold fish\n"),
        ("a.txt", "0 tench\n1 'gold_fish', Carassius\n"),
        ("a.txt", "0: tench\n\n1:  gold_fish, Carassius\n"),
        ("a.csv", '"0","tench, Tinca tinca"\n1,gold fish\n'),
        ("truth.json", '{"zoo": "x", "classes": {"0": "tench", "1": "gold fish"}}'),
    ],
)
def test_class_names_of_every_shape(tmp_path, name, text):
    for mark in ("", "\ufeff"):
        found = read_class_names(written(tmp_path, mark + text, name))
        assert found == {"0": "tench", "1": "gold fish"}


@pytest.mark.parametrize(
    "name, text",
    [
        ("a.json", '{"0": 3}'),
        ("a.json", "3"),
        ("a.json", '{"0": "\\u0007"}'),
        ("a.txt", "n0144\n"),
        ("a.txt", "0 \n"),
        ("a.txt", ""),
        ("a.json", "{}"),
        ("a.txt", "0\ttench\n1 goldfish\n"),
        ("a.txt", "0: tench\n1 goldfish\n"),
        ("a.csv", "0;tench\n"),
        ("a.csv", '0,"tench\n'),
        ("a.txt", "The tench is a fish.\nThe goldfish is another.\n"),
    ],
)
def test_class_names_that_make_no_sense_are_refused(tmp_path, name, text):
    with pytest.raises(BadInput):
        read_class_names(written(tmp_path, text, name))
    with pytest.raises(NotFound):
        read_class_names(tmp_path / "none")


def test_class_names_may_be_of_labels_with_spaces(tmp_path):
    for text in (
        "court decisions: law\nsea-horse: fish\n",
        "court decisions\tlaw\nsea-horse\tfish",
    ):
        found = read_class_names(written(tmp_path, text, "words.txt"))
        assert found == {"court decisions": "law", "sea-horse": "fish"}


def test_wrong_class_names_are_told_with_their_line_and_an_example(tmp_path):
    file = written(tmp_path, "0 tench\n\n1\n", "words.txt")
    with pytest.raises(BadInput, match="words.txt, line 3: '1' .*such as 'n01443537: goldfish'"):
        read_class_names(file)


def labels(found):
    return [(it.label, it.kind) for it in found]


def test_a_configuration_names_classes_unless_nobody_named_them():
    assert labels(config_labels({"id2label": {"0": "neg", "1": "pos"}})) == [
        ("neg", "class"),
        ("pos", "class"),
    ]
    assert config_labels({"id2label": {"0": "LABEL_0", "1": "LABEL_1"}}) == []
    assert config_labels({"id2label": ["a"]}) == config_labels({}) == []


def test_hostile_values_are_passed_over():
    assert labels(
        metadata_labels({"classes": ["a", None, ["b"], 3, True], "labels": {"x": 1}})
    ) == [
        ("a", "class"),
        ("3", "class"),
    ]
    assert provenance_labels({"classes": 3.5, "task": ["t", "\x00"]}) == [Label("t", "task")]


CARD = """---
tags: [transformers, text-classification, "dataset:imdb", license:mit, movies]
pipeline_tag: text-classification
datasets:
- rotten_tomatoes
model-index:
- results:
  - dataset: {name: SST-2}
  - dataset: nothing
base_model: bert
---
# About <b onclick="x()">films</b>
```python
import os
```
See [the docs](https://example.org/secret), ![a picture](p.png).
"""


def test_a_card_says_tags_data_sets_and_words(tmp_path):
    card = read_card(written(tmp_path, CARD, "README.md"))
    assert labels(card_labels(card)) == [
        ("text-classification", "tag"),
        ("movies", "tag"),
        ("rotten_tomatoes", "task"),
        ("SST-2", "task"),
        ("imdb", "task"),
    ]
    assert card_words(card) == "About films See the docs a picture"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no front",
        "---\nnever: closed\n",
        "---\n- a list\n---\n",
        "---\na: *unknown\n---\n",
        "---\n!!python/object/apply:os.system ['x']\n---\n",
        "---\n" + "[" * 1000 + "\n---\n",
        "---\ntags: {a: b}\ndatasets: [[x], {y: z}]\nmodel-index: 3\n---\n",
    ],
)
def test_any_card_is_read_as_far_as_it_goes(tmp_path, text):
    card = read_card(written(tmp_path, text, "README.md"))
    assert card_labels(card) == []
    assert read_card(tmp_path / "none") == ModelCard()


def test_the_end_of_a_huge_card_is_not_read(tmp_path):
    card = read_card(written(tmp_path, "word " * 200_000 + "last", "README.md"))
    assert len(card.text) <= 65_536 and "last" not in card.text
    assert len(card_words(card, most=100)) == 100
