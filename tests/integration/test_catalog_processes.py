"""The catalog between processes: two writers, a killed one, a full disk, a reader beside them."""

import multiprocessing
import os
import resource
import signal
from collections.abc import Callable
from multiprocessing.connection import Connection as Pipe
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from weightscape.catalog import families, grams, models
from weightscape.catalog.records import Model, ModelFacts, TensorStatistics, Tree
from weightscape.catalog.store import Store
from weightscape.errors import AtlasError

SHAPES = [(f"layer.{number}.weight", (8, 4)) for number in range(6)]
SPAWN = multiprocessing.get_context("spawn")


def delta(name: str, tensor: int) -> np.ndarray:
    return np.random.default_rng([tensor, *name.encode()]).normal(size=32)


def product(one: str, other: str, tensor: int) -> float:
    return float(np.dot(*(delta(name, tensor) for name in sorted([one, other]))))


def truth(names: list[str]) -> np.ndarray:
    return np.array([[[product(a, b, t) for b in names] for a in names] for t in range(6)])


def found(name: str) -> Model:
    facts = ModelFacts(name)
    return Model(name, f"/models/{name}", "full", "safetensors", f"f {name}", (), 1, 1, facts)


def place(store: Store, names: list[str]) -> tuple[Tree, dict[int, int]]:
    """Register models and claim their positions, as `add` does."""
    with store.write() as connection:
        rows = models.register(connection, [found(name) for name in names])
        family = families.ensure_family(connection, "bert", SHAPES, "full")
        families.append_tensors(connection, family.id, SHAPES)
        tree = families.ensure_tree(connection, family.id, "lost base")
        return tree, families.claim(connection, tree.id, [row.id for row in rows])


def keep_rows(
    store: Store,
    tree: Tree,
    places: dict[int, int],
    before_commit: Callable[[int], None] = lambda tensor: None,
) -> None:
    """Append what is missing of the models' rows, a tensor a transaction, and mark them ready."""
    positions = sorted(places.values())
    with store.read() as connection:
        names = [model.name for model in models.of_tree(connection, tree.id)]
        finished = grams.finished_tensors(connection, tree.id, positions)
        axis = families.tensors_of(connection, tree.family_id)
    for tensor, slot in enumerate(axis):
        if slot.id in finished:
            continue
        rows = {
            p: np.array([product(names[p], names[q], tensor) for q in range(p + 1)])
            for p in positions
        }
        statistics = {p: TensorStatistics(f"{names[p]} {tensor}", norm=p) for p in positions}
        with store.write() as connection:
            grams.append_rows(connection, tree.id, slot.id, rows, statistics)
            before_commit(tensor)
    with store.write() as connection:
        models.mark_ready(connection, places)


def add(folder: Path, names: list[str], start: Barrier) -> None:
    start.wait(60)
    with Store.open(folder) as store:
        for name in names:  # one at a time, so that two processes' positions mingle
            keep_rows(store, *place(store, [name]))


def run_together(*work: tuple[Callable[..., None], tuple[Any, ...]]) -> None:
    start = SPAWN.Barrier(len(work))
    processes = [SPAWN.Process(target=target, args=(*args, start)) for target, args in work]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
        assert process.exitcode == 0


def state(store: Store) -> tuple[list[str], np.ndarray, tuple[tuple[str, ...], ...]]:
    with store.read() as connection:
        (tree,) = families.all_trees(connection)
        assert {it.status for it in models.all_models(connection)} == {"ready"}
        loaded = grams.load_tree_gram(connection, tree.id)
    return list(loaded.models), loaded.gram, loaded.moments.hashes


def test_two_processes_append_to_one_tree_at_once(tmp_path: Path) -> None:
    mine, other = [f"a{i}" for i in range(6)], [f"b{i}" for i in range(6)]
    run_together((add, (tmp_path, mine)), (add, (tmp_path, other)))
    with Store.open(tmp_path, create=False) as store:
        names, gram, hashes = state(store)
    assert sorted(names) == sorted(mine + other)
    np.testing.assert_array_equal(gram, truth(names))
    assert hashes[3] == tuple(f"{name} 3" for name in names)


def test_two_processes_that_do_the_same_work_leave_it_once(tmp_path: Path) -> None:
    names = [f"m{i}" for i in range(5)]
    run_together((add, (tmp_path / "two", names)), (add, (tmp_path / "two", names)))
    run_together((add, (tmp_path / "one", names)))
    with Store.open(tmp_path / "two") as two, Store.open(tmp_path / "one") as one:
        both, alone = state(two), state(one)
    assert both[0] == alone[0] == names
    np.testing.assert_array_equal(both[1], alone[1])
    assert both[2] == alone[2]


def append_and_hang(folder: Path, pipe: Pipe) -> None:
    def hang(tensor: int) -> None:
        if tensor == 3:
            pipe.send("inside the fourth transaction")
            signal.pause()

    with Store.open(folder) as store, store.lock("add"):
        keep_rows(store, *place(store, ["a", "b", "c"]), hang)


