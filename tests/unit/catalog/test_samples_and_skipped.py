from collections.abc import Callable

import numpy as np

from weightscape.catalog import models, samples, skipped
from weightscape.catalog.records import Skipped, Tree
from weightscape.catalog.store import Store


def test_samples_come_back_by_layout(store: Store, plant: Callable[[int], Tree]) -> None:
    tree = plant(3)
    with store.write() as connection:
        a, b, c = (it.id for it in models.of_tree(connection, tree.id))
        first = {a: np.arange(3, dtype=np.float32), b: np.array([np.nan, np.inf, -0.0], np.float32)}
        samples.put_samples(connection, "bert 1", first)
        samples.put_samples(connection, "bert 2", {c: np.ones(2, np.float32)})
        samples.put_samples(connection, "bert 1", {a: np.zeros(3)})
    with store.read() as connection:
        loaded = samples.load_samples(connection, "bert 1")
        assert samples.load_samples(connection, "bert 3") == {}
    assert loaded.keys() == {a, b}
    assert loaded[a].dtype == np.float32
    np.testing.assert_array_equal(loaded[a], np.zeros(3))
    np.testing.assert_array_equal(loaded[b], first[b])


def test_a_walk_replaces_what_earlier_walks_of_its_paths_skipped(store: Store) -> None:
    with store.write() as connection:
        before = [Skipped(p, "bad", "bad") for p in ("/a/x", "/a/y", "/ab/x", "/b")]
        skipped.replace_skipped(connection, ["/a", "/ab", "/b"], before)
    with store.write() as connection:
        now = [Skipped("/a/y", "GGUF is not read yet", "unsupported", "2026-01-01")]
        skipped.replace_skipped(connection, ["/a"], [*now, Skipped("/b", "worse", "bad")])
    with store.read() as connection:
        found = skipped.all_skipped(connection)
    assert [(it.path, it.reason) for it in found] == [
        ("/a/y", "GGUF is not read yet"),
        ("/ab/x", "bad"),
        ("/b", "worse"),
    ]
    assert found[0].seen == "2026-01-01" and found[1].seen
