import sqlite3
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import Connection

from weightscape.catalog import (
    experts,
    findings,
    grams,
    labels,
    migrations,
    models,
    paths,
    results,
    samples,
    skipped,
    studies,
    texts,
    vectors,
)
from weightscape.catalog.records import KeptBatch, KeptExpert, KeptPath, KeptResult, Label
from weightscape.catalog.store import Store
from weightscape.errors import AtlasError

SCRIPT = Path(__file__).with_name("version_1.sql")


@pytest.fixture
def old_atlas(tmp_path: Path) -> Path:
    database = sqlite3.connect(tmp_path / "atlas.sqlite")
    database.executescript(SCRIPT.read_text())
    database.execute("PRAGMA journal_mode = WAL")
    database.close()
    return tmp_path


def tables(folder: Path) -> dict[str, list[tuple[object, ...]]]:
    database = sqlite3.connect(folder / "atlas.sqlite")
    names = [row[0] for row in database.execute("select name from sqlite_master order by name")]
    columns = {name: list(database.execute(f"pragma table_info({name})")) for name in names}
    database.close()
    return columns


def stored_version(folder: Path) -> int:
    database = sqlite3.connect(folder / "atlas.sqlite")
    version: int = database.execute("select version from atlas_schema").fetchone()[0]
    database.close()
    return version


def test_an_atlas_of_version_1_is_read_as_it_was_written(old_atlas: Path) -> None:
    with Store.open(old_atlas) as store, store.read() as connection:
        base, tuned = models.all_models(connection)
        tree = grams.load_tree_gram(connection, 1)
        forest = findings.load_forest(connection, 1)
        region_map = findings.load_region_map(connection, 1)
        kept = samples.load_samples(connection, "family 1")
        (left_out,) = skipped.all_skipped(connection)
    assert (base.name, tuned.name, tuned.position) == ("base", "tuned", 1)
    assert tuned.stamp == (("model.safetensors", 64, 6),)
    assert tuned.facts.declared == ("base",) and tuned.facts.step == 9 and tuned.dtype == "BF16"
    np.testing.assert_array_equal(tree.gram, [[[0.0, 0.0], [0.0, 2.0]]])
    assert (tree.reference, tree.moments.hashes) == ("base", (("aa", "bb"),))
    np.testing.assert_array_equal(tree.moments.kurtosis, [[0.0, np.nan]])
    assert forest is not None and forest.roots == ("base",)
    assert [(it.parent, it.child, it.evidence) for it in forest.edges] == [
        ("base", "tuned", ("declared",))
    ]
    assert region_map is not None and region_map.points["tuned"] == (1.0, 0.5)
    np.testing.assert_array_equal(region_map.cosine, [[np.nan, np.nan], [np.nan, 1.0]])
    assert {number: sample.tolist() for number, sample in kept.items()} == {1: [1.0], 2: [2.0]}
    assert left_out.kind == "unsupported"


def test_an_old_atlas_ends_with_the_schema_of_a_new_one(old_atlas: Path, tmp_path: Path) -> None:
    Store.open(old_atlas).close()
    Store.open(tmp_path / "new").close()
    assert tables(old_atlas) == tables(tmp_path / "new")
    assert stored_version(old_atlas) == stored_version(tmp_path / "new")


def test_an_atlas_of_version_1_learns_to_keep_paths(old_atlas: Path) -> None:
    with Store.open(old_atlas) as store:
        with store.read() as connection:
            assert paths.all_kept(connection) == []
        with store.write() as connection:
            kept = KeptPath("k", "path", ("base", "tuned"), "sst2", "/out", {"barrier": 0.5})
            paths.keep(connection, kept)
        with store.read() as connection:
            (found,) = paths.all_kept(connection)
            assert len(models.all_models(connection)) == 2
    assert found.models == ("base", "tuned") and found.result == {"barrier": 0.5}


