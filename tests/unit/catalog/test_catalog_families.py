from collections.abc import Callable

import pytest

from weightscape.catalog import families, models
from weightscape.catalog.records import Model, Tree
from weightscape.catalog.store import Store
from weightscape.errors import MismatchedModels

Found = Callable[..., Model]
Plant = Callable[[int], Tree]
SHAPES = [("a", (2, 3)), ("b", ()), ("c", (0,))]


def test_a_family_is_found_again_by_its_signature(store: Store) -> None:
    with store.write() as connection:
        first = families.ensure_family(connection, "bert", SHAPES, "full")
        again = families.ensure_family(connection, "whatever", SHAPES, "full")
        other = families.ensure_family(connection, "bert", SHAPES[:2], "full")
        adapters = families.ensure_family(connection, "bert", SHAPES, "adapter")
    with store.read() as connection:
        assert families.all_families(connection) == [first, other, adapters]
    assert first == again
    assert [it.name for it in (first, other, adapters)] == ["bert", "bert~2", "bert~3"]
    assert first.signature == tuple(SHAPES)


def test_the_tensor_axis_only_grows(store: Store) -> None:
    with store.write() as connection:
        family = families.ensure_family(connection, "bert", SHAPES, "full")
        first = families.append_tensors(connection, family.id, SHAPES[1:])
        second = families.append_tensors(connection, family.id, SHAPES)
        axis = families.tensors_of(connection, family.id)
    assert {name: second[name] for name in first} == first
    assert [it.name for it in axis] == ["b", "c", "a"]
    assert [it.shape for it in axis] == [(), (0,), (2, 3)]


def test_a_tensor_of_another_shape_is_refused(store: Store) -> None:
    with store.write() as connection:
        family = families.ensure_family(connection, "bert", SHAPES, "full")
        families.append_tensors(connection, family.id, SHAPES)
    with pytest.raises(MismatchedModels, match=r"'a'.*\(3, 2\).*\(2, 3\)"), store.write() as c:
        families.append_tensors(c, family.id, [("d", (1,)), ("a", (3, 2))])
    with store.read() as connection:
        assert len(families.tensors_of(connection, family.id)) == 3


def test_a_tree_is_found_again_by_its_reference(store: Store, plant: Plant) -> None:
    tree = plant(2)
    with store.write() as connection:
        again = families.ensure_tree(connection, tree.family_id, "else", tree.reference_id)
        absent = families.ensure_tree(connection, tree.family_id, "m0")
        assert families.ensure_tree(connection, tree.family_id, "lost base") != absent
        assert families.ensure_tree(connection, tree.family_id, absent.name) == absent
        assert families.get_tree(connection, tree.id) == tree
        assert len(families.all_trees(connection, tree.family_id)) == 3
    assert again == tree
    assert (absent.name, absent.reference_id) == ("m0~2", None)


def test_positions_are_given_once_and_in_order(store: Store, plant: Plant) -> None:
    tree = plant(3)
    with store.write() as connection:
        ids = [it.id for it in models.of_tree(connection, tree.id)]
        assert families.claim(connection, tree.id, reversed(ids)) == {
            model_id: position for position, model_id in enumerate(ids)
        }
        assert families.size(connection, tree.id) == 3


def test_a_model_that_moves_leaves_its_position_behind(
    store: Store, plant: Plant, found: Found
) -> None:
    old = plant(3)
    with store.write() as connection:
        m1 = models.get(connection, "m1")
        new = families.ensure_tree(connection, old.family_id, "m1", m1.id)
        assert families.size(connection, new.id) == 0
        assert families.claim(connection, new.id, [m1.id]) == {m1.id: 0}
        (late,) = models.register(connection, [found("late")])
        assert families.claim(connection, old.id, [late.id]) == {late.id: 3}
        axis = models.of_tree(connection, old.id)
        assert [it.name for it in axis] == ["m0", "m1", "m2", "late"]
        assert [it.name for it in axis if it.tree_id == old.id] == ["m0", "m2", "late"]
        # `late` was never compared with it: coming back it starts behind
        assert families.claim(connection, old.id, [m1.id]) == {m1.id: 4}
        axis = models.of_tree(connection, old.id)
    assert [it.name for it in axis] == ["m0", "m1", "m2", "late", "m1"]
    assert [it.position for it in axis] == [0, None, 2, 3, 4]
