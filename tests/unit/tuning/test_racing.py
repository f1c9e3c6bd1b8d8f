import numpy as np
import pytest

from weightscape.errors import BadInput
from weightscape.tuning.dev_rows import _ends
from weightscape.tuning.racing import Racing, looks_worse


def stopped_after(candidate, incumbent, racing=None):
    """Race through rows in their order; give how many were read."""
    ends = _ends(len(incumbent), 32)
    for end in ends[:-1]:
        if looks_worse(candidate[:end], incumbent, len(ends) - 1, racing or Racing()):
            return end
    return len(incumbent)


def cross_entropies(generator, rows, margin):
    return np.log1p(np.exp(-generator.normal(margin, 2.0, rows)))


def even(generator, rows):
    """Two candidates that answer quite differently and are equally good on the whole."""
    return cross_entropies(generator, rows, 2.0), cross_entropies(generator, rows, 2.0)


def alike(generator, rows):
    """Two neighbours: nearly the same answers."""
    losses = cross_entropies(generator, rows, 2.0)
    return losses, losses * np.exp(0.1 * generator.standard_normal(rows))


def heavy(generator, rows):
    """Losses with a long tail."""
    return generator.lognormal(-1, 1.2, rows), generator.lognormal(-1, 1.2, rows)


def mending(generator, rows):
    """A candidate that mends the 4 % of rows on which the incumbent fails badly."""
    incumbent = np.abs(generator.normal(0.1, 0.1, rows))
    candidate = incumbent + 0.05 * np.abs(generator.standard_normal(rows))
    failed = rows // 25
    incumbent[:failed] = 4.0
    candidate[:failed] = 0.5
    return candidate, incumbent


@pytest.mark.parametrize("kind", [even, alike, heavy, mending])
@pytest.mark.parametrize("rows", [100, 500])
def test_a_candidate_that_is_as_good_is_stopped_no_more_often_than_stated(kind, rows):
    """The hardest case that the error speaks of: better by next to nothing on all the rows.

    600 races; a rate of 5 % gives 7.4 % or more once in a hundred and fifty such tests.
    """
    generator = np.random.default_rng(1)
    stopped = 0
    for _ in range(600):
        candidate, incumbent = kind(generator, rows)
        gap = candidate.mean() - incumbent.mean()
        # made as good as the incumbent on the rows where that cannot make a loss negative
        shifted = (
            candidate - gap if gap < candidate.min() else candidate * (1 - gap / candidate.mean())
        )
        order = generator.permutation(rows)
        stopped += stopped_after(shifted[order] - 1e-12, incumbent[order]) < rows
    assert stopped / 600 < 0.074


def test_a_hopeless_candidate_is_stopped_at_the_first_look():
    generator = np.random.default_rng(0)
    read = []
    for _ in range(50):
        incumbent = cross_entropies(generator, 500, 3.0)
        candidate = incumbent + np.abs(generator.normal(0.6, 0.4, 500))
        read.append(stopped_after(candidate, incumbent))
    assert np.mean(read) < 40


def test_a_smaller_error_stops_fewer():
    generator = np.random.default_rng(0)
    loose, strict = 0, 0
    for _ in range(100):
        incumbent = cross_entropies(generator, 200, 2.0)
        candidate = incumbent + generator.normal(0.1, 0.5, 200)
        loose += stopped_after(candidate, incumbent, Racing(0.2)) < 200
        strict += stopped_after(candidate, incumbent, Racing(0.001)) < 200
    assert strict < loose


def test_nothing_is_stopped_on_too_few_rows_or_equal_answers():
    incumbent = np.zeros(100)
    assert not looks_worse(np.ones(8) + np.arange(8), incumbent, 1, Racing())
    assert not looks_worse(np.zeros(32), incumbent, 1, Racing())
    assert not looks_worse(np.arange(100.0), incumbent, 1, Racing())


def test_senseless_settings_are_refused():
    with pytest.raises(BadInput, match="error"):
        Racing(error=0.7)
    with pytest.raises(BadInput, match="three rows"):
        Racing(least=1)
