from collections.abc import Callable
from dataclasses import replace

import pytest

from weightscape.catalog import models, paths
from weightscape.catalog.records import KeptPath, Tree
from weightscape.catalog.store import Store
from weightscape.errors import BadInput, UnknownName

LINE = KeptPath("m1--m2--sst2--line", "path", ("m1", "m2"), "sst2", "/out/1", {"barrier": None})


def test_paths_and_planes_come_back_newest_first(
    store: Store, plant: Callable[[int], Tree]
) -> None:
    plant(4)
    plane = KeptPath("p", "plane", ("m1", "m3", "m2"), "trec", "/out/2", {"losses": [[1.0, None]]})
    with store.write() as connection:
        paths.keep(connection, replace(LINE, made="2026-01-01T00:00:00+00:00"))
        kept = paths.keep(connection, plane)
    with store.read() as connection:
        newest, oldest = paths.all_kept(connection)
    assert newest == kept and kept.made > oldest.made
    assert newest.models == ("m1", "m3", "m2") and newest.result == plane.result
    assert oldest.result == {"barrier": None}


def test_the_same_question_is_kept_once(store: Store, plant: Callable[[int], Tree]) -> None:
    plant(3)
    with store.write() as connection:
        paths.keep(connection, LINE)
        paths.keep(connection, replace(LINE, result={"barrier": 0.5}, folder="/elsewhere"))
    with store.read() as connection:
        (found,) = paths.all_kept(connection)
    assert (found.result, found.folder) == ({"barrier": 0.5}, "/elsewhere")


def test_a_path_leaves_with_an_end_of_it_and_comes_back(
    store: Store, plant: Callable[[int], Tree]
) -> None:
    plant(3)
    with store.write() as connection:
        paths.keep(connection, LINE)
        (gone,) = (it for it in models.all_models(connection) if it.name == "m2")
        models.remove(connection, ["m2"])
    with store.read() as connection:
        assert paths.all_kept(connection) == []
    with store.write() as connection:
        models.mark(connection, [gone.id], "gone")  # its files being away hides nothing
    with store.read() as connection:
        assert len(paths.all_kept(connection)) == 1


def test_paths_between_strangers_are_refused(store: Store, plant: Callable[[int], Tree]) -> None:
    plant(2)
    with store.write() as connection, pytest.raises(UnknownName, match="m2"):
        paths.keep(connection, LINE)
    with store.write() as connection, pytest.raises(BadInput, match="a path has 2 models; got 3"):
        paths.keep(connection, replace(LINE, models=("m0", "m1", "m0")))
    with store.read() as connection:
        assert paths.all_kept(connection) == []
