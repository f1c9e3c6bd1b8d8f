from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from weightscape.catalog import families, grams, models
from weightscape.catalog.records import Model, Status, TensorStatistics, Tree
from weightscape.catalog.store import Store
from weightscape.errors import AtlasError, UnknownName

Plant = Callable[[int], Tree]
NAMES = ("encoder.weight", "encoder.bias", "pooler.weight")


def truth(count: int, seed: int = 0) -> np.ndarray:
    vectors = np.random.default_rng(seed).normal(size=(len(NAMES), count, 6))
    gram = vectors @ vectors.transpose(0, 2, 1)
    return (gram + gram.transpose(0, 2, 1)) / 2  # symmetric to the last bit


def tensor_ids(store: Store, tree: Tree) -> list[int]:
    with store.read() as connection:
        return [it.id for it in families.tensors_of(connection, tree.family_id)]


def rows(gram: np.ndarray, positions: Iterable[int]) -> dict[int, np.ndarray]:
    return {p: gram[p, : p + 1] for p in positions}


def test_a_gram_comes_back_whole(store: Store, plant: Plant) -> None:
    tree, gram = plant(5), truth(5)
    for number, tensor in enumerate(tensor_ids(store, tree)):
        with store.write() as connection:
            grams.append_rows(connection, tree.id, tensor, rows(gram[number], range(5)), {})
    with store.read() as connection:
        names, shapes, loaded = grams.load_gram(connection, tree.id)
        streamed = list(grams.stream_gram(connection, tree.id, ["pooler.weight"]))
    assert names == NAMES
    assert shapes == ((4, 3), (4,), (2, 4))
    np.testing.assert_array_equal(loaded, gram)
    assert [tensor.name for tensor, _ in streamed] == ["pooler.weight"]
    np.testing.assert_array_equal(streamed[0][1], loaded[2])


def test_what_is_not_there_yet_is_nan(store: Store, plant: Plant) -> None:
    tree, gram = plant(4), truth(4)[0]
    gram[2, :3] = gram[:3, 2] = np.nan  # a model without that tensor
    first, *_ = tensor_ids(store, tree)
    with store.write() as connection:
        grams.append_rows(connection, tree.id, first, rows(gram, [0, 2, 3]), {})
        _, _, loaded = grams.load_gram(connection, tree.id)
        moments = grams.load_moments(connection, tree.id)
    there = [0, 2, 3]
    np.testing.assert_allclose(loaded[0][np.ix_(there, there)], gram[np.ix_(there, there)])
    assert np.isnan(loaded[0][1, :2]).all() and np.isnan(loaded[0][:2, 1]).all()
    assert np.isnan(loaded[1:]).all()
    assert np.isnan(moments.norm).all() and (moments.nonfinite == 0).all()
    assert moments.hashes == (("",) * 4,) * 3


def test_rows_are_never_changed(store: Store, plant: Plant) -> None:
    tree = plant(1)
    first, *_ = tensor_ids(store, tree)
    for value in (1.0, 2.0):
        with store.write() as connection:
            row = {0: np.array([value])}
            statistics = {0: TensorStatistics(norm=value)}
            grams.append_rows(connection, tree.id, first, row, statistics)
    with store.read() as connection:
        assert grams.load_gram(connection, tree.id)[2][0, 0, 0] == 1.0
        assert grams.load_moments(connection, tree.id).norm[0, 0] == 1.0


def test_statistics_come_back_with_their_kinds(store: Store, plant: Plant) -> None:
    tree, gram = plant(2), truth(2)[0]
    _, second, _ = tensor_ids(store, tree)
    given_statistics = {
        # NumPy's and torch's scalars are what a pass has at hand
        np.int64(0): TensorStatistics("aa", np.float32(0.5), 2.0, np.inf, 1.0, np.int64(3)),
        np.int64(1): TensorStatistics("bb", 4.0, np.nan, 6.0, 0.25, 1 << 40),
    }
    lower = {np.int64(p): row for p, row in rows(gram, range(2)).items()}
    with store.write() as connection:
        grams.append_rows(connection, tree.id, second, lower, given_statistics)
        moments = grams.load_moments(connection, tree.id, ["encoder.bias"])
        assert grams.finished_tensors(connection, tree.id, np.arange(2)) == {second}
    np.testing.assert_array_equal(moments.norm, [[0.5, 4.0]])
    np.testing.assert_array_equal(moments.kurtosis, [[2.0, np.nan]])
    np.testing.assert_array_equal(moments.peak, [[np.inf, 6.0]])
    np.testing.assert_array_equal(moments.unchanged, [[1.0, 0.25]])
    np.testing.assert_array_equal(moments.nonfinite, [[3, 1 << 40]])
    assert moments.hashes == (("aa", "bb"),)


