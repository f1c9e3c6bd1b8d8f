import numpy as np
import pytest

from weightscape.catalog import experts, labels, models, texts, unreadable, vectors
from weightscape.catalog.records import KeptExpert, Label
from weightscape.catalog.store import Store
from weightscape.errors import AtlasError, UnknownName


@pytest.fixture
def three(store, found):
    with store.write() as connection:
        return models.register(connection, [found(name) for name in ("a", "b", "c")])


def expert(name="e", **changes):
    given = {"folder": "/out", "tree": "base", "layer": "w", "encoder": "packaged", **changes}
    return KeptExpert(name, **given)


def test_what_a_source_says_is_replaced_and_other_sources_are_left_alone(store, three):
    a, b, _ = three
    with store.write() as connection:
        labels.put_labels(
            connection, "card", {a.id: [Label("films", "tag"), Label("films", "tag")]}
        )
        labels.put_labels(connection, "file", {a.id: [Label("neg")], b.id: [Label("neg")]})
        labels.put_labels(connection, "file", {a.id: [Label("pos")]})
    with store.read() as connection:
        assert labels.all_labels(connection) == {
            "a": (Label("films", "tag", "card"), Label("pos", "class", "file")),
            "b": (Label("neg", "class", "file"),),
        }
        assert labels.labels_of(connection, [b.id])[b.id] == (Label("neg", "class", "file"),)


def test_a_source_is_forgotten_whole(store, three):
    a, b, _ = three
    with store.write() as connection:
        labels.put_labels(connection, "one", {a.id: [Label("x")], b.id: [Label("y")]})
        labels.put_labels(connection, "two", {a.id: [Label("x")]})
        assert labels.forget_source(connection, "one") == [a.id, b.id]
    with store.read() as connection:
        assert labels.all_labels(connection) == {"a": (Label("x", "class", "two"),)}


def test_known_labels_count_models_and_not_sayings(store, three):
    a, b, c = three
    with store.write() as connection:
        labels.put_labels(connection, "one", {a.id: [Label("x"), Label("y")], b.id: [Label("y")]})
        labels.put_labels(connection, "two", {a.id: [Label("x")]})
        labels.put_labels(connection, "one", {c.id: [Label("z")]})
        models.mark(connection, [c.id], "removed")
    with store.read() as connection:
        assert labels.known_labels(connection) == [(Label("y"), 2), (Label("x"), 1)]
        assert "c" not in labels.all_labels(connection)


def test_a_label_s_words_are_the_last_ones_told(store):
    with store.write() as connection:
        labels.put_words(connection, {"n1": "goldfish", "n2": "tench"})
        labels.put_words(connection, {"n2": "a tench"})
    with store.read() as connection:
        assert labels.words_of_labels(connection) == {"n1": "goldfish", "n2": "a tench"}


def test_an_expert_of_the_same_name_takes_the_older_one_s_place(store, three):
    a, *_ = three
    with store.write() as connection:
        first = experts.keep_expert(connection, expert(told={"accuracy": 0.5}))
        vectors.put_vectors(connection, first.id, {a.id: (a.fingerprint, np.ones(2))})
        second = experts.keep_expert(connection, expert(layer="v"))
        other = experts.keep_expert(connection, expert("f", made="2001-01-01T00:00:00+00:00"))
    with store.read() as connection:
        assert [it.name for it in experts.all_experts(connection)] == ["e", "f"]
        assert experts.get_expert(connection, "e") == second
        assert second.made and second.layer == "v" and other.made.startswith("2001")
        assert vectors.load_vectors(connection, second.id).models == ()


