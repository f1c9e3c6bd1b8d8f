import pytest

from weightscape.errors import BadCheckpoint, NotFound
from weightscape.io import trying
from weightscape.io.trying import WORTH_IT, Broken, Tries


@pytest.fixture
def pauses(monkeypatch):
    waited = []
    monkeypatch.setattr(trying, "pause", waited.append)
    return waited


def test_pauses_grow_until_it_is_given_up(pauses):
    tries = Tries("x")
    with pytest.raises(BadCheckpoint, match=r"x: .*breaks.* \(6 times\)"):
        for _ in range(20):
            tries.failed(Broken("the connection breaks"))
    assert pauses == [0.5, 1, 2, 4, 8]


def test_what_brought_something_is_tried_for_ever(pauses):
    tries = Tries("x")
    for _ in range(100):
        tries.failed(Broken("breaks"), gained=WORTH_IT)
    assert set(pauses) == {0.5}


def test_drops_of_a_few_bytes_are_not_worth_it(pauses):
    tries = Tries("x")
    with pytest.raises(BadCheckpoint):
        for _ in range(20):
            tries.failed(Broken("breaks"), gained=WORTH_IT - 1)


def test_a_server_may_ask_for_time_but_not_for_hours(pauses):
    Tries("x").failed(Broken("busy", wait=9))
    Tries("x").failed(Broken("busy", wait=99999))
    assert pauses == [9, 30]


def test_an_address_that_has_run_out_costs_no_try_the_first_time(pauses):
    tries = Tries("x")
    tries.failed(Broken("ran out", free=True))
    assert pauses == []
    with pytest.raises(NotFound):
        for _ in range(20):
            tries.failed(Broken("ran out", free=True, unheard=True))