def test_a_tree_gram_names_its_models_and_reference(store: Store, plant: Plant) -> None:
    tree = plant(3)
    with store.write() as connection:
        models.remove(connection, ["m1"])
        loaded = grams.load_tree_gram(connection, tree.id)
        absent = families.ensure_tree(connection, tree.family_id, "lost base")
        empty = grams.load_tree_gram(connection, absent.id)
    assert loaded.models == ("m0", "m1", "m2")
    assert loaded.reference == "m0"
    assert loaded.tensors == NAMES
    assert loaded.gram.shape == (3, 3, 3)
    assert empty.reference is None and empty.gram.shape == (3, 0, 0)


def test_an_unknown_tensor_is_named(store: Store, plant: Plant) -> None:
    tree = plant(1)
    with store.read() as connection, pytest.raises(UnknownName, match=r"nearest: encoder\.bias"):
        grams.load_gram(connection, tree.id, ["encoder.bia"])


def test_a_row_of_the_wrong_length_is_refused(store: Store, plant: Plant) -> None:
    tree = plant(2)
    first, *_ = tensor_ids(store, tree)
    with pytest.raises(ValueError, match="position 1"), store.write() as connection:
        grams.append_rows(connection, tree.id, first, {1: np.zeros(3)}, {})


def test_a_damaged_row_is_an_atlas_error(store: Store, plant: Plant) -> None:
    tree = plant(1)
    first, *_ = tensor_ids(store, tree)
    with store.write() as connection:
        grams.append_rows(connection, tree.id, first, {0: np.zeros(1)}, {})
        connection.exec_driver_sql("update gram_rows set products = x'00'")
    with store.read() as connection, pytest.raises(AtlasError, match="row 0"):
        grams.load_gram(connection, tree.id)


@settings(
    deadline=None, max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    batches=st.lists(
        st.tuples(st.integers(0, 2), st.sets(st.integers(0, 4), min_size=1)), max_size=8
    ),
    seed=st.integers(0, 99),
)
def test_any_order_of_appending_gives_the_same_gram(
    tmp_path_factory: pytest.TempPathFactory,
    found: Callable[..., Model],
    batches: list[tuple[int, set[int]]],
    seed: int,
) -> None:
    folder: Path = tmp_path_factory.mktemp("atlas")
    gram, there = truth(5, seed), np.zeros((3, 5), dtype=bool)
    with Store.open(folder) as store, store.write() as connection:
        added = models.register(connection, [found(f"m{i}") for i in range(5)])
        shapes = [(name, (2,)) for name in NAMES]
        family = families.ensure_family(connection, "f", shapes, "full")
        ids = list(families.append_tensors(connection, family.id, shapes).values())
        tree = families.ensure_tree(connection, family.id, "t")
        families.claim(connection, tree.id, [it.id for it in added])
        for tensor, positions in batches:
            lower = rows(gram[tensor], sorted(positions))
            grams.append_rows(connection, tree.id, ids[tensor], lower, {})
            there[tensor, list(positions)] = True
        _, _, loaded = grams.load_gram(connection, tree.id)
        finished = grams.finished_tensors(connection, tree.id, [1, 3])
    later = np.maximum.outer(np.arange(5), np.arange(5))
    np.testing.assert_array_equal(loaded, np.where(there[:, later], gram, np.nan))
    assert finished == {ids[t] for t in range(3) if there[t, 1] and there[t, 3]}


@pytest.mark.parametrize("away", ["gone", "removed"])
@pytest.mark.parametrize("compared", [True, False])
def test_a_model_that_comes_back_is_compared_with_everybody(
    store: Store, plant: Plant, found: Callable[..., Model], away: Status, compared: bool
) -> None:
    tree, gram = plant(3), truth(4)[0]
    first, second, _ = tensor_ids(store, tree)
    lower = rows(gram, range(4))
    if not compared:
        lower[3] = np.where(np.arange(4) == 1, np.nan, gram[3])
    nowhere = np.full(2, np.nan)  # m1 has no second tensor: nothing to compare in that one
    with store.write() as connection:
        m1 = models.get(connection, "m1")
        models.mark(connection, [m1.id], away)
        (late,) = models.register(connection, [found("late")])
        families.claim(connection, tree.id, [late.id])
        grams.append_rows(connection, tree.id, first, lower, {})
        without = {1: nowhere, 3: np.where(np.arange(4) == 1, np.nan, gram[3])}
        grams.append_rows(connection, tree.id, second, without, {})
        (back,) = models.register(connection, [found("m1")])
        place = (back.tree_id, back.position)
        again = families.claim(connection, tree.id, [m1.id])[m1.id]
    assert back.status == "pending"
    assert place == ((tree.id, 1) if compared else (None, None))
    assert again == (1 if compared else 4)
