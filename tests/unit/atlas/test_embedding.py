"""Reading models by experts, whatever happens to models, trees and experts in between."""

from contextlib import contextmanager
from shutil import copytree, rmtree

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from probe_models import LAYER, SMALL, Population
from weightscape.atlas import Atlas, asking, embedding
from weightscape.atlas.asking import chosen_experts
from weightscape.atlas.embedding import embed_new
from weightscape.atlas.expert_job import Training
from weightscape.atlas.experts import train_experts
from weightscape.atlas.labelling import label_models
from weightscape.atlas.searching import search
from weightscape.catalog import vectors as vector_rows
from weightscape.io import open_checkpoint
from weightscape.probing.encoders import open_encoder
from weightscape.probing.label_files import read_label_file
from weightscape.probing.mixture import look

ASKED = Training(how=SMALL, layer=LAYER)


@pytest.fixture(scope="module")
def trained(tmp_path_factory, one_torch_thread):
    """A population, its atlas with an expert, and the encoder; put aside to be copied."""
    home = tmp_path_factory.mktemp("alone")
    population = Population(home / "models", seed=2)
    population.make("first", 24)
    encoder = open_encoder(f"vectors:{population.write_texts(home / 'texts.safetensors')}")
    with Atlas(home / "atlas") as atlas:
        atlas.add([population.folder])
        labels = population.write_labels(home / "labels.csv")
        label_models(atlas.store, read_label_file(labels), "file labels")
        assert train_experts(atlas.store, ASKED, encoder).experts
    for name in ("models", "atlas"):
        (home / name).rename(home / f"{name} aside")
    return home, population, encoder


@pytest.fixture
def alone(trained):
    """The atlas and its models where they were, to do harm to."""
    home, _, _ = trained
    for name in ("models", "atlas"):
        copytree(home / f"{name} aside", home / name)
    with Atlas(home / "atlas") as atlas:
        yield atlas, home / "models"
    for name in ("models", "atlas"):
        rmtree(home / name)


def counted(monkeypatch):
    """List the models that are opened."""
    seen = []
    plain = embedding.opened

    def opened(model, meter):
        seen.append(model.name)
        return plain(model, meter)

    monkeypatch.setattr(embedding, "opened", opened)
    return seen


def write(place, layer=None):
    """Write a model that is like first-001 but for one layer: a given one, or a little moved."""
    tensors = load_file(place.parent / "first-001" / "model.safetensors")
    tensors[LAYER] = tensors[LAYER] + 1e-4 if layer is None else layer
    place.mkdir()
    save_file(tensors, place / "model.safetensors")
    (place / "config.json").write_text('{"model_type": "planted"}')


def test_a_model_without_anything_to_read_is_opened_once_and_why_is_told(alone, monkeypatch):
    atlas, folder = alone
    write(folder / "blank", layer=torch.zeros(24, 32))
    atlas.add([folder])
    seen = counted(monkeypatch)
    for _ in range(2):
        found = search(atlas.store, "apple", by=("weights",), count=100)
        assert "blank" not in {it.model for it in found.hits}
        (note,) = (it for it in found.notes if "nothing was learned" in it)
        assert "blank: nothing was learned in its" in note and "all zeros" in note
    assert seen == ["blank"]


def test_of_many_that_cannot_be_read_the_first_are_told(alone):
    atlas, folder = alone
    for number in range(5):
        write(folder / f"blank-{number}", layer=torch.zeros(24, 32) + 1e-38 * number)
    atlas.add([folder])
    notes = search(atlas.store, "apple", by=("weights",)).notes
    (note,) = notes
    assert "blank-0, blank-1, blank-2 and 2 more: nothing was learned" in note


def test_a_model_whose_files_are_away_for_a_while_is_read_when_they_are_back(alone):
    atlas, folder = alone
    write(folder / "late")
    atlas.add([folder])
    (folder / "late").rename(folder / "away")
    new, _ = embed_new(atlas.store)
    assert not new.models and "are gone or were changed" in new.skipped["late"]
    (folder / "away").rename(folder / "late")
    new, _ = embed_new(atlas.store)
    assert new.models == ("late",) and not new.skipped


def test_the_expert_of_a_tree_whose_base_is_deleted_goes_on(alone):
    atlas, folder = alone
    (before,) = chosen_experts(atlas.store)
    rmtree(folder / before.tree)
    write(folder / "late")
    atlas.add([folder])
    (kept,) = chosen_experts(atlas.store)
    assert kept.tree != before.tree and kept.id == before.id
    assert asking.load_kept(kept).tree == kept.tree
    found = search(atlas.store, "apple", by=("weights",), count=100)
    assert "late" in {it.model for it in found.hits} and found.experts == (kept.tree,)


def test_an_expert_whose_models_are_all_removed_is_not_asked(alone):
    atlas, _ = alone
    names = [it.name for it in atlas.models() if it.name.startswith("first")]
    atlas.remove(names)
    assert chosen_experts(atlas.store) == []
    assert "train-probes" in search(atlas.store, "apple").notes[0]


@contextmanager
def trained_again_before(module, name, monkeypatch, again):
    """Let another training put its expert in place just before a function is called for once."""
    plain, left = getattr(module, name), [1]

    def late(*given, **options):
        if left:
            left.pop()
            again()
        return plain(*given, **options)

    with monkeypatch.context() as patched:
        patched.setattr(module, name, late)
        yield
    assert not left


@pytest.fixture
def again(trained, alone, tmp_path):
    """Train the atlas's expert anew, from fewer models."""
    _, population, encoder = trained

    def train():
        names = [f"first-{number:03}" for number in range(20)]
        labels = population.write_labels(tmp_path / "labels.csv", names)
        label_models(alone[0].store, read_label_file(labels), "file labels")
        assert not train_experts(alone[0].store, ASKED, encoder).experts[0].as_before

    return train


@pytest.mark.parametrize(
    "where, moment, text",
    [
        (asking, "load_expert", "apple"),
        (asking, "open_encoder", "honey"),  # nobody has learned it, so that its text is read
        (vector_rows, "load_vectors", "apple"),
    ],
)
def test_a_search_that_meets_a_training_asks_the_new_expert(
    alone, again, monkeypatch, where, moment, text
):
    atlas, _ = alone
    (before,) = chosen_experts(atlas.store)
    with trained_again_before(where, moment, monkeypatch, again):
        found = search(atlas.store, text, by=("weights",))
    assert found.hits and not any("not asked" in it for it in found.notes)
    assert chosen_experts(atlas.store)[0].id != before.id


@pytest.mark.parametrize("moment", ["load_kept", "opened", "look"])
def test_what_the_expert_of_before_has_read_is_never_taken_for_the_new_one_s(
    alone, again, monkeypatch, moment
):
    atlas, folder = alone
    write(folder / "late")
    atlas.add([folder])
    with trained_again_before(embedding, moment, monkeypatch, again):
        found = search(atlas.store, "apple", by=("weights",), count=100)
    assert "late" in {it.model for it in found.hits} and not found.notes
    (kept,) = chosen_experts(atlas.store)
    with atlas.store.read() as connection:
        vector = vector_rows.get_vector(connection, kept.id, atlas.model("late").id)
    with open_checkpoint(folder / "late") as checkpoint:
        right = look(asking.load_kept(kept), checkpoint).vector
    np.testing.assert_allclose(vector, right, atol=1e-5)
