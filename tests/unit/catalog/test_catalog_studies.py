from collections.abc import Callable
from dataclasses import replace

import pytest
from sqlalchemy import text
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import IntegrityError

from weightscape.catalog import studies
from weightscape.catalog.records import KeptBatch, KeptTrial
from weightscape.catalog.store import Store
from weightscape.errors import UnknownName

Filled = Callable[[int], int]


@pytest.fixture
def filled(store: Store) -> Filled:
    """Make a study with so many waiting trials, and give its id."""

    def make(count: int) -> int:
        marks = tuple(f"d{i}" for i in range(count))
        batch = KeptBatch(tuple((i / 10,) for i in range(count)), marks)
        with store.write() as connection:
            study = studies.ensure_study(connection, "s", {"seed": 0}, {"numpy": "2"})
            weights = [[1 - i / 10, i / 10] for i in range(count)]
            assert studies.add_batch(connection, study.id, 0, batch, weights) == count
        return study.id

    return make


def claim(
    store: Store, id: int, holder: str, now: float, limit: int | None = None
) -> KeptTrial | None:
    with store.write() as connection:
        return studies.claim(connection, id, holder, now, now + 30, limit)


def settle(store: Store, id: int, holder: str, trial: KeptTrial) -> bool:
    with store.write() as connection:
        return studies.settle(connection, id, holder, trial)


def states(store: Store, id: int) -> list[str]:
    with store.read() as connection:
        return [it.state for it in studies.load_trials(connection, id)]


def test_a_study_keeps_what_it_was_made_with(store: Store) -> None:
    with store.write() as connection:
        made = studies.ensure_study(connection, "s", {"seed": 0}, {"numpy": "2"})
        again = studies.ensure_study(connection, "s", {"seed": 1}, {"numpy": "3"})
        other = studies.ensure_study(connection, "t", {"seed": 1}, {})
        assert again == made and other.id != made.id
        assert {it.name for it in studies.all_studies(connection)} == {"s", "t"}
        with pytest.raises(UnknownName, match="no study named 'u'; known: s, t"):
            studies.get_study(connection, "u")


def test_trials_are_given_out_in_order_and_once(store: Store, filled: Filled) -> None:
    id = filled(3)
    taken = [claim(store, id, f"w{i}", 100.0) for i in range(4)]
    assert [it and (it.number, it.weights) for it in taken] == [
        (0, [1.0, 0.0]),
        (1, [0.9, 0.1]),
        (2, [0.8, 0.2]),
        None,
    ]
    with store.read() as connection:
        assert studies.count_trials(connection, id, 100.0, None) == (0, 0, 3)
        assert studies.count_trials(connection, id, 100.0, 2) == (0, 0, 2)
        assert studies.count_trials(connection, id, 131.0, None) == (0, 3, 0)


def test_what_a_trial_gave_comes_back_as_it_was_written(store: Store, filled: Filled) -> None:
    id = filled(2)
    trial = claim(store, id, "w", 0.0)
    assert trial is not None
    found = replace(
        trial,
        state="raced",
        attempts=1,
        loss=0.1 + 0.2,
        rows=48,
        seconds=0.5,
        gradient=[[1e-17, -2.0]],
    )
    assert settle(store, id, "w", found)
    with store.read() as connection:
        first, second = studies.load_trials(connection, id)
        assert studies.load_trials(connection, id, ["d1"]) == [second]
        assert studies.count_trials(connection, id, 0.0, None) == (1, 1, 0)
        assert studies.best_trial(connection, id) is None, "what raced was not read in full"
    assert first == found and second.gradient is None


def test_the_best_is_the_lowest_and_the_first_of_equals(store: Store, filled: Filled) -> None:
    id = filled(4)
    for loss in (0.5, 0.25, 0.25, None):
        trial = claim(store, id, "w", 0.0)
        assert trial is not None
        state = "complete" if loss else "failed"
        settle(store, id, "w", replace(trial, state=state, loss=loss))  # type: ignore[arg-type]
    with store.read() as connection:
        assert studies.best_trial(connection, id) == (1, 0.25)


