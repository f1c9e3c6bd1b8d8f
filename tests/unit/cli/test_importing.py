import gc
import weakref

import pytest

from weightscape.cli.importing import importing


class Knot:
    """Something that only the garbage collector can free."""

    def __init__(self):
        self.own = self


@pytest.fixture(autouse=True)
def thawed():
    yield
    gc.unfreeze()


def test_what_is_made_afterwards_is_collected_as_ever():
    with importing():
        assert not gc.isenabled()
    assert gc.isenabled()
    knot = weakref.ref(Knot())
    gc.collect()
    assert knot() is None


def test_what_was_imported_is_not_looked_at_again():
    with importing():
        knot = weakref.ref(Knot())
    gc.collect()
    assert knot() is not None


def test_an_import_that_fails_leaves_the_collector_on():
    with pytest.raises(ImportError), importing():
        raise ImportError("no such package")
    assert gc.isenabled()


def test_a_collector_that_was_off_stays_off():
    gc.disable()
    try:
        with importing():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()
