import json
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from shutil import copytree

import numpy as np
import pytest
from safetensors.torch import load_file, save_file

from probe_models import CLASSES, LAYER, SMALL, Population
from weightscape.atlas import Atlas
from weightscape.atlas.describing import describe
from weightscape.atlas.embedding import embed_new
from weightscape.atlas.expert_job import Training
from weightscape.atlas.expert_labels import guessed, hold_out, labels_to_learn
from weightscape.atlas.experts import train_experts
from weightscape.atlas.labelling import label_models
from weightscape.atlas.probe_near import near_by_probe
from weightscape.catalog import experts as expert_rows
from weightscape.catalog import models as model_rows
from weightscape.catalog import vectors as vector_rows
from weightscape.catalog.records import Label
from weightscape.errors import BadInput, NotFound
from weightscape.probing import leave_one_out
from weightscape.probing.encoders import open_encoder
from weightscape.probing.label_files import read_label_file


def test_the_tree_with_labels_gets_an_expert_and_the_other_a_reason(probed):
    _, _, _, trained = probed
    (done,) = trained.experts
    assert done.expert.layer == LAYER
    assert done.expert.labels == CLASSES
    assert done.expert.metrics["label_auc"] > 0.95
    assert done.expert.metrics["label_accuracy"] > done.guessed["label_accuracy"] + 0.2
    assert done.embedded == 40 and not done.skipped
    (reason,) = trained.left_out.values()
    assert "6 of its 6 models" in reason


def test_the_same_training_is_not_done_again(probed):
    _, atlas, encoder, trained = probed
    again = train_experts(atlas.store, Training(how=SMALL), encoder).experts[0]
    assert again.as_before and again.bytes_read == 0
    assert again.kept.made == trained.experts[0].kept.made


def test_one_layer_of_a_new_model_is_read_when_somebody_asks(probed):
    population, atlas, _, _ = probed
    population.one("late", "first", ["apple", "drum"])
    atlas.add([population.folder])
    new, notes = embed_new(atlas.store)
    assert new.models == ("late",) and not notes
    assert new.bytes_read == 4 * 24 * 32
    assert embed_new(atlas.store)[0].models == ()


def test_describing_names_what_a_model_knows(probed):
    population, atlas, _, _ = probed
    place = population.one(
        "elsewhere", "first", ["bread", "eagle"], into=population.folder / "../x"
    )
    found = describe(atlas.store, place)
    assert {it.label for it in found.labels if it.score > 0.5} == {"bread", "eagle"}
    assert {it.by for it in found.labels} == {"classes"}
    assert found.seen.bytes_read == 4 * 24 * 32
    assert found.oddness is not None and found.oddness.shares[0] > 0.05
    some = describe(atlas.store, place, labels=["honey", "eagle", "cloud"], count=2)
    assert some.labels[0].label == "eagle"
    assert {it.by for it in some.labels} == {"texts"}


def test_a_model_of_the_atlas_is_described_by_the_vector_it_has(probed):
    population, atlas, _, _ = probed
    found = describe(atlas.store, atlas.model("first-003"))
    told = {it.label for it in found.labels if it.score > 0.5}
    assert told == set(population.labels["first-003"])
    assert found.seen.bytes_read == 0


@pytest.fixture(scope="module")
def rooted(tmp_path_factory, one_torch_thread):
    """An atlas with the base of its models, one of which has learned nothing, and an expert."""
    home = tmp_path_factory.mktemp("rooted")
    population = Population(home / "models", seed=4)
    population.make("first", 24)
    for name in ("the-base", "copy"):
        keep(population.bases["first"], population.folder / name)
    population.labels["copy"] = ["apple"]
    with Atlas(home / "atlas") as atlas:
        atlas.add([population.folder])
        declare(atlas, "the-base")
        labels = population.write_labels(home / "labels.csv")
        label_models(atlas.store, read_label_file(labels), "file labels")
        (done,) = train_experts(atlas.store, Training(how=SMALL, layer=LAYER), None).experts
        yield population, atlas, done


def keep(tensors, folder):
    folder.mkdir(parents=True)
    save_file(tensors, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps({"model_type": "planted"}))
    return folder