def test_only_who_holds_a_trial_can_settle_renew_or_give_it_back(
    store: Store, filled: Filled
) -> None:
    id = filled(1)
    trial = claim(store, id, "first", 0.0)
    taken = claim(store, id, "second", 31.0)
    assert trial is not None and taken is not None and taken.number == trial.number
    assert not settle(store, id, "first", replace(trial, state="complete", loss=9.0))
    with store.write() as connection:
        assert not studies.renew(connection, id, 0, "first", 99.0)
        studies.give_back(connection, id, 0, "first", counts=True)
        assert studies.renew(connection, id, 0, "second", 99.0)
    assert states(store, id) == ["running"]
    assert settle(store, id, "second", replace(trial, state="complete", loss=1.0))
    assert states(store, id) == ["complete"] and claim(store, id, "third", 999.0) is None


def test_a_trial_is_tried_twice_and_then_failed(store: Store, filled: Filled) -> None:
    id = filled(2)
    assert claim(store, id, "first", 0.0) and claim(store, id, "second", 31.0)
    assert states(store, id) == ["running", "waiting"]
    third = claim(store, id, "third", 62.0)
    assert third is not None and third.number == 1
    with store.read() as connection:
        failed, _ = studies.load_trials(connection, id)
    assert failed.state == "failed" and failed.loss is None
    assert failed.error == "2 workers ended while they evaluated it"


def test_giving_back_counts_or_does_not(store: Store, filled: Filled) -> None:
    id = filled(1)
    for counts in (False, False, True, False, True):
        assert claim(store, id, "w", 0.0) is not None
        with store.write() as connection:
            studies.give_back(connection, id, 0, "w", counts=counts)
    assert claim(store, id, "w", 0.0) is None and states(store, id) == ["failed"]


def test_a_batch_is_kept_once_and_known_weights_are_no_new_trial(
    store: Store, filled: Filled
) -> None:
    id = filled(2)
    second = KeptBatch(((0.1,), (0.7,), (0.7,)), ("d1", "d7", "d7"))
    with store.write() as connection:
        weights = [[0.9, 0.1], [0.3, 0.7], [0.3, 0.7]]
        assert studies.add_batch(connection, id, 1, second, weights) == 1
        assert studies.add_batch(connection, id, 1, KeptBatch(((0.9,),), ("d9",)), [[0.1]]) == 0
    with store.read() as connection:
        assert [it.digest for it in studies.load_trials(connection, id)] == ["d0", "d1", "d7"]
        assert studies.load_batches(connection, id)[1] == second


def test_a_budget_hides_what_is_beyond_it(store: Store, filled: Filled) -> None:
    id = filled(3)
    assert claim(store, id, "w", 0.0, limit=1) is not None
    assert claim(store, id, "w", 0.0, limit=1) is None
    assert claim(store, id, "w", 0.0, limit=2) is not None


def test_a_study_is_forgotten_with_its_trials(store: Store, filled: Filled) -> None:
    id = filled(2)
    with store.write() as connection:
        studies.forget(connection, id)
        assert studies.all_studies(connection) == []
        assert studies.load_trials(connection, id) == []


def test_the_database_itself_refuses_a_lease_without_end(store: Store, filled: Filled) -> None:
    filled(1)
    with pytest.raises(IntegrityError, match="whole_lease"), store.write() as connection:
        connection.execute(text("update trials set state = 'running', holder = 'w'"))


def test_a_claim_skips_what_others_look_at_where_the_database_can(
    store: Store, filled: Filled, monkeypatch: pytest.MonkeyPatch
) -> None:
    id = filled(1)
    written: list[str] = []
    with store.write() as connection:
        execute = connection.execute

        def listen(statement: object, *given: object) -> object:
            written.append(str(statement.compile(dialect=postgresql.dialect())))  # type: ignore[attr-defined]
            return execute(statement, *given)  # type: ignore[call-overload]

        monkeypatch.setattr(connection, "execute", listen)
        assert studies.claim(connection, id, "w", 0.0, 1.0, None) is not None
    assert any("FOR UPDATE SKIP LOCKED" in statement for statement in written)
