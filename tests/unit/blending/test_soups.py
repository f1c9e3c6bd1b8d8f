import numpy as np
import pytest

from weightscape.blending.centroid import centroid
from weightscape.blending.greedy_soup import greedy_soup
from weightscape.errors import BadInput


def test_a_soup_takes_only_what_lowers_its_loss():
    flavours = np.array([[1.0, 0.0], [0.0, 1.0], [5.0, 5.0], [0.6, 0.4]])
    asked = []

    def loss(members):
        asked.append(members)
        return float(np.abs(flavours[list(members)].mean(axis=0) - 0.5).sum())

    assert greedy_soup([3, 2, 0], loss) == (3,)
    assert greedy_soup([0, 1, 2, 3], loss) == (0, 1)
    assert asked[-4:] == [(0,), (0, 1), (0, 1, 2), (0, 1, 3)]


def test_a_model_that_changes_nothing_is_left_out():
    assert greedy_soup([1, 0, 2], lambda members: 1.0) == (1,)


def test_a_centroid_weighs_its_members_alike():
    assert centroid(4).tolist() == [0.25] * 4
    assert centroid(4, [3, 1, 3]).tolist() == [0.0, 0.5, 0.0, 0.5]
    for members in ([], [4], [-1]):
        with pytest.raises(BadInput, match="members among 0 to 3"):
            centroid(4, members)