def test_an_atlas_of_version_2_keeps_its_paths_and_learns_to_keep_results(
    old_atlas: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = KeptPath("k", "path", ("base", "tuned"), "sst2", "/out", {"barrier": 0.5})
    with monkeypatch.context() as earlier:
        earlier.setattr(migrations, "STEPS", migrations.STEPS[:1])
        with Store.open(old_atlas) as store, store.write() as connection:
            paths.keep(connection, kept)
        assert stored_version(old_atlas) == 2 and "results" not in tables(old_atlas)
    found = KeptResult("r", "region", ("base", "tuned"), "sst2", "/out", {"p_b": 0.9})
    with Store.open(old_atlas) as store:
        with store.write() as connection:
            results.keep(connection, found)
        with store.read() as connection:
            assert [it.result for it in results.all_kept(connection)] == [{"p_b": 0.9}]
            assert [it.result for it in paths.all_kept(connection)] == [{"barrier": 0.5}]


def test_an_atlas_of_version_3_keeps_its_results_and_learns_to_keep_studies(
    old_atlas: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = KeptResult("r", "region", ("base", "tuned"), "sst2", "/out", {"p_b": 0.9})
    with monkeypatch.context() as earlier:
        earlier.setattr(migrations, "STEPS", migrations.STEPS[:2])
        with Store.open(old_atlas) as store, store.write() as connection:
            results.keep(connection, found)
        assert stored_version(old_atlas) == 3 and "trials" not in tables(old_atlas)
    with Store.open(old_atlas) as store:
        with store.write() as connection:
            study = studies.ensure_study(connection, "s", {"seed": 1}, {"numpy": "2"})
            batch = KeptBatch(((0.5, 0.5),), ("d",))
            assert studies.add_batch(connection, study.id, 0, batch, [[0.5, 0.5]]) == 1
        with store.read() as connection:
            assert [it.state for it in studies.load_trials(connection, study.id)] == ["waiting"]
            (kept,) = results.all_kept(connection)
            assert (kept.result, kept.models) == ({"p_b": 0.9}, ("base", "tuned"))
        blend = KeptResult("t", "tune", ("base", "tuned"), "sst2", "/out", {"loss": 0.2})
        with store.write() as connection:
            results.keep(connection, blend)
        with store.read() as connection:
            assert [it.kind for it in results.all_kept(connection)] == ["tune", "region"]


@pytest.mark.parametrize(
    "table",
    "paths results studies study_batches trials labels label_words model_texts model_words "
    "words_changed probe_experts probe_vectors probe_unreadable".split(),
)
def test_a_migrated_atlas_has_the_same_constraints_as_a_new_one(
    old_atlas: Path, tmp_path: Path, table: str
) -> None:
    def written(folder: Path) -> str:
        database = sqlite3.connect(folder / "atlas.sqlite")
        asked = "select sql from sqlite_master where name = ?"
        (text,) = database.execute(asked, (table,)).fetchone()
        database.close()
        return str(text)

    Store.open(old_atlas).close()
    Store.open(tmp_path / "new").close()
    assert written(old_atlas) == written(tmp_path / "new")


def test_an_atlas_of_version_4_keeps_its_studies_and_learns_to_keep_labels_and_experts(
    old_atlas: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as earlier:
        earlier.setattr(migrations, "STEPS", migrations.STEPS[:3])
        with Store.open(old_atlas) as store, store.write() as connection:
            studies.ensure_study(connection, "s", {"seed": 1}, {"numpy": "2"})
        assert stored_version(old_atlas) == 4 and "labels" not in tables(old_atlas)
    with Store.open(old_atlas) as store:
        with store.write() as connection:
            base, tuned = models.all_models(connection)
            labels.put_labels(connection, "card", {tuned.id: [Label("sentiment", "tag")]})
            texts.put_texts(connection, [(tuned, texts.ModelText("tuned", "sentiment", ""))])
            expert = KeptExpert("e", "/out", "base", "encoder.weight", "packaged")
            expert = experts.keep_expert(connection, expert)
            vectors.put_vectors(connection, expert.id, {base.id: (base.fingerprint, np.ones(3))})
        with store.read() as connection:
            assert [it.label for it in labels.labels_of(connection, [tuned.id])[tuned.id]] == [
                "sentiment"
            ]
            assert texts.search_words(connection, "sentiments", 5).models == ("tuned",)
            assert vectors.load_vectors(connection, expert.id).models == ("base",)
            assert studies.get_study(connection, "s").identity == {"seed": 1}


def test_an_atlas_of_version_5_keeps_its_experts_with_their_vectors_under_ids_of_their_own(
    old_atlas: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as earlier:
        earlier.setattr(migrations, "STEPS", migrations.STEPS[:4])
        Store.open(old_atlas).close()
    database = sqlite3.connect(old_atlas / "atlas.sqlite")
    added = "insert into probe_experts values (?, ?, 'out', 'oak', 'w', 'packaged', '2001', '{}')"
    database.executemany(added, [(3, "oak"), (7, "elm")])
    print = database.execute("select fingerprint from models where name = 'base'").fetchone()[0]
    read = "insert into probe_vectors select ?, id, ?, ? from models where name = 'base'"
    database.execute(read, (3, print, np.ones(2, "<f4").tobytes()))
    database.commit()
    database.close()
    with Store.open(old_atlas) as store, store.write() as connection:
        assert {it.id: it.name for it in experts.all_experts(connection)} == {3: "oak", 7: "elm"}
        assert vectors.load_vectors(connection, 3).models == ("base",)
        elm = experts.get_expert(connection, "elm")
        assert experts.keep_expert(connection, elm).id == 8
        assert experts.keep_expert(connection, elm).id == 9
    with Store.open(old_atlas) as store, store.read() as connection:
        assert connection.exec_driver_sql("pragma foreign_key_check").all() == []


def add_a_column(connection: Connection) -> None:
    connection.exec_driver_sql("alter table samples add column seed integer")


def test_steps_are_taken_once_and_keep_the_rows(
    old_atlas: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrations, "STEPS", (*migrations.STEPS, add_a_column))
    newest = len(migrations.STEPS) + 1
    for _ in range(2):
        with Store.open(old_atlas, create=False) as store, store.read() as connection:
            assert len(models.all_models(connection)) == 2
            row = connection.exec_driver_sql("select seed from samples").first()
        assert row is not None and row[0] is None
        assert stored_version(old_atlas) == newest


def test_a_step_that_fails_changes_nothing(
    old_atlas: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(connection: Connection) -> None:
        connection.exec_driver_sql("drop table points")
        raise RuntimeError("power cut")

    before = tables(old_atlas)
    monkeypatch.setattr(migrations, "STEPS", (*migrations.STEPS, add_a_column, fail))
    with pytest.raises(RuntimeError, match="power cut"):
        Store.open(old_atlas)
    assert tables(old_atlas) == before
    assert stored_version(old_atlas) == 1


def test_an_atlas_of_a_newer_weightscape_is_refused_and_left_alone(old_atlas: Path) -> None:
    database = sqlite3.connect(old_atlas / "atlas.sqlite")
    database.execute("update atlas_schema set version = 99")
    database.commit()
    database.close()
    with pytest.raises(AtlasError, match="upgrade weightscape"):
        Store.open(old_atlas)
    assert stored_version(old_atlas) == 99