def declare(atlas, base):
    """Let all other models name their base, as their files mostly do."""
    with atlas.store.write() as connection:
        for model in atlas.models():
            if model.name != base:
                facts = replace(model.facts, declared=(base,))
                model_rows.set_facts(connection, model.id, facts)


def test_a_base_is_said_to_have_learned_nothing(rooted, tmp_path):
    population, atlas, done = rooted
    assert done.expert.origin.name == "the-base"
    found = describe(atlas.store, atlas.model("the-base"))
    assert found.labels == () and found.oddness is None
    assert "'the-base', the base of its tree" in found.seen.why
    half = {name: it.half() for name, it in population.bases["first"].items()}
    outside = describe(atlas.store, keep(half, tmp_path / "half"))
    assert outside.labels == () and "nothing was learned" in outside.seen.why
    with pytest.raises(BadInput, match="nothing was learned"):
        near_by_probe(atlas.store, atlas.model("the-base"))


def test_a_labelled_model_that_never_left_its_base_teaches_nothing(rooted):
    _, atlas, done = rooted
    assert "copy" not in done.expert.known.names
    assert "nothing was learned" in done.skipped["copy"] and "the-base" not in done.skipped
    assert describe(atlas.store, atlas.model("copy")).labels == ()


def test_members_beyond_the_tree_s_reach_and_all_zeros_are_not_guessed_at(rooted):
    population, atlas, _ = rooted
    for name, change in (("zeros", lambda it: 0 * it), ("far", lambda it: it + 5)):
        tensors = dict(population.bases["first"])
        tensors[LAYER] = change(tensors[LAYER])
        keep(tensors, population.folder / name)
    atlas.add([population.folder])
    for name, why in (("zeros", "zeros"), ("far", "times as far")):
        if atlas.model(name).tree_id == atlas.model("copy").tree_id:
            found = describe(atlas.store, atlas.model(name))
            assert found.labels == () and why in found.seen.why


def test_whether_a_model_of_a_small_tree_is_odd_cannot_be_told(rooted):
    _, atlas, _ = rooted
    found = describe(atlas.store, atlas.model("first-002"))
    assert found.labels and found.oddness is None
    assert "cannot be told by 23 models" in found.notes[0]


def test_labels_that_are_wrong_are_not_repeated_by_the_weights(tmp_path, one_torch_thread):
    population = Population(tmp_path / "models", seed=6)
    population.make("first", 40)
    wrong = {f"first-{number:03}" for number in range(0, 40, 7)}
    truth = {name: set(own) for name, own in population.labels.items()}
    for name in wrong:
        population.labels[name] = sorted(truth[name] ^ {"apple"}) or ["bread"]
    with Atlas(tmp_path / "atlas") as atlas:
        atlas.add([population.folder])
        labels = population.write_labels(tmp_path / "labels.csv")
        label_models(atlas.store, read_label_file(labels), "file labels")
        train_experts(atlas.store, Training(how=SMALL, layer=LAYER), None)
        repeated = 0
        for name in wrong:
            scores = {it.label: it.score for it in describe(atlas.store, atlas.model(name)).labels}
            repeated += (scores["apple"] >= 0.5) == ("apple" in population.labels[name])
    assert repeated <= 2, f"{repeated} of {len(wrong)}"


def test_strangers_are_not_guessed_at(probed, tmp_path):
    population, atlas, _, _ = probed
    by_tree = describe(atlas.store, atlas.model("second-001"))
    assert by_tree.seen.expert is None and "has no expert" in by_tree.seen.why
    place = population.one("other", "second", ["apple"], into=tmp_path)
    by_distance = describe(atlas.store, place)
    assert by_distance.labels == () and by_distance.seen.expert is None
    assert "times as far" in by_distance.seen.why


def test_an_atlas_without_experts_says_how_to_train(tmp_path):
    with Atlas(tmp_path / "atlas") as atlas, pytest.raises(BadInput, match="train-probes"):
        describe(atlas.store, tmp_path)


