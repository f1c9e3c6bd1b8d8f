import numpy as np
import pytest

from weightscape.errors import BadInput, UnknownName
from weightscape.regions.samplers import SAMPLERS, sample_hull


@pytest.mark.parametrize("name", SAMPLERS.names())
@pytest.mark.parametrize("members", [2, 3, 7])
def test_every_sampler_gives_convex_weights_by_its_seed(name, members):
    weights = sample_hull(name, 20, members, seed=3)
    assert weights.shape == (20, members)
    assert (weights >= 0).all() and weights.sum(axis=1) == pytest.approx(1)
    assert np.array_equal(weights, sample_hull(name, 20, members, seed=3))
    assert not np.array_equal(weights, sample_hull(name, 20, members, seed=4))
    assert (weights > 0).sum(axis=1).max() <= {"edges": 2, "sparse": 3}.get(name, members)


@pytest.mark.parametrize("name", SAMPLERS.names())
def test_no_member_is_preferred(name):
    mean = sample_hull(name, 4000, 5, seed=0).mean(axis=0)
    assert mean == pytest.approx(np.full(5, 0.2), abs=0.02)


def test_dirichlet_is_even_over_the_simplex():
    """Of two members every share is as likely; of three, each weight's variance is 1/18."""
    shares = sample_hull("dirichlet", 4000, 2, seed=0)[:, 0]
    assert np.quantile(shares, [0.25, 0.5, 0.75]) == pytest.approx([0.25, 0.5, 0.75], abs=0.03)
    assert sample_hull("dirichlet", 4000, 3, seed=0).var(axis=0) == pytest.approx(
        np.full(3, 1 / 18), abs=0.005
    )


def test_an_unknown_sampler_and_one_that_leaves_the_hull_are_refused(monkeypatch):
    with pytest.raises(UnknownName, match="no hull sampler named 'dirchlet'; nearest: dirichlet"):
        sample_hull("dirchlet", 1, 2, seed=0)
    monkeypatch.setitem(SAMPLERS._things, "beyond", lambda n, m, _: np.tile([2.0, -1.0], (n, 1)))
    with pytest.raises(BadInput, match="hull sampler 'beyond' must give 3 rows of 2 weights"):
        sample_hull("beyond", 3, 2, seed=0)
