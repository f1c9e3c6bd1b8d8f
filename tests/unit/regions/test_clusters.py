import numpy as np
import pytest

from weightscape.regions.clusters import OUTLIER, find_clusters


def cosines(sizes, inside, between, jitter=0.0, seed=0):
    """Cosines of clusters of these sizes; a size of 1 is a stranger to all."""
    labels = np.repeat(np.arange(len(sizes)), sizes)
    same = labels[:, None] == labels[None, :]
    noise = jitter * np.random.default_rng(seed).normal(size=same.shape)
    cosine = np.where(same, inside, between) + (noise + noise.T) / np.sqrt(2)
    np.fill_diagonal(cosine, 1.0)
    return labels, cosine


def test_a_model_that_learned_little_is_in_its_region_though_less_near_to_everybody():
    labels, cosine = cosines([3] * 6, 0.25, 0.02, jitter=0.005)
    weak = len(labels) - 1
    cosine[weak, :weak] = cosine[:weak, weak] = np.where(labels[:weak] == labels[weak], 0.045, 0.01)
    found = find_clusters(cosine, noise=0.004)
    assert found[weak] == found[weak - 1] == found[weak - 2]
    assert len(set(found)) == 6


def test_a_model_as_near_to_some_strangers_as_to_its_cluster_is_in_none():
    labels, cosine = cosines([3] * 6, 0.25, 0.02, jitter=0.005)
    odd = len(labels) - 1
    near = np.array([0.0, 0.005, 0.03, 0.015, 0.04, 0.045])[labels[:odd]]
    cosine[odd, :odd] = cosine[:odd, odd] = near
    assert find_clusters(cosine, noise=0.004)[odd] == OUTLIER


@pytest.mark.parametrize("strangers", [0, 4, 8])
def test_a_few_that_belong_together_are_found_among_strangers(strangers):
    _, cosine = cosines([4, 3] + [1] * strangers, 0.12, 0.02, jitter=0.01)
    found = find_clusters(cosine, noise=0.01)
    assert found.tolist() == [0] * 4 + [1] * 3 + [OUTLIER] * strangers


@pytest.mark.parametrize("seed", range(5))
def test_strangers_alone_are_not_split(seed):
    _, cosine = cosines([1] * 15, 1.0, 0.02, jitter=0.01, seed=seed)
    assert (find_clusters(cosine, noise=0.01) == 0).all()


def test_where_few_eigenvectors_are_refused_all_are_computed(monkeypatch):
    import scipy.linalg

    plain = scipy.linalg.eigh
    cosine = np.kron(np.eye(3), np.full((4, 4), 0.6)) + 0.4 * np.eye(12)
    wanted = find_clusters(cosine, noise=0.01)
    assert len(set(wanted.tolist())) == 3

    def refusing(matrix, *, subset_by_index=None, **more):
        # LAPACK's own way to a few of them ends in "Internal Error" for some matrices
        if subset_by_index is not None:
            raise np.linalg.LinAlgError("Internal Error.")
        return plain(matrix, **more)

    monkeypatch.setattr(scipy.linalg, "eigh", refusing)
    assert find_clusters(cosine, noise=0.01).tolist() == wanted.tolist()
