"""Which models an expert is still to read, and how the database finds that out."""

from dataclasses import replace

import numpy as np
import pytest
from sqlalchemy import event

from weightscape.catalog import experts, families, models, unreadable, vectors
from weightscape.catalog.records import KeptExpert


@pytest.fixture
def three(store, found):
    with store.write() as connection:
        return models.register(connection, [found(name) for name in ("a", "b", "c")])


def expert(name="e", tree="base"):
    return KeptExpert(name, "/out", tree, "w", "packaged")


@pytest.fixture
def planted(store, three, found):
    """Two trees with two models each, of which one is an adapter; and an expert of the first."""
    with store.write() as connection:
        d = models.register(connection, [replace(found("d"), kind="adapter")])[0]
        family = families.ensure_family(connection, "f", [("w", (2, 2))], "full")
        for tree, inside in (("oak", (three[0], d)), ("elm", three[1:])):
            planted = families.ensure_tree(connection, family.id, tree)
            families.claim(connection, planted.id, [it.id for it in inside])
        return experts.keep_expert(connection, expert(tree="oak")), (*three, d)


def test_what_is_still_to_be_read_is_of_the_expert_s_trees_and_kinds(store, planted):
    kept, (a, b, c, _) = planted
    every = [("oak", "full"), ("oak", "adapter"), ("elm", "full")]

    def waiting(trees=every, **given):
        with store.read() as connection:
            return [it.name for it in vectors.unread_models(connection, kept.id, trees, **given)]

    assert waiting() == ["a", "b", "c", "d"]
    assert waiting([("oak", "full")]) == ["a"]
    assert waiting([("oak", "adapter"), ("elm", "adapter")]) == ["d"]
    assert waiting(only=b.id) == ["b"]
    with store.write() as connection:
        vectors.put_vectors(connection, kept.id, {a.id: (a.fingerprint, np.ones(2))})
        vectors.put_vectors(connection, kept.id, {b.id: ("before", np.ones(2))})
        unreadable.put_unreadable(connection, kept.id, {c.id: (c.fingerprint, "why")})
        assert vectors.get_vector(connection, kept.id, a.id).tolist() == [1, 1]
        assert vectors.get_vector(connection, kept.id, b.id) is None
        assert vectors.get_vector(connection, kept.id, c.id) is None
    assert waiting() == ["b", "d"]
    with store.write() as connection:
        models.mark(connection, [b.id], "gone")
    assert waiting() == ["d"]


def test_trees_are_peopled_by_models_that_were_not_removed(store, planted):
    with store.write() as connection:
        assert experts.peopled_trees(connection) == {
            ("oak", "full"), ("oak", "adapter"), ("elm", "full")
        }  # fmt: skip
        models.remove(connection, ["a", "b"])
        models.mark(connection, [planted[1][2].id], "gone")
        assert experts.peopled_trees(connection) == {("oak", "adapter"), ("elm", "full")}


def test_unread_models_are_counted_without_looking_at_every_vector_for_each(store, three):
    a, b, _ = three
    with store.write() as connection:
        for name in ("e", "f"):
            kept = experts.keep_expert(connection, expert(name))
            vectors.put_vectors(connection, kept.id, {a.id: (a.fingerprint, np.ones(2))})
        vectors.put_vectors(connection, kept.id, {b.id: ("before", np.ones(2))})
        assert vectors.count_unread(connection) == 2
        models.remove(connection, ["c"])
        assert vectors.count_unread(connection) == 1
    steps = steps_of(store, vectors.count_unread)
    assert not any("CORRELATED" in it for it in steps), steps


def test_what_is_still_to_be_read_is_looked_up_by_keys(store, planted):
    steps = steps_of(store, lambda it: vectors.unread_models(it, planted[0].id, [("oak", "full")]))
    for table in ("probe_vectors", "probe_unreadable"):
        assert any(f"SEARCH {table} USING" in it for it in steps), steps
        assert not any(it.startswith(f"SCAN {table}") for it in steps), steps


def test_vectors_come_in_the_order_of_the_key_and_are_not_sorted(store, planted):
    steps = steps_of(store, lambda it: vectors.load_vectors(it, planted[0].id))
    assert steps and not any("TEMP B-TREE" in it for it in steps), steps


def steps_of(store, ask):
    """Tell how SQLite goes about the queries of `ask`."""
    asked = []
    listen = lambda connection, cursor, text, given, *_: asked.append((text, given))  # noqa: E731
    event.listen(store.engine, "before_cursor_execute", listen)
    try:
        with store.read() as connection:
            ask(connection)
            queries = [it for it in asked if it[0].startswith("SELECT")]
            return [
                row[3]
                for text, given in queries
                for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}", given)
            ]
    finally:
        event.remove(store.engine, "before_cursor_execute", listen)