def test_an_expert_s_id_is_never_given_again_and_what_an_older_one_read_is_not_kept(store, three):
    a, *_ = three
    with store.write() as connection:
        first = experts.keep_expert(connection, expert())
        second = experts.keep_expert(connection, expert())
        assert second.id != first.id
        assert not vectors.put_vectors(connection, first.id, {a.id: (a.fingerprint, np.ones(2))})
        unreadable.put_unreadable(connection, first.id, {a.id: (a.fingerprint, "why")})
        assert vectors.put_vectors(connection, second.id, {a.id: (a.fingerprint, np.ones(2))})
    with store.read() as connection:
        assert vectors.load_vectors(connection, first.id).models == ()
        assert vectors.load_vectors(connection, second.id).models == ("a",)
        assert unreadable.unreadable_models(connection, first.id) == {}


def test_an_expert_moves_to_another_tree_and_the_newer_of_two_stays(store, three):
    a, *_ = three
    with store.write() as connection:
        for name, made in (("old", "2001"), ("new", "2002"), ("newest", "2003")):
            kept = experts.keep_expert(connection, expert(name, tree=name, made=made, layer=made))
            vectors.put_vectors(connection, kept.id, {a.id: (a.fingerprint, np.ones(2))})
        experts.move_expert(connection, "nobody", "elsewhere")
        experts.move_expert(connection, "newest", "new")
        experts.move_expert(connection, "old", "new")
        experts.move_expert(connection, "new", "moved")
        (left,) = experts.all_experts(connection)
        assert (left.name, left.tree, left.layer) == ("moved", "moved", "2003")
        assert vectors.load_vectors(connection, left.id).models == ("a",)


def test_reasons_are_kept_until_the_files_or_the_expert_are_others(store, three):
    a, b, _ = three
    with store.write() as connection:
        kept = experts.keep_expert(connection, expert())
        why = {it.id: (it.fingerprint, f"{it.name} is odd") for it in three}
        why[b.id] = ("before", "b was odd")
        unreadable.put_unreadable(connection, kept.id, why)
        unreadable.put_unreadable(connection, kept.id, {a.id: (a.fingerprint, "it is odd")})
        models.remove(connection, ["c"])
        assert unreadable.unreadable_models(connection, kept.id) == {"a": "it is odd"}
        again = experts.keep_expert(connection, expert())
        assert unreadable.unreadable_models(connection, again.id) == {}


def test_an_unknown_expert_is_named_with_the_nearest(store):
    with store.write() as connection:
        experts.keep_expert(connection, expert("minilm"))
        with pytest.raises(UnknownName, match="nearest: minilm"):
            experts.get_expert(connection, "minilmm")


def test_vectors_come_back_as_they_were_in_the_order_of_registration(store, three):
    drawn = np.random.default_rng(0).standard_normal((3, 5)).astype(np.float32)
    read = {it.id: (it.fingerprint, row) for it, row in zip(three, drawn, strict=True)}
    with store.write() as connection:
        kept = experts.keep_expert(connection, expert())
        vectors.put_vectors(connection, kept.id, dict(reversed(read.items())))
    with store.read() as connection:
        loaded = vectors.load_vectors(connection, kept.id)
        assert vectors.read_models(connection, kept.id) == set(read)
    assert loaded.models == ("a", "b", "c")
    np.testing.assert_array_equal(loaded.vectors, drawn)


def test_a_vector_of_other_weights_or_of_a_removed_model_is_not_used(store, three):
    a, b, c = three
    with store.write() as connection:
        kept = experts.keep_expert(connection, expert())
        read = {it.id: (it.fingerprint, np.ones(2)) for it in (a, c)}
        vectors.put_vectors(connection, kept.id, {**read, b.id: ("before", np.ones(2))})
        models.remove(connection, ["c"])
    with store.read() as connection:
        assert vectors.load_vectors(connection, kept.id).models == ("a",)
        assert b.id not in vectors.read_models(connection, kept.id)


def test_vectors_of_several_lengths_are_damage(store, three):
    a, b, _ = three
    with store.write() as connection:
        kept = experts.keep_expert(connection, expert())
        read = {a.id: (a.fingerprint, np.ones(2)), b.id: (b.fingerprint, np.ones(3))}
        vectors.put_vectors(connection, kept.id, read)
        with pytest.raises(AtlasError, match="damaged"):
            vectors.load_vectors(connection, kept.id)


