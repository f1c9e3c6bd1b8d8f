from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest

from planted_experts import CLASSES, plant_expert, save_meanings
from weightscape.atlas import labelling
from weightscape.atlas.asking import ask_experts
from weightscape.atlas.describing import describe
from weightscape.atlas.searching import search
from weightscape.catalog import experts, families, models, vectors
from weightscape.catalog.records import KeptExpert, Label, Model, ModelFacts
from weightscape.catalog.store import Store
from weightscape.errors import BadInput, UnknownName
from weightscape.probing.label_files import LabelFile, LabelledModel
from weightscape.probing.saving import save_expert


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("WEIGHTSCAPE_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Two experts of two trees and their encoder: trained once, put into an atlas by each test."""
    folder = tmp_path_factory.mktemp("trained")
    encoder = save_meanings(folder / "words.npz")
    made = {"old": plant_expert(encoder, tree="old")}
    expert, knows = made["old"]
    # the same network over other models: what matters here is that each tree has its own
    names = tuple(name.replace("old", "new") for name in expert.known.names)
    other = replace(expert, tree="new", known=replace(expert.known, names=names))
    made["new"] = other, {name.replace("old", "new"): own for name, own in knows.items()}
    for tree, (one, _) in made.items():
        save_expert(one, folder / tree)
    return folder, encoder, made


@pytest.fixture
def store(tmp_path):
    with Store.open(tmp_path / "atlas") as opened:
        yield opened


def register(store, names, tree=None):
    found = [
        Model(
            name=name,
            path=f"/models/{name}",
            kind="full",
            format="safetensors",
            fingerprint=f"print of {name}",
            stamp=(),
            nbytes=1,
            parameters=1,
            facts=ModelFacts(name),
        )
        for name in names
    ]
    with store.write() as connection:
        added = models.register(connection, found)
        if tree is not None:
            family = families.ensure_family(connection, "f", [("w", (2, 2))], "full")
            planted = families.ensure_tree(connection, family.id, tree)
            families.claim(connection, planted.id, [it.id for it in added])
        return {it.name: it for it in added}


def install(store, trained, trees=("old", "new"), **changes):
    """Put experts and their models' vectors into the atlas, as training does."""
    folder, encoder, made = trained
    for tree in trees:
        expert, knows = made[tree]
        rows = register(store, knows, tree)
        kept = KeptExpert(f"{tree} expert", str(folder / tree), tree, expert.layer, encoder)
        with store.write() as connection:
            kept = experts.keep_expert(connection, replace(kept, **changes))
            known = expert.known
            read = {
                rows[name].id: (rows[name].fingerprint, row)
                for name, row in zip(known.names, known.vectors, strict=True)
            }
            vectors.put_vectors(connection, kept.id, read)


def test_weights_say_which_models_know_a_thing_in_every_tree(store, trained):
    install(store, trained)
    knows = {**trained[2]["old"][1], **trained[2]["new"][1]}
    shares = []
    for wanted in CLASSES:
        found = search(store, wanted, by=("weights",), count=12)
        assert found.experts == ("new expert", "old expert") and found.read == len(knows)
        shares.append(np.mean([wanted in knows[it.model] for it in found.hits]))
        scores = [it.score for it in found.hits]
        assert scores == sorted(scores, reverse=True)
        assert all(it.score == it.probability and it.found_by == ("weights",) for it in found.hits)
    prior = np.mean([len(it) / len(CLASSES) for it in knows.values()])
    assert np.mean(shares) > 0.9 > prior + 0.3


def test_both_finders_are_told_apart(store, trained):
    install(store, trained, ("old",))
    weights = [it.model for it in search(store, "cars", by=("weights",), count=3).hits]
    register(store, ["elsewhere"])
    rows = [LabelledModel(it, (Label("cars"),)) for it in (weights[2], "elsewhere")]
    labelling.label_models(store, LabelFile(tuple(rows)), "file")
    found = search(store, "cars", count=3)
    first = found.hits[0]
    assert (first.model, first.found_by) == (weights[2], ("weights", "text"))
    assert first.expert == "old expert" and first.words is not None and first.words > 0
    by_model = {it.model: it for it in found.hits}
    assert by_model[weights[0]].found_by == ("weights",)
    assert by_model[weights[0]].words is None
    assert by_model["elsewhere"].found_by == ("text",)
    assert by_model["elsewhere"].probability is None
    assert found.notes == ("1 model is read by no expert, and found by words alone",)


def test_the_first_hits_do_not_depend_on_how_many_are_wanted(store, trained):
    install(store, trained)
    some = [LabelledModel(f"old-{i:02}", (Label("cars"),)) for i in range(3, 40, 4)]
    labelling.label_models(store, LabelFile(tuple(some)), "file")
    many = search(store, "cars", count=60).hits
    for count in (1, 3, 10, 30):
        assert search(store, "cars", count=count).hits == many[:count]
    likely = [it.probability for it in many if "weights" in it.found_by]
    assert min(likely) >= max(likely) / 2


def test_a_learned_label_is_scored_as_describe_scores_it(store, trained):
    install(store, trained, ("old",))
    hit = search(store, "CARS", by=("weights",)).hits[0]
    with store.read() as connection:
        (model,) = [it for it in models.all_models(connection) if it.name == hit.model]
    scores = {it.label: it.score for it in describe(store, model, count=99).labels}
    assert scores["cars"] == hit.probability


def test_text_alone_is_asked_without_opening_an_expert(store, trained):
    install(store, trained, ("old",), folder="/gone")
    found = search(store, "old-07", by=("text",))
    assert found.hits[0].model == "old-07" and found.hits[0].found_by == ("text",)
    assert found.experts == () and found.notes == ()


def test_without_experts_text_is_searched_and_training_is_advised(store):
    register(store, ["films-1", "cars-1"])
    found = search(store, "films")
    assert [it.model for it in found.hits] == ["films-1"]
    assert "weightscape train-probes" in found.notes[0]
    with pytest.raises(BadInput, match="weightscape train-probes"):
        search(store, "films", by=("weights",))


def test_the_newest_expert_of_a_tree_answers_unless_one_is_named(store, trained):
    install(store, trained, ("old",), made="2001-01-01T00:00:00+00:00")
    install(store, trained, ("old",), name="second", made="2002-01-01T00:00:00+00:00")
    assert ask_experts(store, "cars").experts == ("second",)
    assert search(store, "cars", expert="old expert").experts == ("old expert",)
    with pytest.raises(UnknownName, match="nearest: second"):
        search(store, "cars", expert="secnd")


def test_an_expert_that_cannot_be_asked_is_told_and_the_others_answer(store, trained, tmp_path):
    install(store, trained, ("old",), folder=str(tmp_path / "gone"))
    install(store, trained, ("new",))
    found = search(store, "cars")
    assert found.experts == ("new expert",)
    assert "'old expert' was not asked" in found.notes[0]
    with pytest.raises(FileNotFoundError, match="holds no expert"):
        search(store, "cars", expert="old expert")


def test_another_encoder_is_not_mistaken_for_the_expert_s(store, trained, tmp_path):
    other = save_meanings(tmp_path / "other.npz", seed=9)
    install(store, trained, ("old",), encoder=other)
    with pytest.raises(BadInput, match="was trained with the encoder vectors@"):
        search(store, "vehicles", by=("weights",))


def test_a_learned_label_needs_no_encoder(store, trained, tmp_path):
    install(store, trained, ("old",), name="whole")
    asked = search(store, "cars", by=("weights",), expert="whole")
    install(store, trained, ("old",), name="elsewhere", encoder=f"vectors:{tmp_path / 'gone.npz'}")
    found = search(store, "cars", by=("weights",), expert="elsewhere")
    assert [(it.model, it.score) for it in found.hits] == [
        (it.model, it.score) for it in asked.hits
    ]
    with pytest.raises(FileNotFoundError, match=r"gone\.npz"):
        search(store, "vehicles", by=("weights",), expert="elsewhere")


def test_an_expert_without_texts_is_asked_for_its_labels(store, trained, tmp_path):
    expert, knows = trained[2]["old"]
    network = deepcopy(expert.network)
    network.texts = None
    save_expert(replace(expert, encoder=None, network=network), tmp_path / "plain")
    install(store, trained, ("old",), folder=str(tmp_path / "plain"), encoder="")
    found = search(store, "cars", by=("weights",), count=12)
    assert np.mean(["cars" in knows[it.model] for it in found.hits]) > 0.9
    with pytest.raises(BadInput, match="knows its own labels only: cars, films, food"):
        search(store, "vehicles", by=("weights",))


def test_a_text_that_the_encoder_cannot_read_leaves_the_words(store, trained):
    install(store, trained, ("old",))
    found = search(store, "old-03 quux")
    assert found.hits[0].model == "old-03"
    assert "no vector of 'old-03 quux'" in found.notes[0]


def test_removed_models_and_other_content_are_not_found_by_weights(store, trained):
    install(store, trained, ("old",))
    removed, changed = (it.model for it in search(store, "cars", by=("weights",), count=2).hits)
    with store.write() as connection:
        models.remove(connection, [removed])
        again = replace(models.get(connection, changed), fingerprint="retrained")
        (again,) = models.register(connection, [again])
    found = {it.model for it in search(store, "cars", by=("weights",), count=100).hits}
    assert not {removed, again.name} & found and len(found) == 47


def test_a_label_is_searched_by_what_it_means(store, trained):
    install(store, trained, ("old",))
    labelling.explain_labels(store, {"n0815": "sports"})
    assert (
        search(store, "n0815", by=("weights",)).hits
        == search(store, "sports", by=("weights",)).hits
    )


@pytest.mark.parametrize(
    "text, changes",
    [(" ", {}), ("🦜", {}), ("* (", {}), ("cars", {"count": 0}), ("cars", {"by": ()})],
)
def test_a_search_for_nothing_is_refused(store, text, changes):
    with pytest.raises(BadInput, match="a search needs"):
        search(store, text, **changes)