def test_an_expert_whose_files_are_gone_is_told(probed, tmp_path):
    population, atlas, _, _ = probed
    with atlas.store.read() as connection:
        kept = expert_rows.all_experts(connection)[0]
    with atlas.store.write() as connection:
        expert_rows.keep_expert(connection, replace(kept, folder=str(tmp_path), id=0, made=""))
    try:
        with pytest.raises(BadInput, match="holds no expert"):
            describe(atlas.store, population.folder / "first-000")
        with pytest.raises(NotFound, match="holds no expert"):
            describe(atlas.store, atlas.model("first-000"))
        assert "cannot read models" in embed_new(atlas.store)[1][0]
    finally:
        with atlas.store.write() as connection:
            expert_rows.keep_expert(connection, kept)


def test_an_expert_whose_files_name_another_tree_is_that_of_the_atlas(probed):
    population, atlas, _, _ = probed
    with atlas.store.read() as connection:
        told = Path(expert_rows.all_experts(connection)[0].folder) / "expert.json"
    was = told.read_text()
    told.write_text(json.dumps({**json.loads(was), "tree": "elsewhere"}))
    try:
        found = describe(atlas.store, population.folder / "first-001")
        assert found.seen.kept is not None and found.seen.kept.tree != "elsewhere"
    finally:
        told.write_text(was)


def test_an_expert_of_the_format_of_before_is_refused_and_trained_again(probed, tmp_path):
    _, atlas, encoder, _ = probed
    copytree(atlas.folder, tmp_path / "atlas")
    with Atlas(tmp_path / "atlas") as old:
        with old.store.read() as connection:
            kept = expert_rows.all_experts(connection)[0]
        told = Path(kept.folder) / "expert.json"
        told.write_text(json.dumps({**json.loads(told.read_text()), "format": 1}))
        with pytest.raises(BadInput, match="format 1.*train it again"):
            describe(old.store, old.model("first-000"))
        asked = Training(how=SMALL)
        (done,) = train_experts(old.store, asked, encoder).experts
        assert not done.as_before and describe(old.store, old.model("first-000")).labels


def test_a_lost_expert_is_trained_again(probed):
    _, atlas, encoder, _ = probed
    with atlas.store.read() as connection:
        kept = expert_rows.all_experts(connection)[0]
    told = Path(kept.folder) / "expert.json"
    told.write_text(json.dumps({**json.loads(told.read_text()), "format": 99}))
    (done,) = train_experts(atlas.store, Training(how=SMALL, layer=LAYER), encoder).experts
    assert not done.as_before
    with atlas.store.read() as connection:
        vectors = vector_rows.load_vectors(connection, done.kept.id)
    known = dict(zip(vectors.models, vectors.vectors, strict=True))
    name = done.expert.known.names[0]
    np.testing.assert_array_equal(known[name], done.expert.known.vectors[0])


def test_only_labels_that_several_have_are_learned():
    given = {"a": [Label("x"), Label("only")], "b": [Label("x"), Label("t", "task")], "c": []}
    assert labels_to_learn(given, "abc", ("class",)) == {"a": {"x"}, "b": {"x"}}


def test_without_an_encoder_an_expert_knows_its_labels_only(probed, tmp_path):
    _, atlas, _, _ = probed
    copytree(atlas.folder, tmp_path / "atlas")
    with Atlas(tmp_path / "atlas") as alone:
        (done,) = train_experts(alone.store, Training(how=SMALL, layer=LAYER), None).experts
        assert done.expert.encoder is None and "text_top1" not in done.guessed
        model = alone.model("first-000")
        assert {it.label for it in describe(alone.store, model).labels} == set(CLASSES)
        assert describe(alone.store, model, labels=["apple", "drum"]).labels
        with pytest.raises(BadInput, match="knows its own labels only"):
            describe(alone.store, model, labels=["apple", "honey"])


def test_guesses_are_of_the_labels_that_tell_models_apart(probed):
    population, _, _, trained = probed
    expert = trained.experts[0].expert
    plain = {name: frozenset(own) for name, own in population.labels.items()}
    with_more = {name: own | {"everybody's"} for name, own in plain.items()}
    assert guessed(expert, plain) == guessed(expert, with_more)
    assert 0 < guessed(expert, plain)["text_top1"] < 1


