import json
from dataclasses import replace
from pathlib import Path

import pytest

from weightscape.atlas import labelling
from weightscape.catalog import models, texts
from weightscape.catalog.records import Label, Model, ModelFacts
from weightscape.catalog.store import Store
from weightscape.errors import BadInput
from weightscape.probing.label_files import LabelFile, LabelledModel


@pytest.fixture
def store(tmp_path):
    with Store.open(tmp_path / "atlas") as opened:
        yield opened


@pytest.fixture
def register(tmp_path, store):
    """Put a model's folder into the atlas, as a charting would."""

    def put(name, *, files=None, path=None, config=None, metadata=None):
        folder = Path(path or tmp_path / "zoo" / name)
        for file, text in (files or {}).items():
            folder.mkdir(parents=True, exist_ok=True)
            (folder / file).write_text(text)
        stamp = tuple((file, len(text), 1) for file, text in (files or {}).items())
        model = Model(
            name=name,
            path=str(folder),
            kind="full",
            format="safetensors",
            fingerprint=f"print of {name}",
            stamp=stamp,
            nbytes=1,
            parameters=1,
            facts=ModelFacts(name),
            config=config or {},
            metadata=metadata or {},
        )
        with store.write() as connection:
            return models.register(connection, [model])[0]

    return put


def said(store):
    found = labelling.labels_of_models(store)
    return {name: [(it.label, it.kind, it.source) for it in mine] for name, mine in found.items()}


def search(store, text):
    with store.read() as connection:
        return texts.search_words(connection, text, 10).models


def given(*rows, words=None):
    made = [LabelledModel(name, tuple(Label(it) for it in mine)) for name, *mine in rows]
    return LabelFile(tuple(made), words or {})


def test_what_a_model_s_files_say_becomes_labels_and_words(store, register):
    register(
        "a",
        files={
            "README.md": "---\ntags: [films]\n---\nKnows about actors.",
            "provenance.json": json.dumps({"task": "rt_polarity", "classes": ["neg"]}),
        },
        config={"id2label": {"0": "neg", "1": "pos"}},
        metadata={"dataset_chosen_targets": "['apple']"},
    )
    assert said(store)["a"] == [
        ("apple", "class", "metadata"),
        ("films", "tag", "card"),
        ("neg", "class", "config"),
        ("neg", "class", "provenance"),
        ("pos", "class", "config"),
        ("rt_polarity", "task", "provenance"),
    ]
    for text in ("actor", "film", "polarity", "apples"):
        assert search(store, text) == ("a",), text
    assert labelling.known_labels(store)[0] == (Label("apple"), 1)


def test_files_are_read_once_and_again_when_they_changed(store, register):
    register("a", files={"README.md": "about cats"})
    assert labelling.refresh_labels(store) == 1
    assert labelling.refresh_labels(store) == 0
    register("a", files={"README.md": "about dogs now"})
    assert labelling.refresh_labels(store) == 1
    assert search(store, "dogs") == ("a",) and search(store, "cats") == ()


def test_the_files_beside_a_lone_checkpoint_do_not_speak_for_it(store, register, tmp_path):
    lone = tmp_path / "downloads" / "m.safetensors"
    lone.parent.mkdir()
    lone.write_bytes(b"")
    (lone.parent / "README.md").write_text("---\ntags: [others]\n---\nother models")
    register("m", path=lone)
    assert said(store) == {} and search(store, "others") == ()
    assert search(store, "m") == ("m",)


def test_unreadable_files_say_nothing(store, register):
    register("a", files={"README.md": "\0\xff---", "provenance.json": "{"})
    register("gone")
    assert labelling.refresh_labels(store) == 2
    assert said(store) == {}


def test_models_are_found_by_name_path_and_the_end_of_a_name(store, register, tmp_path):
    for name in ("one/a", "two/a", "two/b", "c"):
        register(name)
    by_path = LabelledModel("renamed", (Label("x"),), path=tmp_path / "zoo" / "c")
    rows = given(("one/a", "y"), ("b", "z"), ("a", "w"), ("nobody", "v"))
    rows = LabelFile((*rows.models, by_path, *given((str(tmp_path / "zoo/two/b"), "u")).models))
    done = labelling.label_models(store, rows, "file")
    assert done.models == ("c", "one/a", "two/b")
    assert done.unknown == ("a", "nobody")
    assert done.labels == {Label(it): 1 for it in "uxyz"}
    assert [it[0] for it in said(store)["two/b"]] == ["u", "z"]


def test_a_file_given_again_replaces_what_it_said_and_nothing_else(store, register):
    register("a", files={"README.md": "---\ntags: [films]\n---\n"})
    register("b")
    labelling.label_models(store, given(("a", "cats"), ("b", "cats")), "file")
    labelling.label_models(
        store,
        given(
            ("a", "birds"),
        ),
        "other file",
    )
    labelling.label_models(
        store,
        given(
            ("a", "dogs"),
        ),
        "file",
    )
    assert said(store) == {
        "a": [("birds", "class", "other file"), ("dogs", "class", "file"), ("films", "tag", "card")]
    }
    assert search(store, "cats") == () and search(store, "dogs") == ("a",)
    assert labelling.forget_labels(store, "file") == ("a",)
    assert search(store, "dogs") == () and search(store, "birds") == ("a",)


def test_labels_of_a_file_outlive_a_second_look_at_the_model(store, register):
    register("a", files={"README.md": "x"})
    labelling.label_models(store, given(("a", "cats")), "file")
    register("a", files={"README.md": "xyz"})
    assert labelling.refresh_labels(store) == 1
    assert search(store, "cats") == ("a",)


def test_ids_are_found_by_what_they_mean(store, register):
    register("a", metadata={"imagenet_class_id": "n01443537"})
    register("b", metadata={"imagenet_class_id": "n01440764"})
    assert labelling.explain_labels(store, {"n01443537": "goldfish", "n9": "nothing"}) == 1
    assert search(store, "goldfish") == ("a",) and search(store, "n01443537") == ("a",)
    assert labelling.label_meanings(store) == {"n01443537": "goldfish", "n9": "nothing"}
    labelling.label_models(store, given(("b", "n9"), words={"n9": "sharks"}), "file")
    assert search(store, "shark") == ("b",)


def test_an_atlas_that_may_only_be_looked_at_tells_what_it_knows(store, register, monkeypatch):
    from weightscape.errors import AtlasError

    register("a", metadata={"classes": "cats"})
    labelling.refresh_labels(store)
    register("b", metadata={"classes": "dogs"})

    def refuse(*_):
        raise AtlasError("it cannot be written")

    monkeypatch.setattr(Store, "write", refuse)
    assert list(said(store)) == ["a"]


def test_words_of_labels_are_taken_back(store, register):
    register("a")
    labelling.label_models(store, given(("a", "n01443537")), "file")
    labelling.explain_labels(store, {"n01443537": "goldfish", "n9": "sharks"})
    assert search(store, "goldfish") == ("a",)
    assert labelling.forget_words(store, ["n01443537", "n0"]) == 1
    assert search(store, "goldfish") == () and search(store, "n01443537") == ("a",)
    assert labelling.label_meanings(store) == {"n9": "sharks"}


def test_a_table_without_names_of_columns_has_to_name_a_model(store, register):
    register("a")
    rows = given(("x", "1"), ("a", "2"))
    assert labelling.label_models(store, replace(rows, doubt="no table"), "file").models == ("a",)
    with pytest.raises(BadInput, match="no table"):
        labelling.label_models(store, replace(given(("x", "1")), doubt="no table"), "file")
    assert said(store)["a"] == [("2", "class", "file")]  # what it said before is kept
