"""What the page carries of what models know: the best of each label and of each model, no more."""

import tracemalloc
from contextlib import contextmanager
from types import SimpleNamespace

import numpy as np
import pytest

from weightscape.catalog import labels, models
from weightscape.catalog.records import Label, Model, ModelFacts
from weightscape.catalog.store import Store
from weightscape.catalog.vectors import KeptVectors
from weightscape.report import known_labels as page

LABELS = tuple(f"label {number:02}" for number in range(12))


@pytest.fixture
def ask(tmp_path, monkeypatch):
    """Ask an atlas whose experts, by name, have these scores of models by labels."""

    @contextmanager
    def asked(scores, said=()):
        kept = [SimpleNamespace(name=name, layer="w", id=name) for name in scores]
        monkeypatch.setattr(page, "chosen_experts", lambda store: kept)
        monkeypatch.setattr(page, "load_kept", lambda by: expert(*scores[by.id]))
        monkeypatch.setattr(
            page, "load_vectors", lambda connection, of: KeptVectors(names(of, scores), rows(of))
        )
        # a model's vector is its number: the scores are looked up by it
        rows = lambda of: np.arange(len(scores[of][1]), dtype=np.float32)[:, None]  # noqa: E731
        with Store.open(tmp_path / "atlas") as store:
            register(store, said)
            yield SimpleNamespace(store=store)

    return asked


def names(of, scores):
    return tuple(f"{of}-{number:05}" for number in range(len(scores[of][1])))


def expert(known, table):
    scores = lambda vectors: table[vectors[:, 0].astype(int)]  # noqa: E731
    return SimpleNamespace(labels=known, label_scores_of=scores, metrics={"label_auc": 0.9})


def register(store, said):
    """Put models into the atlas that are said to have labels."""
    for name, own in said:
        model = Model(
            name=name,
            path=f"/models/{name}",
            kind="full",
            format="safetensors",
            fingerprint=name,
            stamp=(),
            nbytes=1,
            parameters=1,
            facts=ModelFacts(name),
        )
        with store.write() as connection:
            (row,) = models.register(connection, [model])
            labels.put_labels(connection, "file", {row.id: [Label(it) for it in own]})


def test_the_best_of_each_label_and_of_each_model_are_listed(ask, monkeypatch):
    monkeypatch.setattr(page, "_AT_ONCE", 7)
    drawn = np.random.default_rng(0).random((60, len(LABELS))).astype(np.float32)
    drawn[3] = 0.01
    said = [("oak-00005", [LABELS[1]]), ("oak-00006", [LABELS[2]])]
    with ask({"oak": (LABELS, drawn)}, said) as atlas:
        known = page.known_labels(atlas)
    assert known.experts[0].models == 60
    by_label = {it.label: it for it in known.labels}
    for place, label in enumerate(LABELS):
        order = np.argsort(-drawn[:, place])[: page.HITS]
        assert [it[0] for it in by_label[label].hits] == [f"oak-{row:05}" for row in order]
        assert by_label[label].likely == (drawn[:, place] >= 0.5).sum()
        told = {it[0] for it in by_label[label].hits if it[2]}
        assert told <= {name for name, own in said if label in own}
    assert any(it[2] for hits in by_label.values() for it in hits.hits)
    for row in set(range(60)) - {3}:
        own = [LABELS[place] for place in np.argsort(-drawn[row])[: page.EACH]]
        assert [it[0] for it in known.models[f"oak-{row:05}"]] == own
    assert "oak-00003" not in known.models


def test_labels_that_most_models_have_come_first_where_there_are_too_many(ask, monkeypatch):
    monkeypatch.setattr(page, "LABELS", 2)
    scores = np.full((3, len(LABELS)), 0.5, dtype=np.float32)
    said = [("a", [LABELS[7]]), ("b", [LABELS[7], LABELS[4]])]
    with ask({"oak": (LABELS, scores)}, said) as atlas:
        assert [it.label for it in page.known_labels(atlas).labels] == [LABELS[4], LABELS[7]]


def test_several_experts_share_their_labels(ask):
    high, low = (np.full((2, 1), it, dtype=np.float32) for it in (0.9, 0.4))
    with ask({"oak": (LABELS[:1], low), "elm": (LABELS[:1], high)}) as atlas:
        (label,) = page.known_labels(atlas).labels
    assert [it[0] for it in label.hits] == ["elm-00000", "elm-00001", "oak-00000", "oak-00001"]
    assert label.likely == 2


def test_memory_does_not_grow_with_models_times_labels(ask):
    def peak(many):
        every = tuple(f"label {number}" for number in range(many))
        scores = np.random.default_rng(0).random((5000, many)).astype(np.float32)
        with ask({"oak": (every, scores)}) as atlas:
            tracemalloc.start()
            page.known_labels(atlas)
            used = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
        return used

    # the scores themselves, which the page asks for a part of at a time, are 4 bytes for each
    few, more = peak(10), peak(60)
    assert more - few < 5000 * 50 * 20