@pytest.fixture
def written(store, three):
    a, b, c = three
    with store.write() as connection:
        texts.put_texts(connection, [(a, texts.ModelText("movie reviews", "neg pos", ""))])
        texts.put_texts(connection, [(b, texts.ModelText("b", "sports", "about movies and cars"))])
        texts.put_texts(connection, [(c, texts.ModelText("c", "économie", "nothing"))])
    return three


@pytest.fixture(params=["index", "no index"])
def searched(request, store, written, monkeypatch):
    if request.param == "no index":
        monkeypatch.setattr(texts.dialect, "has_full_text", lambda connection: False)

    def search(text, count=10):
        with store.read() as connection:
            return texts.search_words(connection, text, count)

    return search


def test_a_word_in_a_name_counts_more_than_one_in_a_card(searched):
    found = searched("movie")
    assert found.models == ("a", "b")
    assert found.scores[0] > found.scores[1] > 0


def test_models_with_any_of_the_words_are_found_and_no_others(searched):
    assert set(searched("which models know sports or cars?").models) == {"b"}
    assert searched("astronomy").models == ()
    assert searched("  ?!  ").models == ()
    assert len(searched("movie", 1).models) == 1


@pytest.mark.parametrize("text", ['"', "a* OR b", "name:x", "NEAR(a b)", "%", "_", "'; --", "\0"])
def test_no_text_is_taken_for_a_command(searched, text):
    searched(text)
    assert "c" not in searched(text).models


def test_only_the_index_knows_stems_and_accents(store, written):
    with store.read() as connection:
        found = texts.search_words(connection, "reviewing", 5)
        assert found.models == ("a",) and found.indexed
        assert texts.search_words(connection, "economie", 5).models == ("c",)


def test_the_index_follows_what_is_written_later(store, written):
    a, b, _ = written
    with store.write() as connection:
        texts.relabel(connection, {a.id: "astronomy"})
        texts.put_texts(connection, [(b, texts.ModelText("b", "", "planets"))])
        models.remove(connection, ["c"])
    with store.read() as connection:
        assert texts.search_words(connection, "astronomy", 5).models == ("a",)
        assert texts.search_words(connection, "neg", 5).models == ()
        assert texts.search_words(connection, "sports", 5).models == ()
        assert texts.search_words(connection, "planet", 5).models == ("b",)
        assert texts.search_words(connection, "économie", 5).models == ()


def test_texts_are_stale_until_read_and_when_files_change(store, three):
    a, b, _ = three
    with store.write() as connection:
        models.remove(connection, ["c"])
        assert [it.name for it in texts.stale(connection)] == ["a", "b"]
        for it in (a, b):
            texts.put_texts(connection, [(it, texts.ModelText(it.name, "", ""))])
        assert texts.stale(connection) == []
        models.set_stamp(connection, b.id, (("model.safetensors", 9, 9),))
        assert [it.name for it in texts.stale(connection)] == ["b"]


def test_an_atlas_that_is_moved_takes_its_experts_along(tmp_path):
    with Store.open(tmp_path / "atlas") as store, store.write() as connection:
        experts.keep_expert(connection, expert("own", folder=str(tmp_path / "atlas/experts/own")))
        experts.keep_expert(connection, expert("strange", folder=str(tmp_path / "elsewhere")))
    (tmp_path / "atlas").rename(tmp_path / "moved")
    with Store.open(tmp_path / "moved", create=False) as store, store.read() as connection:
        own = experts.get_expert(connection, "own")
        assert own.folder == str(tmp_path / "moved" / "experts" / "own")
        assert {it.folder for it in experts.all_experts(connection)} == {
            own.folder, str(tmp_path / "elsewhere")
        }  # fmt: skip