def test_a_killed_process_leaves_what_it_finished(tmp_path: Path) -> None:
    ours, theirs = SPAWN.Pipe()
    process = SPAWN.Process(target=append_and_hang, args=(tmp_path, theirs))
    process.start()
    assert ours.poll(60)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join(60)

    def waiting(message: str) -> None:
        raise AssertionError(f"the kernel kept a dead process's lock: {message}")

    with Store.open(tmp_path, create=False) as store, store.lock("add", waiting):
        tree, places = place(store, ["a", "b", "c"])
        with store.read() as connection:
            axis = families.tensors_of(connection, tree.family_id)
            finished = grams.finished_tensors(connection, tree.id, places.values())
            assert {it.status for it in models.all_models(connection)} == {"pending"}
        assert finished == {slot.id for slot in axis[:3]}
        done: list[int] = []
        keep_rows(store, tree, places, done.append)
        assert done == [3, 4, 5]
        names, gram, _ = state(store)
    np.testing.assert_array_equal(gram, truth(names))


def fill_the_disk(folder: Path, pipe: Pipe) -> None:
    with Store.open(folder) as store:
        # the kernel refuses to let any file grow beyond this, as a full disk would
        resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, 400_000))
        try:
            place(store, [f"{number}{'x' * 1000}" for number in range(2000)])
        except AtlasError as problem:
            pipe.send(str(problem))


def test_a_disk_that_fills_keeps_the_old_state(tmp_path: Path) -> None:
    with Store.open(tmp_path) as store:
        keep_rows(store, *place(store, ["a", "b"]))
        before = state(store)
        ours, theirs = SPAWN.Pipe()
        process = SPAWN.Process(target=fill_the_disk, args=(tmp_path, theirs))
        process.start()
        process.join(60)
        assert ours.poll(0) and "nothing of this step was kept" in ours.recv()
        after = state(store)
    assert before[0] == after[0]
    np.testing.assert_array_equal(before[1], after[1])


def write_pairs(folder: Path, start: Barrier) -> None:
    start.wait(60)
    with Store.open(folder) as store:
        tree, _ = place(store, ["m0"])
        with store.read() as connection:
            first, second, *_ = families.tensors_of(connection, tree.family_id)
        for number in range(40):
            with store.write() as connection:
                (row,) = models.register(connection, [found(f"n{number}")])
                position = families.claim(connection, tree.id, [row.id])[row.id]
                products = {position: np.full(position + 1, float(position))}
                for slot in (first, second):
                    grams.append_rows(connection, tree.id, slot.id, products, {})


def read_pairs(folder: Path, start: Barrier) -> None:
    start.wait(60)
    places = 0
    with Store.open(folder, create=False) as store:
        while places < 41:
            with store.read() as connection:
                loaded = grams.load_tree_gram(connection, 1)
                names = [model.name for model in models.all_models(connection)]
            # a transaction's writes are all there or none is
            assert list(loaded.models) == names
            assert len(names) >= places
            np.testing.assert_array_equal(loaded.gram[0], loaded.gram[1])
            assert np.isfinite(loaded.gram[0][1:, 1:]).all()
            places = len(names)


def test_a_reader_beside_a_writer_sees_whole_transactions(tmp_path: Path) -> None:
    with Store.open(tmp_path) as store:
        place(store, ["m0"])
    run_together((write_pairs, (tmp_path,)), (read_pairs, (tmp_path,)))


def open_and_add(folder: Path, name: str, start: Barrier) -> None:
    start.wait(60)
    with Store.open(folder) as store:
        place(store, [name])


def test_processes_that_make_one_atlas_at_once_share_it(tmp_path: Path) -> None:
    names = ["a", "b", "c"]
    run_together(*[(open_and_add, (tmp_path / "new", name)) for name in names])
    with Store.open(tmp_path / "new", create=False) as store, store.read() as connection:
        assert sorted(model.name for model in models.all_models(connection)) == names
        assert len(families.all_trees(connection)) == 1


def test_a_damaged_database_is_an_atlas_error_in_every_use(tmp_path: Path) -> None:
    with Store.open(tmp_path) as store:
        keep_rows(store, *place(store, [f"m{number}" for number in range(30)]))
    file = tmp_path / "atlas.sqlite"
    whole = file.read_bytes()
    random = np.random.default_rng(0)
    told = 0
    for _ in range(40):
        damaged = bytearray(whole)
        for start in random.integers(0, len(whole) - 64, size=8):
            damaged[start : start + 64] = random.bytes(64)
        file.write_bytes(damaged)
        try:
            with Store.open(tmp_path) as store, store.read() as connection:
                models.all_models(connection)
                for tree in families.all_trees(connection):
                    grams.load_tree_gram(connection, tree.id)
        except AtlasError:
            told += 1
    assert told > 10, "the damage was not of the kind that SQLite notices"


@pytest.fixture(autouse=True)
def no_process_is_left() -> Any:
    yield
    assert not multiprocessing.active_children()
