from collections.abc import Callable
from dataclasses import replace

import pytest

from weightscape.catalog import families, findings, models
from weightscape.catalog.records import Forest, Model, ModelFacts, RegionMap, Tree
from weightscape.catalog.store import Store
from weightscape.errors import BadInput, UnknownName

Found = Callable[..., Model]
Plant = Callable[[int], Tree]


def test_a_model_comes_back_as_it_was_registered(store: Store, found: Found) -> None:
    facts = ModelFacts("a", "F16", ("b",), ("org/b",), "run", 3, {"q.weight": 8})
    model = replace(found("a"), facts=facts, kind="adapter", nbytes=1 << 40, content_hash="abc")
    with store.write() as connection:
        (row,) = models.register(connection, [model])
    with store.read() as connection:
        assert models.get(connection, "a") == row
        assert models.all_models(connection) == [row]
    assert row == replace(model, id=row.id, added=row.added)
    assert row.id > 0 and row.status == "pending" and row.added.endswith("+00:00")


def test_a_known_model_keeps_its_row_and_its_name(store: Store, found: Found) -> None:
    with store.write() as connection:
        (first,) = models.register(connection, [found("a")])
        models.mark_ready(connection, [first.id])
    touched = replace(
        found("another name", path=first.path, fingerprint=first.fingerprint),
        stamp=(("model.safetensors", 1234, 5),),
    )
    with store.write() as connection:
        (again,) = models.register(connection, [touched])
    assert (again.id, again.name, again.status) == (first.id, "a", "ready")
    assert again.stamp == touched.stamp


def test_the_same_model_twice_in_one_call_is_one(store: Store, found: Found) -> None:
    with store.write() as connection:
        first, second = models.register(connection, [found("a"), found("a")])
    assert first.id == second.id


def test_a_name_that_is_taken_is_numbered(store: Store, found: Found) -> None:
    with store.write() as connection:
        rows = models.register(connection, [found("a", path=f"/{n}/a") for n in range(3)])
    assert [row.name for row in rows] == ["a", "a~2", "a~3"]
    assert [row.facts.name for row in rows] == ["a", "a~2", "a~3"]


def test_other_content_at_a_known_path_is_another_model(store: Store, found: Found) -> None:
    with store.write() as connection:
        models.register(connection, [found("a", fingerprint="1")])
    with store.write() as connection:
        (new,) = models.register(connection, [found("a", fingerprint="2")])
    with store.read() as connection:
        assert models.get(connection, "a").status == "gone"
    assert (new.name, new.status) == ("a~2", "pending")
    with store.write() as connection:  # and back again
        (old,) = models.register(connection, [found("a", fingerprint="1")])
        assert (old.name, old.status) == ("a", "pending")
        assert models.get(connection, "a~2").status == "gone"


def test_a_removed_model_keeps_its_place_and_can_come_back(
    store: Store, found: Found, plant: Plant
) -> None:
    tree = plant(3)
    with store.write() as connection:
        assert models.remove(connection, ["m1"]) == [tree.id]
    with store.write() as connection:
        assert [it.status for it in models.of_tree(connection, tree.id)] == [
            "pending",
            "removed",
            "pending",
        ]
        (new,) = models.register(connection, [found("m3")])
        assert families.claim(connection, tree.id, [new.id]) == {new.id: 3}
        (back,) = models.register(connection, [found("m1")])
    assert (back.name, back.status, back.position) == ("m1", "pending", 1)


def test_removing_deletes_the_findings_of_its_tree(store: Store, plant: Plant) -> None:
    tree = plant(1)
    empty = RegionMap(("m0",), None, [[1.0]], (), (), {}, ("m0",), "mean")
    with store.write() as connection:
        findings.replace_findings(connection, tree.id, Forest(roots=("m0",)), empty)
        models.remove(connection, ["m0"])
        assert findings.load_forest(connection, tree.id) is None
        assert findings.load_region_map(connection, tree.id) is None


def test_removing_an_unknown_name_changes_nothing(store: Store, plant: Plant) -> None:
    plant(2)
    with pytest.raises(UnknownName, match="nearest: m1"), store.write() as connection:
        models.remove(connection, ["m0", "m11"])
    with store.read() as connection:
        assert {it.status for it in models.all_models(connection)} == {"pending"}


def test_models_are_listed_by_status(store: Store, found: Found) -> None:
    with store.write() as connection:
        a, b, c = models.register(connection, [found(name) for name in "abc"])
        models.mark_ready(connection, [a.id, b.id])
        models.mark(connection, [c.id], "gone")
        ready = models.all_models(connection, statuses=["ready"])
        gone = models.all_models(connection, statuses=["gone", "removed"])
    assert [it.name for it in ready] == ["a", "b"]
    assert [it.name for it in gone] == ["c"]


def test_what_a_second_look_finds_is_kept(store: Store, found: Found) -> None:
    with store.write() as connection:
        (row,) = models.register(connection, [found("a")])
        models.set_facts(connection, row.id, ModelFacts("ignored", "F32", declared=("b", "c")))
        models.set_stamp(connection, row.id, (("x", 1, 2), ("y", 3, 4)))
        models.set_content_hash(connection, row.id, "hash")
        (again,) = models.register(connection, [found("a")])
        assert again.content_hash == "hash"  # a cheap look does not forget a thorough one
        models.set_facts(connection, row.id, ModelFacts("a", declared=("b", "c")))
        row = models.get(connection, "a")
    assert row.facts == ModelFacts("a", "F32", declared=("b", "c"))


def test_a_path_that_is_not_utf8_is_refused(store: Store, found: Found) -> None:
    with pytest.raises(BadInput, match="rename"), store.write() as connection:
        models.register(connection, [found("a", path="/models/\udcff")])


def test_hostile_text_is_only_text(store: Store, found: Found) -> None:
    name = "'); drop table models; --\x00<script>\u202e"
    model = replace(found(name), metadata={"\ud800": "\x00'\"", "deep": [[[None]]]})
    with store.write() as connection:
        models.register(connection, [model])
    with store.read() as connection:
        assert models.get(connection, name).metadata == model.metadata