def test_models_are_held_out_alike_in_any_order():
    names = [f"m{number}" for number in range(20)]
    assert hold_out(names, 0.2, 3) == hold_out(names[::-1], 0.2, 3)
    assert len(hold_out(names, 0.2, 3)) == 4
    assert hold_out(names, 0.2, 3) != hold_out(names, 0.2, 4)


class Killed(Exception):
    """Stands for a process that ends."""


class Killing:
    """A progress that kills the training after some steps."""

    def __init__(self, after):
        self.left = after

    @contextmanager
    def stage(self, label, *, total=None, unit=""):
        def advance(amount):
            # what was done before it was killed is told at once
            if label == "training the probes" and amount == 1:
                self.left -= 1
                if self.left < 0:
                    raise Killed

        yield advance

    def note(self, message):
        pass


def test_a_killed_training_leaves_the_expert_of_before_and_goes_on(probed, tmp_path, monkeypatch):
    _, atlas, encoder, _ = probed
    monkeypatch.setattr(leave_one_out, "_SAVE_SECONDS", 0.0)
    asked = Training(how=replace(SMALL, seed=5), layer=LAYER)
    folders = []
    for name in ("killed", "whole"):
        folders.append(tmp_path / name)
        copytree(atlas.folder, folders[-1])
    with Atlas(folders[0]) as killed, Atlas(folders[1]) as whole:
        before = described(killed)
        with pytest.raises(Killed):
            train_experts(killed.store, asked, encoder, Killing(7))
        assert described(killed) == before
        (resumed,) = train_experts(killed.store, asked, encoder, Killing(SMALL.steps - 6)).experts
        (straight,) = train_experts(whole.store, asked, encoder).experts
        np.testing.assert_array_equal(resumed.expert.known.vectors, straight.expert.known.vectors)
        assert described(killed) != before
        home = Path(resumed.kept.folder).parent
        assert sorted(it.name for it in home.iterdir() if it.is_dir()) == [
            Path(resumed.kept.folder).name
        ]


def described(atlas):
    found = describe(atlas.store, atlas.model("first-004"))
    return found.seen.kept.made, [(it.label, it.score) for it in found.labels]


def test_several_layers_are_read_together(tmp_path, one_torch_thread):
    population, other = Population(tmp_path / "models", seed=8), "encoder.layer.0.dense.weight"
    population.make("first", 24)
    for number, name in enumerate(population.labels):
        file = population.folder / name / "model.safetensors"
        tensors = load_file(file)
        if number:
            tensors[other] = tensors[other] + 0.3 * (
                tensors[LAYER] - population.bases["first"][LAYER]
            )
        else:
            del tensors[other]
        save_file(tensors, file)
    with Atlas(tmp_path / "atlas") as atlas:
        atlas.add([population.folder])
        labels = population.write_labels(tmp_path / "labels.csv")
        label_models(atlas.store, read_label_file(labels), "file labels")
        (done,) = train_experts(
            atlas.store, Training(how=SMALL, layer=(LAYER, other)), None
        ).experts
        assert done.expert.layers == (LAYER, other)
        place = population.one("elsewhere", "first", ["bread"], into=tmp_path)
        tensors = load_file(place / "model.safetensors")
        tensors[other] += 0.3 * (tensors[LAYER] - population.bases["first"][LAYER])
        save_file(tensors, place / "model.safetensors")
        found = describe(atlas.store, place)
        assert found.labels[0].label == "bread"
        assert found.seen.bytes_read == 2 * 4 * 24 * 32


def test_another_encoder_makes_another_expert_and_the_old_one_is_refused(probed, tmp_path):
    _, atlas, encoder, trained = probed
    other = Population(tmp_path / "models", seed=3)
    changed = open_encoder(f"vectors:{other.write_texts(tmp_path / 'texts.safetensors')}")
    kept = trained.experts[0].kept
    texts = Path(encoder.opened_by.removeprefix("vectors:"))
    was = texts.read_bytes()
    texts.write_bytes((tmp_path / "texts.safetensors").read_bytes())
    try:
        with pytest.raises(BadInput, match="was trained with the encoder"):
            describe(atlas.store, atlas.model("first-000"), labels=["honey"])
    finally:
        texts.write_bytes(was)
    assert changed.identity != encoder.identity and kept.encoder == encoder.opened_by
