from collections.abc import Callable
from dataclasses import replace

import pytest

from weightscape.catalog import models, results
from weightscape.catalog.records import KeptResult, Tree
from weightscape.catalog.store import Store
from weightscape.errors import BadInput, UnknownName

REGION = KeptResult("k", "region", ("m2", "m0", "m1"), "trec, sst2", "/out", {"p_b": [None, 0.9]})


def test_results_come_back_newest_first_with_models_in_order(
    store: Store, plant: Callable[[int], Tree]
) -> None:
    plant(4)
    start = KeptResult("s", "start", ("m3", "m1"), "mine", "/s", {"recommended": "centroid"})
    with store.write() as connection:
        results.keep(connection, replace(REGION, made="2026-01-01T00:00:00+00:00"))
        kept = results.keep(connection, start)
    with store.read() as connection:
        newest, oldest = results.all_kept(connection)
    assert newest == kept and kept.made > oldest.made
    assert oldest.models == ("m2", "m0", "m1") and oldest.result == REGION.result


def test_the_same_question_about_a_group_is_kept_once(
    store: Store, plant: Callable[[int], Tree]
) -> None:
    plant(3)
    with store.write() as connection:
        results.keep(connection, REGION)
        results.keep(connection, replace(REGION, result={"p_b": []}, models=("m0", "m1")))
    with store.read() as connection:
        (found,) = results.all_kept(connection)
    assert (found.result, found.models) == ({"p_b": []}, ("m0", "m1"))


def test_a_result_leaves_with_a_model_of_it_and_comes_back(
    store: Store, plant: Callable[[int], Tree]
) -> None:
    plant(3)
    with store.write() as connection:
        results.keep(connection, REGION)
        (gone,) = (it for it in models.all_models(connection) if it.name == "m2")
        models.remove(connection, ["m2"])
    with store.read() as connection:
        assert results.all_kept(connection) == []
    with store.write() as connection:
        models.mark(connection, [gone.id], "gone")
    with store.read() as connection:
        assert len(results.all_kept(connection)) == 1


def test_groups_of_strangers_or_of_one_are_refused(
    store: Store, plant: Callable[[int], Tree]
) -> None:
    plant(2)
    with store.write() as connection, pytest.raises(UnknownName, match="m2"):
        results.keep(connection, REGION)
    with store.write() as connection, pytest.raises(BadInput, match="two models or more; got 1"):
        results.keep(connection, replace(REGION, models=("m1",)))
    with store.read() as connection:
        assert results.all_kept(connection) == []
